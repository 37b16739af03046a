#pragma once

#include "gc/marker.h"
