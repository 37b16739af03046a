#ifndef ATOLL_BENCHMARKS_WORKLOADS_ATOLL_HEAP_H_
#define ATOLL_BENCHMARKS_WORKLOADS_ATOLL_HEAP_H_

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "atoll/atoll.h"

namespace bench {

/// Two references and a number: 32 bytes with the header, 24 where references are compressed.
template <typename E>
struct AtollNodeOf : Atoll::Object {
  Atoll::MemberOf<AtollNodeOf, E> left;
  Atoll::MemberOf<AtollNodeOf, E> right;
  int64_t value;
};
using AtollNode = AtollNodeOf<Atoll::PlainPointers>;
using CompressedAtollNode = AtollNodeOf<Atoll::CompressedPointers>;
static_assert(sizeof(AtollNode) == 32 && sizeof(CompressedAtollNode) == 24);

}  // namespace bench

template <typename E>
struct Atoll::Fields<bench::AtollNodeOf<E>>
    : Atoll::References<ATOLL_FIELD(bench::AtollNodeOf<E>, left),
                        ATOLL_FIELD(bench::AtollNodeOf<E>, right)> {};

namespace bench {

/// Ends the program where a benchmark can only give up.
template <typename T>
T OrExit(Atoll::Result<T> result) {
  if (result.ok()) return std::move(result).value();
  std::fprintf(stderr, "atoll: %s\n", result.status().message().c_str());
  std::exit(1);
}
inline void OrExit(const Atoll::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "atoll: %s\n", status.message().c_str());
  std::exit(1);
}

/// One Atoll heap with the types of the workloads; every AtollHeapOf::Owner made from it is a
/// mutator with a region of its own, or, where `one_region` is asked for, a mutator of the one
/// region.
class AtollWorld {
 public:
  struct Options {
    Atoll::HeapOptions heap;
    bool one_region = false;
    bool isolates = false;  ///< owners are isolates of a group, on their own threads
  };

  /// The options of all worlds made without any; set once, before the first.
  static Options& Defaults() {
    static Options options;
    return options;
  }

  AtollWorld() : AtollWorld(Defaults()) {}
  explicit AtollWorld(const Options& options)
      : group_(options.isolates ? OrExit(Atoll::IsolateGroup::Create({.heap = options.heap}))
                                : nullptr),
        own_heap_(options.isolates ? nullptr : OrExit(Atoll::CreateHeap(options.heap))),
        heap_(options.isolates ? &group_->heap() : own_heap_.get()),
        node_type_(OrExit(heap_->RegisterType(is_compressed()
                                                  ? Atoll::Describe<CompressedAtollNode>("Node")
                                                  : Atoll::Describe<AtollNode>("Node")))),
        table_type_(OrExit(heap_->RegisterType(
            is_compressed() ? Atoll::DescribeRefArray<Atoll::CompressedPointers>("Table")
                            : Atoll::DescribeRefArray("Table")))),
        doubles_type_(OrExit(heap_->RegisterType(Atoll::DescribeDataArray<double>("Doubles")))) {
    if (options.one_region) {
      shared_ = OrExit(heap_->CreateRegion({.name = "shared"}));
    }
  }

  Atoll::Heap& heap() { return *heap_; }
  /// Whether it is for AtollHeapOf<CompressedPointers>; for AtollHeap if not.
  bool is_compressed() const { return heap_->encoding().compressed; }
  /// Null unless owners are isolates.
  Atoll::IsolateGroup* group() { return group_.get(); }
  const Atoll::Type& node_type() const { return *node_type_; }
  const Atoll::Type& table_type() const { return *table_type_; }
  const Atoll::Type& doubles_type() const { return *doubles_type_; }
  /// Null unless all mutators share one.
  Atoll::Region* shared_region() { return shared_.get(); }

 private:
  std::unique_ptr<Atoll::IsolateGroup> group_;
  std::unique_ptr<Atoll::Heap> own_heap_;
  Atoll::Heap* heap_;
  const Atoll::Type* node_type_;
  const Atoll::Type* table_type_;
  const Atoll::Type* doubles_type_;
  std::unique_ptr<Atoll::Region> shared_;
};

/// The heap type of the workloads (see trees.h) on Atoll: the mutator and what goes with it.
template <typename E>
class AtollHeapOf {
 public:
  using World = AtollWorld;
  using Pass = const AtollHeapOf&;  // three words would go over the stack at each call
  using Node = AtollNodeOf<E>;
  using Table = Atoll::RefArrayOf<Node, E>;
  using Doubles = Atoll::DataArray<double>;
  static constexpr bool kExplicit = false;
  static constexpr bool kMoves = true;

  class Owner;

  class Scope {
   public:
    ATOLL_ALWAYS_INLINE explicit Scope(AtollHeapOf heap) : scope_(heap.mutator()) {}

