#pragma once
#include "atoll/heap.h"
#include "safepoint/poll.h"
