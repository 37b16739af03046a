// The smallest program on Atoll: a list that outlives its garbage. README.md shows it.

// [program]
#include <atoll/atoll.h>

#include <cstdio>

struct Node : Atoll::Object {
  Atoll::Member<Node> next;
  int64_t value;
};
template <>
struct Atoll::Fields<Node> : Atoll::References<ATOLL_FIELD(Node, next)> {};

int main() {
  auto heap = Atoll::CreateHeap({}).value();
  const Atoll::Type& type = *heap->RegisterType(Atoll::Describe<Node>("Node")).value();
  auto region = heap->CreateRegion({.name = "main"}).value();
  auto mutator = region->AttachMutator("main").value();
  int64_t sum = 0;
  {
    const Atoll::ManagedScope managed(*mutator);
    const Atoll::HandleScope scope(*mutator);
    Atoll::Local<Node> list(*mutator, nullptr);  // seen and updated by collections
    for (int64_t i = 0; i < 10'000'000; ++i) {
      Node* node = Atoll::New<Node>(*mutator, type);  // may collect: raw pointers are stale now
      if (node == nullptr) return 1;
      node->value = i;
      node->next.Set(*mutator, node, list.get());  // every store goes through the barrier
      if (i % 100 == 0) list.Set(node);            // the other 99 die
      mutator->Poll();
    }
    for (Node* node = list.get(); node != nullptr; node = node->next.get()) sum += node->value;
  }
  std::printf("sum %lld, %llu collections\n", static_cast<long long>(sum),
              static_cast<unsigned long long>(region->stats().minors));
  return mutator->Detach().ok() ? 0 : 1;
}
// [/program]
