#include "guide.h"

namespace guide {
namespace {

using Atoll::Local;
using Atoll::Mutator;

// [handles]
/// A list of the numbers from 1 to `length`, or null when memory is refused.
Node* MakeList(Mutator& mutator, const Atoll::Type& node_type, int64_t length) {
  const Atoll::HandleScope scope(mutator);
  Local<Node> first(mutator, nullptr);
  for (int64_t i = length; i > 0; --i) {
    Node* node = Atoll::New<Node>(mutator, node_type);  // may collect: `first` is kept up to date
    if (node == nullptr) return nullptr;
    node->value = i;
    node->right.Init(mutator, node, first.get());
    first.Set(node);
    mutator.Poll();
  }
  return first.get();  // raw again: the caller puts it into a Local before it allocates
}
// [/handles]

// [first_values]
/// A node before `rest`, or null when memory is refused.
Node* MakeFront(Mutator& mutator, const Atoll::Type& node_type, int64_t value, Node* rest) {
  return Atoll::New<Node>(
      mutator, node_type,
      [&](Node* node, Node* kept) {  // `kept` is `rest`, where the collection has left it
        node->value = value;
        node->right.Init(mutator, node, kept);
      },
      rest);
}
// [/first_values]

// [stores]
void Prepend(Mutator& mutator, Node* anchor, Node* node) {
  node->right.Set(mutator, node, anchor->right.get());
  anchor->right.Set(mutator, anchor, node);  // an old anchor may get a young node: with a barrier
}
// [/stores]

// [arrays]
using Table = Atoll::RefArray<Node>;
using Bytes = Atoll::DataArray<char>;

void FillTable(Mutator& mutator, const World& world, size_t length) {
  const Atoll::HandleScope scope(mutator);
  Local<Table> table(mutator, Atoll::NewArray<Table>(mutator, *world.table_type, length));
  Local<Bytes> text(mutator, Atoll::NewArray<Bytes>(mutator, *world.bytes_type, 5));
  if (!table || !text) return;
  text->at(0) = 'a';
  for (size_t i = 0; i < length; ++i) {
    Node* node = Atoll::New<Node>(mutator, *world.node_type);
    if (node == nullptr) return;
    table->at(i).Set(mutator, table.get(), node);
  }
}
// [/arrays]

// [persistent]
/// A cache outside the heap: one root, and one reference that keeps nothing alive.
struct Cache {
  Atoll::Persistent current;
  Atoll::WeakPersistent last_seen;

  void Remember(Mutator& mutator, Node* node) {
    const Atoll::Ref ref{reinterpret_cast<Atoll::Word>(node)};
    current = Atoll::Persistent(mutator.region(), ref);
    last_seen = Atoll::WeakPersistent(mutator.region(), ref);
  }
  bool IsLastSeenAlive() const { return last_seen.Get().word != 0; }
};
// [/persistent]

// [weak]
Atoll::TypeInfo DescribeWeakBox() {
  Atoll::TypeInfo info;
  info.name = "WeakBox";
  info.layout = Atoll::Layout::kWeakRef;  // the word behind the header is the weak reference
  info.fixed_size = Atoll::kHeaderSize + sizeof(Atoll::Word);
  return info;
}
// [/weak]

// [weak_table]
/// How often was it asked for? The count lies beside the object, and ends with it.
Atoll::Word Count(Mutator& mutator, const Atoll::WeakTable& counts, Node* node) {
  const Atoll::Word count = counts.Get(mutator, node->ptr()).value_or(0) + 1;
  (void)counts.Put(mutator, node->ptr(), count);  // refused only for shared objects
  return count;
}
// [/weak_table]

void ShowWeakBox(Mutator& mutator, const World& world) {
  const Atoll::HandleScope scope(mutator);
  Atoll::LocalRef box(mutator, {mutator.Allocate(*world.weak_type).address()});
  {
    const Atoll::HandleScope inner(mutator);
    Local<Node> node(mutator, Atoll::New<Node>(mutator, *world.node_type));
    const Atoll::ObjectPtr object(box.Get().word);
    Atoll::Store(mutator, object, Atoll::Slot(object.address() + Atoll::kHeaderSize),
                 Atoll::Ref{reinterpret_cast<Atoll::Word>(node.get())});
    Check(mutator.Collect(Mutator::Collection::kMajor).ok(), "a major collection");
    Check(Atoll::WeakGet(Atoll::ObjectPtr(box.Get().word)).word ==
              reinterpret_cast<Atoll::Word>(node.get()),
          "a weak reference follows what is alive");
  }
  Check(mutator.Collect(Mutator::Collection::kMajor).ok(), "a major collection");
  Check(Atoll::WeakGet(Atoll::ObjectPtr(box.Get().word)).word == 0,
        "a weak reference to what has died is cleared");

  const Atoll::WeakTable counts(*world.heap);
  Local<Node> counted(mutator, Atoll::New<Node>(mutator, *world.node_type));
  Check(Count(mutator, counts, counted.get()) == 1, "an object begins without a word");
  (void)mutator.Collect(Mutator::Collection::kMinor);
  Check(Count(mutator, counts, counted.get()) == 2, "a weak table follows its keys");
}

void ShowCache(Mutator& mutator, const World& world) {
  Cache cache;
  Node* node = MakeList(mutator, *world.node_type, 1);
  Check(node != nullptr, "a list of one");
  cache.Remember(mutator, node);
  Check(mutator.Collect(Mutator::Collection::kMajor).ok(), "a major collection");
  Check(cache.IsLastSeenAlive(), "a Persistent keeps alive");
  cache.current.Reset();
  Check(mutator.Collect(Mutator::Collection::kMajor).ok(), "a major collection");
  Check(!cache.IsLastSeenAlive(), "a WeakPersistent does not");
}

}  // namespace

// [types]
World::World(const Atoll::HeapOptions& options) : heap(Atoll::CreateHeap(options).value()) {
  node_type = heap->RegisterType(Atoll::Describe<Node>("Node")).value();
  table_type = heap->RegisterType(Atoll::DescribeRefArray("Table")).value();
  bytes_type = heap->RegisterType(Atoll::DescribeDataArray<char>("Bytes")).value();
  weak_type = heap->RegisterType(DescribeWeakBox()).value();
}
// [/types]

void ShowObjects(World& world) {
  Attached attached(world);
  Mutator& mutator = *attached.mutator;
  {
    const Atoll::HandleScope scope(mutator);
    Local<Node> list(mutator, MakeList(mutator, *world.node_type, 100'000));
    list.Set(MakeFront(mutator, *world.node_type, 0, list.get()));
    Check(mutator.Collect(Mutator::Collection::kMajor).ok(), "a major collection");
    Prepend(mutator, list.get(), Atoll::New<Node>(mutator, *world.node_type));
    Check(mutator.Collect(Mutator::Collection::kMinor).ok(), "a minor collection");
    int64_t length = 0;
    for (Node* node = list.get(); node != nullptr; node = node->right.get()) ++length;
    Check(length == 100'002, "a list survives collections, and so do nodes put before it");
  }
  FillTable(mutator, world, 10'000);
  ShowWeakBox(mutator, world);
  ShowCache(mutator, world);
}

}  // namespace guide
