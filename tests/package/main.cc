// An outside project: a list that lives through collections, on an installed Atoll.
#include <atoll/atoll.h>

#include <cstdint>
#include <cstdio>

#if !defined(ATOLL_CHECKS) || !defined(ATOLL_SCHEDULES) || !defined(ATOLL_JEMALLOC) || \
    !defined(ATOLL_ASAN) || !defined(ATOLL_TSAN)
#error "the package does not carry the definitions that Atoll's headers depend on"
#endif

struct Cell : Atoll::Object {
  Atoll::Member<Cell> next;
  int64_t value;
};
template <>
struct Atoll::Fields<Cell> : Atoll::References<ATOLL_FIELD(Cell, next)> {};

int main() {
  auto heap = Atoll::CreateHeap({.name = "outside"});
  if (!heap.ok()) {
    std::fprintf(stderr, "%s\n", heap.status().message().c_str());
    return 1;
  }
  const Atoll::Type* type = heap.value()->RegisterType(Atoll::Describe<Cell>("Cell")).value();
  auto region = heap.value()->CreateRegion({.name = "main"}).value();
  auto mutator = region->AttachMutator("main").value();
  int64_t sum = 0;
  {
    const Atoll::ManagedScope managed(*mutator);
    const Atoll::HandleScope scope(*mutator);
    Atoll::Local<Cell> list(*mutator, nullptr);
    for (int64_t i = 1; i <= 1000; ++i) {
      Cell* cell = Atoll::New<Cell>(*mutator, *type);
      if (cell == nullptr) return 1;
      cell->value = i;
      cell->next.Init(*mutator, cell, list.get());
      list.Set(cell);
    }
    if (!mutator->Collect(Atoll::Mutator::Collection::kMajor).ok()) return 1;
    for (Cell* cell = list.get(); cell != nullptr; cell = cell->next.get()) sum += cell->value;
  }
  if (!heap.value()->Verify().ok() || region->stats().majors != 1) return 1;
  std::puts(sum == 500500 ? "outside: ok" : "outside: failed");
  return sum == 500500 ? 0 : 1;
}
