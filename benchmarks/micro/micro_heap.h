#ifndef ATOLL_BENCHMARKS_MICRO_MICRO_HEAP_H_
#define ATOLL_BENCHMARKS_MICRO_MICRO_HEAP_H_

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "benchmarks/workloads/atoll_heap.h"

namespace bench {

/// What a micro-benchmark stands on: a heap, one region, and this thread as its managed mutator,
/// with a table that keeps alive what the benchmark needs.
class MicroHeap {
 public:
  using Node = AtollHeap::Node;

  explicit MicroHeap(size_t table_length = 1,
                     const AtollWorld::Options& options = AtollWorld::Defaults())
      : world_(options),
        owner_(world_),
        heap_(owner_.heap()),
        scope_(heap_),
        table_(heap_, heap_.MakeTable(table_length)) {}

  AtollWorld& world() { return world_; }
  AtollHeap heap() const { return heap_; }
  Atoll::Mutator& mutator() { return heap_.mutator(); }
  AtollHeap::Table* table() { return table_.get(); }
  size_t length() { return table()->length; }

  bool IsYoung(const Atoll::Object* object) {
    return mutator().TagOf(object->ptr().address()) == mutator().young_tag();
  }
  /// Fills the table with fresh nodes.
  void Fill() {
    for (size_t i = 0; i < length(); ++i) {
      Node* node = heap_.Make(static_cast<int64_t>(i));
      heap_.Put(table(), i, node);
    }
  }
  void Clear() {
    for (size_t i = 0; i < length(); ++i) heap_.Put(table(), i, nullptr);
  }
  /// Lets all that is young die or grow old, so that the next collection finds what is made now.
  void Empty() {
    Clear();
    CollectMinor();
    CollectMinor();
  }
  /// Fills the table with nodes and makes them old.
  void FillOld() {
    Fill();
    for (int tries = 0; tries < 8 && IsYoung(AtollHeap::At(table(), length() - 1)); ++tries) {
      CollectMinor();
    }
    CollectMajor();
    for (size_t i = 0; i < length(); ++i) {
      if (!IsYoung(AtollHeap::At(table(), i))) continue;
      std::fprintf(stderr, "a node that survived nine collections is still young\n");
      std::abort();
    }
  }
  void CollectMinor() { OrExit(mutator().Collect(Atoll::Mutator::Collection::kMinor)); }
  void CollectMajor() { OrExit(mutator().Collect(Atoll::Mutator::Collection::kMajor)); }

  /// The nodes as they lie now: valid while nothing allocates, polls or collects.
  std::vector<Node*> Nodes() {
    std::vector<Node*> nodes(length());
    for (size_t i = 0; i < nodes.size(); ++i) nodes[i] = AtollHeap::At(table(), i);
    return nodes;
  }

 private:
  AtollWorld world_;
  AtollHeap::Owner owner_;
  AtollHeap heap_;
  AtollHeap::Scope scope_;
  AtollHeap::Root<AtollHeap::Table> table_;
};

}  // namespace bench

#endif  // ATOLL_BENCHMARKS_MICRO_MICRO_HEAP_H_
