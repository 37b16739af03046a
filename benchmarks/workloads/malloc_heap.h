#ifndef ATOLL_BENCHMARKS_WORKLOADS_MALLOC_HEAP_H_
#define ATOLL_BENCHMARKS_WORKLOADS_MALLOC_HEAP_H_

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "benchmarks/workloads/plain_heap.h"

namespace bench {

/// malloc and free: what explicit memory management costs.
class MallocHeap : public PlainHeap<MallocHeap> {
 public:
  struct World {};
  using Pass = MallocHeap;
  static constexpr bool kExplicit = true;

  struct Owner {
    explicit Owner(World&) {}
    MallocHeap heap() { return {}; }
  };

  void* AllocateNode() { return std::malloc(sizeof(Node)); }
  Table* MakeTable(size_t length) {
    return static_cast<Table*>(std::calloc(length, sizeof(Table)));
  }
  Doubles* MakeDoubles(size_t length) {
    return static_cast<Doubles*>(std::malloc(length * sizeof(Doubles)));
  }

  void DropOne(Node* node) { std::free(node); }
  void DropTree(Node* node) {
    if (node == nullptr) return;
    DropTree(node->left);
    DropTree(node->right);
    std::free(node);
  }
  void DropDoubles(Doubles* doubles) { std::free(doubles); }
};

}  // namespace bench

#endif  // ATOLL_BENCHMARKS_WORKLOADS_MALLOC_HEAP_H_
