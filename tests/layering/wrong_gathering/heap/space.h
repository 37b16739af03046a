#include "atoll/atoll.h"
