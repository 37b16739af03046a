// A pool of isolates that compute something large. A worker's result becomes its parent's without
// being copied, however large it is, and the worker ends with that: sendAndExit, by way of Run.

#include <algorithm>

#include "tour.h"

namespace tour {
namespace {

using Atoll::Isolate;
using Atoll::Ref;
using Atoll::Result;

struct Node : Atoll::Object {
  Atoll::Member<Node> left;
  Atoll::Member<Node> right;
  uintptr_t made_at;  // of a tree's root: its address when it was returned
};

}  // namespace
}  // namespace tour

template <>
struct Atoll::Fields<tour::Node>
    : Atoll::References<ATOLL_FIELD(tour::Node, left), ATOLL_FIELD(tour::Node, right)> {};

namespace tour {
namespace {

struct TreePool {
  // Read by all.
  const Atoll::Type* node_type;
  const Sizes& sizes;
  // The parent's.
  int begun = 0;
  int done = 0;
  double checking_millis = 0;
};

/// A tree of so many nodes; null when memory was refused.
Node* MakeTree(Atoll::Mutator& mutator, const Atoll::Type& type, int64_t nodes) {
  if (nodes == 0) return nullptr;
  mutator.Poll();  // callers hold nothing raw
  const Atoll::StackScope scope(mutator);
  const int64_t half = (nodes - 1) / 2;
  const Atoll::StackLocal<Node> left(mutator, MakeTree(mutator, type, half));
  const Atoll::StackLocal<Node> right(mutator, MakeTree(mutator, type, nodes - 1 - half));
  Node* node = Atoll::New<Node>(mutator, type);  // may collect: the locals are kept up to date
  if (node == nullptr) return nullptr;
  node->left.Init(mutator, node, left.get());
  node->right.Init(mutator, node, right.get());
  return node;
}

/// Neither allocates nor polls, so raw pointers will do.
int64_t CountNodes(const Node* node) {
  return node == nullptr ? 0 : 1 + CountNodes(node->left.get()) + CountNodes(node->right.get());
}

// [compute]
/// In a worker: a ComputeFn. All that the isolate owns goes with the result.
Result<Ref> Compute(Isolate& isolate, void* data) {
  const TreePool& pool = *static_cast<const TreePool*>(data);
  Node* tree = MakeTree(isolate.mutator(), *pool.node_type, pool.sizes.nodes);
  if (tree == nullptr) return isolate.mutator().last_error();  // is delivered like a result
  tree->made_at = reinterpret_cast<uintptr_t>(tree);
  return RefTo(tree);
}
// [/compute]

void StartWorker(Isolate& parent, TreePool& pool);

// [done]
/// In the parent: a ResultFn. The tree is the parent's own now, as if it had been made here.
void OnResult(Isolate& parent, const Result<Ref>& result, void* data) {
  TreePool& pool = *static_cast<TreePool*>(data);
  const int64_t arrived = NowNanos();
  const Node* tree = To<Node>(OrEnd(result));
  Check(reinterpret_cast<uintptr_t>(tree) == tree->made_at, "nothing was copied");
  Check(CountNodes(tree) == pool.sizes.nodes, "a tree arrives whole");
  pool.checking_millis += MillisSince(arrived);
  ++pool.done;
  if (pool.begun < pool.sizes.trees) StartWorker(parent, pool);  // the tree is garbage from here
}
// [/done]

void StartWorker(Isolate& parent, TreePool& pool) {
  ++pool.begun;
  OrEnd(Atoll::Run(parent, {.name = "worker"}, Compute, OnResult, &pool));
}

}  // namespace

void Pool(const Sizes& sizes) {
  // [entered]
  // The parent is an isolate too, on this very thread: entered here, and left at the end.
  auto group = OrEnd(Atoll::IsolateGroup::Create({.name = "pool"}));
  TreePool pool{.node_type = OrEnd(group->heap().RegisterType(Atoll::Describe<Node>("Node"))),
                .sizes = sizes};
  auto parent = OrEnd(Atoll::EnteredIsolate::Enter(*group, {.name = "parent"}));
  const int64_t began = NowNanos();
  for (int i = 0; i < std::min(sizes.workers, sizes.trees); ++i) {
    StartWorker(parent->isolate(), pool);
  }
  while (pool.done < sizes.trees) {
    Check(parent->Receive() == Atoll::EnteredIsolate::Received::kHandled, "a result arrives");
  }
  // [/entered]
  std::printf(
      "pool: %d trees of %lld nodes, made by %d isolates at a time and handed over where they "
      "are, in %.0f ms, of which the parent took %.0f ms to look through them\n",
      sizes.trees, static_cast<long long>(sizes.nodes), sizes.workers, MillisSince(began),
      pool.checking_millis);
}

}  // namespace tour
