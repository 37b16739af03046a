// The second step: native code holds what it needs in handles, so that collections may happen
// inside it, and memory is what lives, not what a round makes.
#include <atoll/atoll.h>

#include "migrating.h"

namespace migrating {
namespace {

using Atoll::HandleScope;
using Atoll::LocalRef;
using Atoll::Mutator;
using Atoll::Ref;

constexpr Ref kNil{0};

struct Pair {
  Atoll::Word header;
  Ref first, rest;
};

Atoll::TypeInfo DescribePair() {
  Atoll::TypeInfo info;
  info.name = "Pair";
  info.layout = Atoll::Layout::kFixed;
  info.fixed_size = sizeof(Pair);
  info.ref_offsets = {offsetof(Pair, first), offsetof(Pair, rest)};
  return info;
}

Ref FromInteger(int64_t value) { return {static_cast<Atoll::Word>(value) << 1 | 1}; }
int64_t ToInteger(Ref value) { return static_cast<int64_t>(value.word) >> 1; }
Pair* ToPair(Ref value) { return reinterpret_cast<Pair*>(value.word); }
Ref ToRef(Pair* pair) { return {reinterpret_cast<Atoll::Word>(pair)}; }

Ref seed;
Ref kept;
const Atoll::Type* pair_type;

class Roots final : public Atoll::RegionClient {
  void VisitRoots(Atoll::RootVisitor& visitor) override {
    visitor.VisitSlot(Atoll::Slot(&kept.word));
  }
};

// [allocate]
/// May collect: what the caller needs afterwards lies in handles. Null: the limit is reached.
Pair* NewPair(Mutator& mutator) {
  return reinterpret_cast<Pair*>(mutator.Allocate(*pair_type).address());
}
// [/allocate]

// [store]
/// Into any pair: each may be old by now.
void Set(Mutator& mutator, Ref pair, Ref Pair::*field, Ref value) {
  Atoll::Store<Atoll::PlainPointers>(mutator, Atoll::ObjectPtr(pair.word),
                                     Atoll::Slot(&(ToPair(pair)->*field).word), value);
}
// [/store]

int64_t NextRandom() {
  seed = FromInteger((ToInteger(seed) * 1103515245 + 12345) % (1 << 30));
  return ToInteger(seed);
}

Ref RandomList(Mutator& mutator, int64_t length) {
  const HandleScope scope(mutator);
  LocalRef list(mutator, kNil);
  for (int64_t i = 0; i < length; ++i) {
    Pair* pair = NewPair(mutator);
    if (pair == nullptr) return kNil;
    pair->first = FromInteger(NextRandom());
    pair->rest = list.Get();  // it is fresh: a plain store
    list.Set(ToRef(pair));
    mutator.Poll();
  }
  return list.Get();
}

// [native]
/// Nil: no memory. The list is the caller's to hold.
Ref Sort(Mutator& mutator, const LocalRef& list, int64_t length) {
  if (length == 1) {
    Pair* pair = NewPair(mutator);
    if (pair != nullptr) pair->first = ToPair(list.Get())->first;  // where it is now
    return ToRef(pair);
  }
  const HandleScope scope(mutator);
  LocalRef middle(mutator, list.Get());
  for (int64_t i = 0; i < length / 2; ++i) middle.Set(ToPair(middle.Get())->rest);
  LocalRef a(mutator, Sort(mutator, list, length / 2));
  LocalRef b(mutator, a.Get() == kNil ? kNil : Sort(mutator, middle, length - length / 2));
  if (b.Get() == kNil) return kNil;
  LocalRef merged(mutator, kNil);
  LocalRef last(mutator, kNil);
  while (a.Get() != kNil || b.Get() != kNil) {
    mutator.Poll();
    LocalRef& from = b.Get() == kNil || (a.Get() != kNil && ToInteger(ToPair(a.Get())->first) <=
                                                                ToInteger(ToPair(b.Get())->first))
                         ? a
                         : b;
    Pair* pair = NewPair(mutator);
    if (pair == nullptr) return kNil;
    pair->first = ToPair(from.Get())->first;
    from.Set(ToPair(from.Get())->rest);
    if (last.Get() == kNil) {
      merged.Set(ToRef(pair));
    } else {
      Set(mutator, last.Get(), &Pair::rest, ToRef(pair));
    }
    last.Set(ToRef(pair));
  }
  return merged.Get();  // raw: the caller's first act is to put it where a collection sees it
}
// [/native]

int64_t Weigh(Ref list) {
  int64_t sum = 0;
  for (int64_t i = 1; list != kNil; list = ToPair(list)->rest) {
    sum = (sum + i++ * ToInteger(ToPair(list)->first)) % 1'000'003;
  }
  return sum;
}

bool MakeRing(Mutator& mutator) {
  const HandleScope scope(mutator);
  LocalRef first(mutator, ToRef(NewPair(mutator)));
  if (first.Get() == kNil) return false;
  kept = first.Get();
  for (int i = 0; i < 3; ++i) {
    Pair* pair = NewPair(mutator);
    if (pair == nullptr) return false;
    pair->rest = kept;
    kept = ToRef(pair);
  }
  Set(mutator, first.Get(), &Pair::rest, kept);
  return true;
}

// [loop]
Answer Run(Mutator& mutator, const Work& work) {
  seed = FromInteger(1);
  if (!MakeRing(mutator)) return {};
  int64_t sum = 0;
  for (int64_t round = 0; round < work.rounds; ++round) {
    const HandleScope scope(mutator);
    LocalRef list(mutator, RandomList(mutator, work.length));
    if (list.Get() == kNil) return {};
    const Ref sorted = Sort(mutator, list, work.length);
    if (sorted == kNil) return {};
    Set(mutator, kept, &Pair::first, sorted);
    kept = ToPair(kept)->rest;
    sum += Weigh(ToPair(kept)->first);
    mutator.Poll();
  }
  return sum;
}
// [/loop]

}  // namespace

Answer RunWithHandles(const Work& work, size_t limit_bytes) {
  auto heap = Atoll::CreateHeap({}).value();
  pair_type = heap->RegisterType(DescribePair()).value();
  Roots roots;
  auto region = heap->CreateRegion({.limit_bytes = limit_bytes, .client = &roots}).value();
  auto mutator = region->AttachMutator("main").value();
  Answer answer;
  {
    const Atoll::ManagedScope managed(*mutator);
    answer = Run(*mutator, work);
  }
  kept = kNil;
  return mutator->Detach().ok() ? answer : Answer();
}

}  // namespace migrating
