// Layer: heap
#pragma once
#include "atoll/safepoint.h"
