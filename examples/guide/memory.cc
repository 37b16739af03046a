#include <atomic>
#include <string>

#include "guide.h"

namespace guide {
namespace {

using Atoll::Local;
using Atoll::Mutator;

// [no_collect]
/// Two nodes that point at each other, made by code that holds raw pointers.
Node* MakePair(Mutator& mutator, const Atoll::Type& type) {
  const Atoll::NoCollectScope nothing_moves(mutator);
  auto* a = reinterpret_cast<Node*>(mutator.AllocateNoCollect(type, sizeof(Node)).address());
  auto* b = reinterpret_cast<Node*>(mutator.AllocateNoCollect(type, sizeof(Node)).address());
  if (a == nullptr || b == nullptr) return nullptr;
  a->right.Set(mutator, a, b);
  b->right.Set(mutator, b, a);
  return a;
}
// [/no_collect]

// [pin]
/// Hands the bytes of a heap object to code that keeps their address while it runs elsewhere.
template <typename Call>
void WithStableBytes(Mutator& mutator, Local<Atoll::DataArray<char>>& bytes, Call call) {
  const Atoll::ObjectPtr object = bytes->ptr();
  if (!mutator.Pin(object).ok()) return;
  {
    const Atoll::NativeScope native(mutator);  // others may collect meanwhile: this stays
    call(reinterpret_cast<Atoll::DataArray<char>*>(object.address())->elements());
  }
  (void)mutator.Unpin(object);
}
// [/pin]

// [finalizer]
/// A heap object that owns native memory: freed when the object dies, or its region is freed.
Atoll::Status OwnBuffer(Mutator& mutator, Node* owner, size_t bytes) {
  char* buffer = new char[bytes];
  Atoll::Status status = mutator.AddFinalizer(
      owner->ptr(), Atoll::FinalizerKind::kNative,
      [](void* data) { delete[] static_cast<char*>(data); }, buffer, /*external_bytes=*/bytes);
  if (!status.ok()) delete[] buffer;
  return status;
}
// [/finalizer]

// [guardian]
/// Takes what has died of the objects that were given a guardian, to reuse or to close it.
int DrainGuarded(Mutator& mutator) {
  int drained = 0;
  for (Atoll::Ref dead; (dead = mutator.region().NextGuarded()).word != 0;) ++drained;
  return drained;
}
// [/guardian]

// [limit]
/// Lets the region grow once by half a limit before allocations fail.
class Lenient final : public Atoll::RegionClient {
 public:
  size_t NearLimit(size_t needed_bytes, size_t limit_bytes) override {
    if (asked_++ > 0) return limit_bytes;  // no more: the allocation returns null
    return needed_bytes > limit_bytes + limit_bytes / 2 ? limit_bytes
                                                        : limit_bytes + limit_bytes / 2;
  }
  int asked() const { return asked_; }

 private:
  int asked_ = 0;
};
// [/limit]

/// Makes a list until memory is refused. Returns what the mutator says of it.
std::string FillUp(Mutator& mutator, const Atoll::Type& type) {
  const Atoll::HandleScope scope(mutator);
  Local<Node> list(mutator, nullptr);
  // [out_of_memory]
  for (;;) {
    Node* node = Atoll::New<Node>(mutator, type);
    if (node == nullptr) return mutator.last_error().message();  // make it your language's error
    node->right.Init(mutator, node, list.get());
    list.Set(node);
  }
  // [/out_of_memory]
}

void ShowLimit(World& world) {
  Lenient client;
  Attached attached(world, {.name = "small", .limit_bytes = size_t{4} << 20, .client = &client});
  const std::string message = FillUp(*attached.mutator, *world.node_type);
  Check(client.asked() >= 2 && !message.empty(), "a limit is asked for, then refuses");
  Check(attached.mutator->Collect(Mutator::Collection::kMajor).ok(), "a major collection");
  Check(Atoll::New<Node>(*attached.mutator, *world.node_type) != nullptr,
        "after the list has died there is memory again");
}

void ShowFinalizers(Mutator& mutator, const World& world) {
  std::atomic<int> finalized{0};
  {
    const Atoll::HandleScope scope(mutator);
    Local<Node> owner(mutator, Atoll::New<Node>(mutator, *world.node_type));
    Check(OwnBuffer(mutator, owner.get(), 1'000).ok(), "a native finalizer");
    Check(mutator
              .AddFinalizer(
                  owner->ptr(), Atoll::FinalizerKind::kNative,
                  [](void* data) { ++*static_cast<std::atomic<int>*>(data); }, &finalized)
              .ok(),
          "a second one");
    Local<Node> guarded(mutator, Atoll::New<Node>(mutator, *world.node_type));
    Check(mutator.AddFinalizer(guarded->ptr(), Atoll::FinalizerKind::kGuardian, nullptr, nullptr)
              .ok(),
          "a guardian");
    Check(mutator.Collect(Mutator::Collection::kMajor).ok(), "a major collection");
    Check(finalized == 0 && DrainGuarded(mutator) == 0, "nothing is finalized that is alive");
  }
  Check(mutator.Collect(Mutator::Collection::kMajor).ok(), "a major collection");
  mutator.Poll();
  Check(finalized == 1, "what has died is finalized");
  Check(DrainGuarded(mutator) == 1, "what has died comes back once from its guardian");
}

void ShowPin(Mutator& mutator, const World& world) {
  const Atoll::HandleScope scope(mutator);
  Local<Atoll::DataArray<char>> bytes(
      mutator, Atoll::NewArray<Atoll::DataArray<char>>(mutator, *world.bytes_type, 100));
  char* seen = nullptr;
  WithStableBytes(mutator, bytes, [&](char* data) {
    seen = data;
    data[99] = 'z';
  });
  Check(bytes->elements() == seen && bytes->at(99) == 'z', "a pinned object stays where it is");
}

}  // namespace

void ShowMemory(World& world) {
  {
    Attached attached(world);
    Mutator& mutator = *attached.mutator;
    Node* pair = MakePair(mutator, *world.node_type);
    Check(pair != nullptr && pair->right->right.get() == pair, "a pair made without collection");
    ShowPin(mutator, world);
    ShowFinalizers(mutator, world);
  }
  ShowLimit(world);
}

}  // namespace guide