   private:
    Atoll::StackScope scope_;
  };
  template <typename T>
  class Root : public Atoll::StackLocal<T> {
   public:
    ATOLL_ALWAYS_INLINE Root(AtollHeapOf heap, T* object)
        : Atoll::StackLocal<T>(heap.mutator(), object) {}
  };
  struct Away {
    explicit Away(AtollHeapOf heap) : scope(heap.mutator()) {}
    Atoll::NativeScope scope;
  };

  ATOLL_ALWAYS_INLINE Node* Make(int64_t value) const {
    return Checked(
        Atoll::New<Node>(mutator(), *node_type_, [value](Node* node) { node->value = value; }));
  }
  ATOLL_ALWAYS_INLINE Node* Make(const Root<Node>& left, int64_t value) const {
    return Make(left, nullptr, value);
  }
  ATOLL_ALWAYS_INLINE Node* Make(const Root<Node>& left, Node* right, int64_t value) const {
    return Checked(Atoll::New<Node>(
        mutator(), *node_type_,
        [value, this](Node* node, Node* left, Node* right) {
          node->left.Init(mutator(), node, left);
          node->right.Init(mutator(), node, right);
          node->value = value;
        },
        left.get(), right));
  }
  static Node* Left(const Node* node) { return node->left.get(); }
  static Node* Right(const Node* node) { return node->right.get(); }
  static int64_t Value(const Node* node) { return node->value; }
  ATOLL_ALWAYS_INLINE void SetLeft(Node* node, Node* child) const {
    node->left.Set(mutator(), node, child);
  }
  ATOLL_ALWAYS_INLINE void SetRight(Node* node, Node* child) const {
    node->right.Set(mutator(), node, child);
  }

  Table* MakeTable(size_t length) const {
    return Checked(Atoll::NewArray<Table>(mutator(), *context_->table_type, length));
  }
  Doubles* MakeDoubles(size_t length) const {
    return Checked(Atoll::NewArray<Doubles>(mutator(), *context_->doubles_type, length));
  }
  static Node* At(Table* table, size_t i) { return table->at(i).get(); }
  ATOLL_ALWAYS_INLINE void Put(Table* table, size_t i, Node* node) const {
    table->at(i).Set(mutator(), table, node);
  }
  static double* Data(Doubles* doubles) { return doubles->elements(); }

  ATOLL_ALWAYS_INLINE void Poll() const { mutator().Poll(); }
  Atoll::Mutator& mutator() const { return *mutator_; }
  Atoll::Region& region() const { return mutator().region(); }

 private:
  struct Context {
    Atoll::Mutator* mutator;
    const Atoll::Type* node_type;
    const Atoll::Type* table_type;
    const Atoll::Type* doubles_type;
  };

  explicit AtollHeapOf(Context* context)
      : context_(context), mutator_(context->mutator), node_type_(context->node_type) {}

  template <typename T>
  ATOLL_ALWAYS_INLINE T* Checked(T* object) const {
    if (ATOLL_UNLIKELY(object == nullptr)) OutOfMemory(mutator());
    return object;
  }
  [[noreturn]] ATOLL_COLD static void OutOfMemory(Atoll::Mutator& mutator) {
    OrExit(mutator.last_error());
    std::abort();
  }

  Context* context_;
  // Copies of what every node needs: values that a compiler can keep in registers.
  Atoll::Mutator* mutator_;
  const Atoll::Type* node_type_;
};

/// The mutator itself, managed for as long as this stands, and its region if it has its own.
template <typename E>
class AtollHeapOf<E>::Owner {
 public:
  explicit Owner(World& world)
      : context_{nullptr, &world.node_type(), &world.table_type(), &world.doubles_type()} {
    if (world.group() != nullptr) {
      entered_ = OrExit(Atoll::EnteredIsolate::Enter(*world.group(), {}));
      context_.mutator = &entered_->isolate().mutator();
      return;
    }
    Atoll::Region* region = world.shared_region();
    if (region == nullptr) {
      own_region_ = OrExit(world.heap().CreateRegion({.name = "mutator"}));
      region = own_region_.get();
    }
    mutator_ = OrExit(region->AttachMutator("mutator"));
    context_.mutator = mutator_.get();
    mutator_->LeaveNative();
  }
  ~Owner() {
    if (mutator_ != nullptr) OrExit(mutator_->Detach());
  }
  Owner(const Owner&) = delete;
  Owner& operator=(const Owner&) = delete;

  AtollHeapOf heap() { return AtollHeapOf(&context_); }

 private:
  Context context_;
  std::unique_ptr<Atoll::EnteredIsolate> entered_;
  std::unique_ptr<Atoll::Region> own_region_;
  std::unique_ptr<Atoll::Mutator> mutator_;
};

using AtollHeap = AtollHeapOf<Atoll::PlainPointers>;

}  // namespace bench

#endif  // ATOLL_BENCHMARKS_WORKLOADS_ATOLL_HEAP_H_
