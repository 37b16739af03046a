#include <string>

#include "snippets.h"

namespace snippets {
namespace {

using Atoll::HandleScope;
using Atoll::Local;
using Atoll::Mutator;

// [native]
/// Writes a text that lies in the heap, which may take long: with a copy, outside.
size_t Write(Mutator& mutator, const Local<Bytes>& text, std::string& file) {
  const std::string copy(text->elements(), text->length);
  const Atoll::NativeScope native(mutator);  // others may collect from here on
  file += copy;
  return copy.size();
}
// [/native]

// [mutex]
/// A table that several mutators use. Whoever waits for it holds up nobody's collection.
class Registry {
 public:
  void Add(Mutator& mutator, const Local<Node>& node) {
    const Atoll::SafepointMutexLock lock(mutex_);  // may wait: a safepoint
    const Atoll::Ref ref{reinterpret_cast<Atoll::Word>(node.get())};
    latest_ = Atoll::Persistent(mutator.region(), ref);
  }
  Node* latest() const { return reinterpret_cast<Node*>(latest_.Get().word); }

 private:
  Atoll::SafepointMutex mutex_{/*rank=*/200, "registry"};
  Atoll::Persistent latest_;
};
// [/mutex]

// [no_collect]
/// Sums a tree by raw pointers. Short, and allocates nothing: so the scope costs nobody anything.
int64_t Sum(Mutator& mutator, const Node* root) {
  const Atoll::NoCollectScope nothing_moves(mutator);
  int64_t sum = 0;
  for (const Node* node = root; node != nullptr; node = node->left.get()) {
    sum += node->value;
    mutator.Poll();  // handshakes are answered; nothing of this region moves
  }
  return sum;
}
// [/no_collect]

// [finalizer]
/// What the finalizer needs lies outside the heap: the object is gone when it runs.
struct Handle {
  int* open_count;
};
Atoll::Status Open(Mutator& mutator, const Node* owner, int* open_count) {
  auto* handle = new Handle{open_count};
  ++*open_count;
  return mutator.AddFinalizer(
      owner->ptr(), Atoll::FinalizerKind::kThreadAffine,
      [](void* data) {
        auto* handle = static_cast<Handle*>(data);
        --*handle->open_count;
        delete handle;
      },
      handle);
}
// [/finalizer]

// [null]
/// Null is an answer, not a crash: what was built so far stays, and the caller is told.
bool Append(Mutator& mutator, Local<Node>& list, const Atoll::Type& type, std::string& error) {
  Node* node = Atoll::New<Node>(mutator, type);
  if (node == nullptr) {
    error = mutator.last_error().message();
    return false;
  }
  node->left.Init(mutator, node, list.get());
  list.Set(node);
  return true;
}
// [/null]

}  // namespace

void ShowStates(Mutator& mutator, const World& world) {
  const HandleScope scope(mutator);
  Local<Bytes> text(mutator, Atoll::NewArray<Bytes>(mutator, *world.bytes_type, 3));
  text->at(0) = 'a';
  std::string file;
  Check(Write(mutator, text, file) == 3 && file[0] == 'a', "written from native state");

  Local<Node> list(mutator, nullptr);
  std::string error;
  for (int i = 0; i < 10; ++i) {
    Check(Append(mutator, list, *world.node_type, error), "a list grows");
    list->value = i;
  }
  Check(Sum(mutator, list.get()) == 45, "a sum by raw pointers");
  Registry registry;
  registry.Add(mutator, list);
  Check(mutator.Collect(Mutator::Collection::kMajor).ok(), "a major collection");
  Check(registry.latest() == list.get(), "a persistent handle follows");

  int open = 0;
  {
    const HandleScope inner(mutator);
    Local<Node> owner(mutator, Atoll::New<Node>(mutator, *world.node_type));
    Check(Open(mutator, owner.get(), &open).ok() && open == 1, "opened");
  }
  Check(mutator.Collect(Mutator::Collection::kMajor).ok(), "a major collection");
  mutator.Poll();
  Check(open == 0, "closed at a poll of its own thread");
}

}  // namespace snippets
