#include <atoll/heap.h>
