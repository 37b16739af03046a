#ifndef ATOLL_BENCHMARKS_WORKLOADS_PLAIN_HEAP_H_
#define ATOLL_BENCHMARKS_WORKLOADS_PLAIN_HEAP_H_

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace bench {

/// What heaps have in common that do not move objects: references are plain pointers, a Root is
/// one, and scopes and polls are nothing. Derived offers AllocateNode, MakeTable, MakeDoubles.
template <typename Derived>
class PlainHeap {
 public:
  static constexpr bool kMoves = false;

  struct Node {
    Node* left;
    Node* right;
    int64_t value;
  };
  using Table = Node*;
  using Doubles = double;

  struct Scope {
    explicit Scope(PlainHeap) {}
  };
  struct Away {
    explicit Away(PlainHeap) {}
  };
  template <typename T>
  class Root {
   public:
    Root(PlainHeap, T* object) : object_(object) {}
    Root(const Root&) = delete;
    Root& operator=(const Root&) = delete;
    T* get() const { return object_; }
    void Set(T* object) { object_ = object; }

   private:
    T* object_;
  };

  Node* Make(int64_t value) { return Fill(nullptr, nullptr, value); }
  Node* Make(const Root<Node>& left, int64_t value) { return Fill(left.get(), nullptr, value); }
  Node* Make(const Root<Node>& left, Node* right, int64_t value) {
    return Fill(left.get(), right, value);
  }
  static Node* Left(const Node* node) { return node->left; }
  static Node* Right(const Node* node) { return node->right; }
  static int64_t Value(const Node* node) { return node->value; }
  void SetLeft(Node* node, Node* child) { node->left = child; }
  void SetRight(Node* node, Node* child) { node->right = child; }

  static Node* At(Table* table, size_t i) { return table[i]; }
  void Put(Table* table, size_t i, Node* node) { table[i] = node; }
  static double* Data(Doubles* doubles) { return doubles; }

  void Poll() {}

 private:
  Node* Fill(Node* left, Node* right, int64_t value) {
    auto* node = static_cast<Node*>(static_cast<Derived*>(this)->AllocateNode());
    if (__builtin_expect(node == nullptr, 0)) {
      std::fprintf(stderr, "out of memory\n");
      std::exit(1);
    }
    node->left = left;
    node->right = right;
    node->value = value;
    return node;
  }
};

}  // namespace bench

#endif  // ATOLL_BENCHMARKS_WORKLOADS_PLAIN_HEAP_H_
