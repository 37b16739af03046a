#include <unordered_map>

#include "snippets.h"

namespace snippets {
namespace {

using Atoll::HandleScope;
using Atoll::Local;
using Atoll::Mutator;

// [raw_pointer]
Node* MakeFork(Mutator& mutator, const Atoll::Type& type) {
  const HandleScope scope(mutator);
  Local<Node> left(mutator, Atoll::New<Node>(mutator, type));
  Local<Node> right(mutator, Atoll::New<Node>(mutator, type));  // may move what `left` holds
  Node* fork = Atoll::New<Node>(mutator, type);
  if (!left || !right || fork == nullptr) return nullptr;
  fork->left.Init(mutator, fork, left.get());
  fork->right.Init(mutator, fork, right.get());
  return fork;  // raw: the caller's first act is to put it into a Local, or to be done with it
}
// [/raw_pointer]

// [evaluation_order]
bool AddLeft(Mutator& mutator, Local<Node>& parent, const Atoll::Type& type) {
  Node* child = Atoll::New<Node>(mutator, type);
  if (child == nullptr) return false;
  parent->left.Set(mutator, parent.get(), child);  // parent is read after the allocation
  return true;
}
// [/evaluation_order]

// [loop_scope]
bool Grow(Mutator& mutator, Local<Node>& root, const Atoll::Type& type, int rounds) {
  for (int i = 0; i < rounds; ++i) {
    const HandleScope round(mutator);  // frees this round's handles
    Local<Node> fork(mutator, MakeFork(mutator, type));
    if (!fork || !AddLeft(mutator, fork, type)) return false;
    root.Set(fork.get());
    mutator.Poll();
  }
  return true;
}
// [/loop_scope]

// [interior]
bool FillFrame(Mutator& mutator, Local<Frame>& frame, const Atoll::Type& type) {
  for (size_t i = 0; i < frame->length; ++i) {
    Node* node = Atoll::New<Node>(mutator, type);
    if (node == nullptr) return false;
    frame->at(i).Set(mutator, frame.get(), node);  // the element's address is taken anew each time
  }
  return true;
}
// [/interior]

// [identity_hash]
/// Counts how often an object was seen. The address changes; the identity hash does not.
class SeenCounts {
 public:
  int Count(Mutator& mutator, const Node* node) {
    return ++counts_[mutator.IdentityHash(node->ptr())];
  }

 private:
  std::unordered_map<uint32_t, int> counts_;  // good enough here: two objects may share a hash
};
// [/identity_hash]

// [weak]
int64_t ValueOr(Mutator& mutator, const Local<Atoll::Object>& weak_box, int64_t otherwise) {
  const HandleScope scope(mutator);
  const Atoll::Ref ref = Atoll::WeakGet(weak_box->ptr());
  Local<Node> node(mutator, reinterpret_cast<Node*>(ref.word));  // from here it is kept alive
  mutator.Poll();
  return node ? node->value : otherwise;
}
// [/weak]

void ShowWeak(Mutator& mutator, const World& world) {
  const HandleScope scope(mutator);
  Local<Node> node(mutator, Atoll::New<Node>(mutator, *world.node_type));
  node->value = 7;
  Local<Atoll::Object> box(
      mutator, reinterpret_cast<Atoll::Object*>(mutator.Allocate(*world.weak_type).address()));
  Atoll::StoreInitial(mutator, box->ptr(), Atoll::Slot(box->ptr().address() + Atoll::kHeaderSize),
                      Atoll::Ref{reinterpret_cast<Atoll::Word>(node.get())});
  Check(ValueOr(mutator, box, 0) == 7, "a weak reference to what is alive");
  node.Set(nullptr);
  Check(mutator.Collect(Mutator::Collection::kMajor).ok(), "a major collection");
  Check(ValueOr(mutator, box, 0) == 0, "a weak reference to what is dead");
}

}  // namespace

void ShowPointers(Mutator& mutator, const World& world) {
  const HandleScope scope(mutator);
  Local<Node> root(mutator, nullptr);
  Check(Grow(mutator, root, *world.node_type, 50) && root->left && root->right, "a tree grows");

  Local<Frame> frame(mutator, Atoll::NewArray<Frame>(mutator, *world.frame_type, 40));
  Check(FillFrame(mutator, frame, *world.node_type) && frame->at(39), "a frame is filled");

  SeenCounts seen;
  Check(seen.Count(mutator, root.get()) == 1, "first seen");
  Check(mutator.Collect(Mutator::Collection::kMajor).ok(), "a major collection");
  Check(seen.Count(mutator, root.get()) == 2, "an identity survives a move");
  ShowWeak(mutator, world);
}

}  // namespace snippets
