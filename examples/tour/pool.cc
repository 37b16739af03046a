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
};
/// A result: a tree, and when it was finished.
struct Parcel : Atoll::Object {
  Atoll::Member<Node> tree;
  int64_t finished;
};

}  // namespace
}  // namespace tour

template <>
struct Atoll::Fields<tour::Node>
    : Atoll::References<ATOLL_FIELD(tour::Node, left), ATOLL_FIELD(tour::Node, right)> {};
template <>
struct Atoll::Fields<tour::Parcel> : Atoll::References<ATOLL_FIELD(tour::Parcel, tree)> {};

namespace tour {
namespace {

struct TreePool {
  // Read by all.
  const Atoll::Type* node_type;
  const Atoll::Type* parcel_type;
  const Sizes& sizes;
  // The parent's.
  int begun = 0;
  int done = 0;
  int64_t fastest_nanos = INT64_MAX;
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

/// Neither allocates nor polls, so that raw pointers do.
int64_t CountNodes(const Node* node) {
  return node == nullptr ? 0 : 1 + CountNodes(node->left.get()) + CountNodes(node->right.get());
}

// [compute]
/// In a worker: a ComputeFn. All that the isolate owns goes with the result.
Result<Ref> Compute(Isolate& isolate, void* data) {
  const TreePool& pool = *static_cast<const TreePool*>(data);
  Atoll::Mutator& mutator = isolate.mutator();
  const Atoll::HandleScope scope(mutator);
  const Atoll::Local<Node> tree(mutator, MakeTree(mutator, *pool.node_type, pool.sizes.nodes));
  Parcel* parcel = tree ? Atoll::New<Parcel>(mutator, *pool.parcel_type) : nullptr;
  if (parcel == nullptr) return mutator.last_error();  // is delivered like a result
  parcel->tree.Init(mutator, parcel, tree.get());
  parcel->finished = NowNanos();
  return RefTo(parcel);
}
// [/compute]

void StartWorker(Isolate& parent, TreePool& pool);

// [done]
/// In the parent: a ResultFn. The tree is the parent's own now, as if it had been made here.
void OnResult(Isolate& parent, const Result<Ref>& result, void* data) {
  TreePool& pool = *static_cast<TreePool*>(data);
  const int64_t arrived = NowNanos();
  const Parcel* parcel = To<Parcel>(OrEnd(result));
  pool.fastest_nanos = std::min(pool.fastest_nanos, arrived - parcel->finished);
  Check(CountNodes(parcel->tree.get()) == pool.sizes.nodes, "a tree arrives whole");
  pool.checking_millis += MillisSince(arrived);
  ++pool.done;
  if (pool.begun < pool.sizes.trees) StartWorker(parent, pool);  // the parcel is garbage from here
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
                .parcel_type = OrEnd(group->heap().RegisterType(Atoll::Describe<Parcel>("Parcel"))),
                .sizes = sizes};
  auto parent = OrEnd(Atoll::EnteredIsolate::Enter(*group, {.name = "parent"}));
  const int64_t began = NowNanos();
  for (int i = 0; i < std::min(sizes.workers_at_a_time, sizes.trees); ++i) {
    StartWorker(parent->isolate(), pool);
  }
  while (pool.done < sizes.trees) {
    Check(parent->Receive() == Atoll::EnteredIsolate::Received::kHandled, "a result arrives");
  }
  // [/entered]
  std::printf(
      "pool: %d trees of %lld nodes, made by %d isolates at a time, in %.0f ms; a tree is handed "
      "over in %.1f us and looked through in %.1f ms\n",
      sizes.trees, static_cast<long long>(sizes.nodes), sizes.workers_at_a_time, MillisSince(began),
      static_cast<double>(pool.fastest_nanos) / 1e3, pool.checking_millis / sizes.trees);
}

}  // namespace tour
