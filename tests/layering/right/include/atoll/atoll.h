// Layer: all
#pragma once
#include "atoll/heap.h"
