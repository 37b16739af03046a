#pragma once
#include <vector>

#include "atoll/safepoint.h"
