#include <cstddef>

#include "snippets.h"

namespace snippets {
namespace {

using Atoll::HandleScope;
using Atoll::Local;
using Atoll::Mutator;

// [plain_store]
void SetLeft(Mutator& mutator, Node* parent, Node* child) {
  parent->left.Set(mutator, parent, child);  // the owner is the object that the slot lies in
}
// [/plain_store]

// [store_initial]
Node* MakePair(Mutator& mutator, const Atoll::Type& type) {
  const HandleScope scope(mutator);
  Local<Node> first(mutator, Atoll::New<Node>(mutator, type));
  Node* second = Atoll::New<Node>(mutator, type);
  if (!first || second == nullptr) return nullptr;
  second->left.Init(mutator, second, first.get());  // fresh: nothing was allocated since
  first->right.Set(mutator, first.get(), second);   // one allocation old: it may be in Old
  return second;
}
// [/store_initial]

// [frame]
/// An interpreter's frame in the heap: several plain stores between two polls.
void Rotate(Mutator& mutator, Frame* frame) {
  mutator.RememberForStores(frame->ptr());
  const Atoll::Ref first = frame->at(0).slot().Load();
  for (size_t i = 1; i < frame->length; ++i) {
    frame->at(i - 1).slot().StoreRaw(frame->at(i).slot().Load());
  }
  frame->at(frame->length - 1).slot().StoreRaw(first);
}  // from the next poll or allocation on: RememberForStores again
// [/frame]

// [publish]
/// Two mutators of one region: the reader who sees the node sees its fields.
void Publish(Mutator& mutator, Node* mailbox, Node* node) {
  node->value = 42;
  Atoll::StoreRelease(mutator, mailbox->ptr(), mailbox->left.slot(),
                      Atoll::Ref{reinterpret_cast<Atoll::Word>(node)});
}
const Node* Receive(const Node* mailbox) {
  return reinterpret_cast<const Node*>(mailbox->left.slot().LoadAcquire().word);
}
// [/publish]

// [type]
Atoll::TypeInfo DescribeNode() {
  Atoll::TypeInfo info = Atoll::Describe<Node>("Node");  // the fields that Fields<Node> lists
  static_assert(Atoll::Fields<Node>::kCount == 2);
  return info;
}
// [/type]

}  // namespace

void ShowStores(Mutator& mutator, const World& world) {
  const HandleScope scope(mutator);
  Local<Node> parent(mutator, Atoll::New<Node>(mutator, *world.node_type));
  Check(mutator.Collect(Mutator::Collection::kMajor).ok(), "parent is old now");
  Node* pair = MakePair(mutator, *world.node_type);
  Check(pair != nullptr && pair->left->right.get() == pair, "a pair");
  SetLeft(mutator, parent.get(), pair);
  Check(mutator.Collect(Mutator::Collection::kMinor).ok(), "a minor collection");
  Check(parent->left->left->right.get() == parent->left.get(), "what is remembered survives");

  Local<Frame> frame(mutator, Atoll::NewArray<Frame>(mutator, *world.frame_type, 3));
  frame->at(0).Set(mutator, frame.get(), parent.get());
  Check(mutator.Collect(Mutator::Collection::kMajor).ok(), "the frame is old now");
  Rotate(mutator, frame.get());
  Check(frame->at(2).get() == parent.get() && !frame->at(0), "a frame is rotated");

  Node* message = Atoll::New<Node>(mutator, *world.node_type);
  Publish(mutator, parent.get(), message);
  Check(Receive(parent.get())->value == 42, "published with its fields");
  Check(DescribeNode().ref_offsets.size() == 2, "both fields are described");
}

}  // namespace snippets
