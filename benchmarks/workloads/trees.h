#ifndef ATOLL_BENCHMARKS_WORKLOADS_TREES_H_
#define ATOLL_BENCHMARKS_WORKLOADS_TREES_H_

#include <cstdint>

/// Trees of Nodes, over any heap.
///
/// The workloads in this folder are templates over a heap type H, so that Atoll, malloc and
/// Boehm's collector run the same sources. An H is a small value, handed on by value; the
/// H::Owner behind it is made on the thread that uses it, from an H::World that all threads of a
/// run share. H offers:
///
///   H::Node                         two references and an int64_t
///   H::Table, H::Doubles            an array of Node references; an array of doubles
///   H::Scope(h)                     on the stack: all Roots made since end with it
///   H::Root<T>(h, T*)               on the stack, in a Scope: get() is valid across allocations,
///                                   where a raw T* is not if the heap moves objects; Set(T*)
///   Node* Make(v)                   a node without children;  Make(left root, v),
///                                   Make(left root, right node, v): with them
///   Left(n), Right(n), Value(n)     reading;  SetLeft(n, child), SetRight(n, child): writing
///   Table* MakeTable(n); At(table, i); Put(table, i, node)
///   Doubles* MakeDoubles(n); Data(doubles)
///   Poll()                          a point at which the heap may do as it likes
///   H::Away(h)                      on the stack: no reference is touched until it ends (waiting)
///   H::Pass                         how recursive functions take an H
///   kExplicit                       explicit heaps free: DropOne, DropTree, DropDoubles
///   kMoves                          raw pointers do not outlive Make and Poll
///
/// For heaps that do not move objects a Root is a plain pointer and a Scope is nothing, so that
/// they lose nothing by it.

namespace bench {

/// A tree of depth d has 2^(d+1) - 1 nodes, each of value 1.
inline constexpr int64_t TreeSize(int depth) { return (int64_t{1} << (depth + 1)) - 1; }

template <typename H>
typename H::Node* BottomUpParent(typename H::Pass heap, int depth);

/// Both children are built, then the parent that holds them. (Inline for the leaves' sake.)
template <typename H>
inline __attribute__((always_inline)) typename H::Node* BottomUp(typename H::Pass heap, int depth) {
  return depth == 0 ? heap.Make(1) : BottomUpParent<H>(heap, depth);
}

template <typename H>
__attribute__((noinline)) typename H::Node* BottomUpParent(typename H::Pass heap, int depth) {
  const typename H::Scope scope(heap);
  const typename H::template Root<typename H::Node> left(heap, BottomUp<H>(heap, depth - 1));
  return heap.Make(left, BottomUp<H>(heap, depth - 1), 1);
}

/// Top down: children are made without children, stored into `node`, which is older, and then
/// populated themselves.
template <typename H>
void Populate(typename H::Pass heap, int depth, typename H::Node* node) {
  if (depth == 0) return;
  const typename H::Scope scope(heap);
  const typename H::template Root<typename H::Node> parent(heap, node);
  typename H::Node* left = heap.Make(1);
  heap.SetLeft(parent.get(), left);
  typename H::Node* right = heap.Make(1);
  heap.SetRight(parent.get(), right);
  if (depth == 1) return;
  Populate<H>(heap, depth - 1, heap.Left(parent.get()));
  Populate<H>(heap, depth - 1, heap.Right(parent.get()));
}

/// The sum over a tree, with no poll on the way.
template <typename H>
int64_t CountWithoutPoll(const typename H::Node* node) {
  const int64_t value = H::Value(node);
  const typename H::Node* left = H::Left(node);
  if (left == nullptr) return value;
  return value + CountWithoutPoll<H>(left) + CountWithoutPoll<H>(H::Right(node));
}

/// The sum over a tree of this depth. A heap with polls gets one every 1,000 nodes or so, as
/// managed code has at its calls, lest another mutator of the region wait for the whole walk.
template <typename H>
int64_t Count(typename H::Pass heap, typename H::Node* node, int depth) {
  constexpr int kDepthBetweenPolls = 9;
  if (!H::kMoves || depth <= kDepthBetweenPolls) return CountWithoutPoll<H>(node);
  const typename H::Scope scope(heap);
  const typename H::template Root<typename H::Node> root(heap, node);
  heap.Poll();
  int64_t sum = H::Value(root.get());
  sum += Count<H>(heap, H::Left(root.get()), depth - 1);
  sum += Count<H>(heap, H::Right(root.get()), depth - 1);
  return sum;
}

}  // namespace bench

#endif  // ATOLL_BENCHMARKS_WORKLOADS_TREES_H_
