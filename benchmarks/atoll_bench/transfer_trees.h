#ifndef ATOLL_BENCHMARKS_ATOLL_BENCH_TRANSFER_TREES_H_
#define ATOLL_BENCHMARKS_ATOLL_BENCH_TRANSFER_TREES_H_

#include <vector>

#include "benchmarks/atoll_bench/isolate_world.h"
#include "benchmarks/atoll_bench/isolates.h"
#include "benchmarks/workloads/measure.h"

/// What the transfer workloads have in common: the trees, and how often.

namespace bench {

inline Atoll::Ref RefTo(const Atoll::Object* object) {
  return {reinterpret_cast<Atoll::Word>(object)};
}

/// A balanced tree of n nodes, each of value 1. Ends the program when memory is refused.
inline AtollNode* BuildTree(const IsolateWorld& world, Atoll::Isolate& isolate, int64_t n) {
  if (n == 0) return nullptr;
  Atoll::Mutator& mutator = isolate.mutator();
  Atoll::StackScope scope(mutator);
  const int64_t half = (n - 1) / 2;
  Atoll::StackLocal<AtollNode> left(mutator, BuildTree(world, isolate, half));
  Atoll::StackLocal<AtollNode> right(mutator, BuildTree(world, isolate, n - 1 - half));
  AtollNode* node = Atoll::New<AtollNode>(mutator, world.node_type());
  if (node == nullptr) OrExit(mutator.last_error());
  node->left.Init(mutator, node, left.get());
  node->right.Init(mutator, node, right.get());
  node->value = 1;
  return node;
}

inline int64_t CountTree(const AtollNode* node) {
  return node == nullptr ? 0
                         : node->value + CountTree(node->left.get()) + CountTree(node->right.get());
}

/// Trees made of this size.
inline int TransferRepetitions(const IsolateOptions& options, int64_t nodes) {
  if (options.transfers != 0) return options.transfers;
  return nodes >= 10'000'000 ? 10 : 100;
}

/// transfer_shared, for one size.
void RunSharedTransfer(const IsolateOptions& options, int64_t nodes, const Report& report);

}  // namespace bench

#endif  // ATOLL_BENCHMARKS_ATOLL_BENCH_TRANSFER_TREES_H_
