// Layer: all
#ifndef ATOLL_ATOLL_H_
#define ATOLL_ATOLL_H_

#include "atoll/background_compiler.h"
#include "atoll/become.h"
#include "atoll/gc.h"
#include "atoll/handles.h"
#include "atoll/heap.h"
#include "atoll/isolate.h"
#include "atoll/jit.h"
#include "atoll/messaging.h"
#include "atoll/mutator.h"
#include "atoll/program.h"
#include "atoll/transferable_buffer.h"
#include "atoll/typed.h"
#include "atoll/weak_table.h"

#endif  // ATOLL_ATOLL_H_
