#include "snippets.h"

namespace snippets {
namespace {

// [compressed_node]
/// 16 bytes with its header, where Members would make it 24.
struct Fork : Atoll::Object {
  Atoll::CompressedMember<Fork> left;
  Atoll::CompressedMember<Fork> right;
};
using Forks = Atoll::CompressedRefArray<Fork>;
// [/compressed_node]
static_assert(sizeof(Fork) == 16);

}  // namespace
}  // namespace snippets

template <>
struct Atoll::Fields<snippets::Fork>
    : Atoll::References<ATOLL_FIELD(snippets::Fork, left), ATOLL_FIELD(snippets::Fork, right)> {};

namespace snippets {

void ShowCompressed(Atoll::HeapOptions options) {
  // [compressed_heap]
  options.encoding = Atoll::CompressedPointers::kEncoding;
  const auto heap = Atoll::CreateHeap(options).value();
  const Atoll::Type* fork_type = heap->RegisterType(Atoll::Describe<Fork>("Fork")).value();
  const Atoll::Type* forks_type =
      heap->RegisterType(Atoll::DescribeRefArray<Atoll::CompressedPointers>("Forks")).value();
  // [/compressed_heap]
  const auto region = heap->CreateRegion({.name = "compressed"}).value();
  const auto mutator = region->AttachMutator("main").value();
  {
    const Atoll::ManagedScope managed(*mutator);
    const Atoll::HandleScope scope(*mutator);
    Atoll::Local<Forks> forks(*mutator, Atoll::NewArray<Forks>(*mutator, *forks_type, 100));
    for (size_t i = 1; i < 100; ++i) {
      Fork* fork = Atoll::New<Fork>(*mutator, *fork_type);
      fork->left.Init(*mutator, fork, forks->at(i - 1).get());
      forks->at(i).Set(*mutator, forks.get(), fork);
    }
    for (size_t i = 1; i < 100; ++i) {
      Check(forks->at(i)->left.get() == forks->at(i - 1).get(), "what moved is found");
    }
  }
  Check(mutator->Detach().ok() && heap->Verify().ok(), "the invariants hold");
}

}  // namespace snippets
