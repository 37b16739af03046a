#ifndef ATOLL_BENCHMARKS_WORKLOADS_BOEHM_HEAP_H_
#define ATOLL_BENCHMARKS_WORKLOADS_BOEHM_HEAP_H_

#define GC_THREADS
#include <gc/gc.h>
#include <gc/gc_inline.h>

#include <cstddef>
#include <cstdint>

#include "benchmarks/workloads/plain_heap.h"

namespace bench {

/// Makes the calling thread known to the collector while it stands, if it is not.
class BoehmThread {
 public:
  BoehmThread() {
    if (GC_thread_is_registered()) return;
    GC_stack_base base;
    GC_get_stack_base(&base);
    GC_register_my_thread(&base);
    registered_here_ = true;
  }
  ~BoehmThread() {
    if (registered_here_) GC_unregister_my_thread();
  }
  BoehmThread(const BoehmThread&) = delete;
  BoehmThread& operator=(const BoehmThread&) = delete;

 private:
  bool registered_here_ = false;
};

/// The Boehm-Demers-Weiser collector: conservative, one heap for all threads.
class BoehmHeap : public PlainHeap<BoehmHeap> {
 public:
  struct World {};
  using Pass = BoehmHeap;
  static constexpr bool kExplicit = false;

  struct Owner {
    explicit Owner(World&) {}
    BoehmHeap heap() { return {}; }
    BoehmThread thread;
  };

  void* AllocateNode() { return GC_MALLOC(sizeof(Node)); }
  Table* MakeTable(size_t length) { return static_cast<Table*>(GC_MALLOC(length * sizeof(Table))); }
  Doubles* MakeDoubles(size_t length) {
    return static_cast<Doubles*>(GC_MALLOC_ATOMIC(length * sizeof(Doubles)));
  }
};

}  // namespace bench

#endif  // ATOLL_BENCHMARKS_WORKLOADS_BOEHM_HEAP_H_
