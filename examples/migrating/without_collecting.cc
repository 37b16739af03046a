// The first step: the heap is Atoll's. Nothing else has changed for native code, because nothing is
// collected or moved between two rounds of the main loop.
#include <atoll/atoll.h>

#include "migrating.h"

namespace migrating {
namespace {

// [object]
using Value = Atoll::Word;  // a small integer times two plus one, or a Pair's address; 0: nil
constexpr Value kNil = 0;

struct Pair {
  Atoll::Word header;
  Value first, rest;
};

Atoll::TypeInfo DescribePair() {
  Atoll::TypeInfo info;
  info.name = "Pair";
  info.layout = Atoll::Layout::kFixed;
  info.fixed_size = sizeof(Pair);
  info.ref_offsets = {offsetof(Pair, first), offsetof(Pair, rest)};
  return info;
}
// [/object]
Value FromInteger(int64_t value) { return static_cast<Value>(value) << 1 | 1; }
int64_t ToInteger(Value value) { return static_cast<int64_t>(value) >> 1; }
Pair* ToPair(Value value) { return reinterpret_cast<Pair*>(value); }
Value ToValue(Pair* pair) { return reinterpret_cast<Value>(pair); }

// [state]
Value seed;
Value kept;
const Atoll::Type* pair_type;
Atoll::Mutator* mutator;

class Roots final : public Atoll::RegionClient {
  void VisitRoots(Atoll::RootVisitor& visitor) override { visitor.VisitSlot(Atoll::Slot(&kept)); }
};
// [/state]

// [allocate]
/// Null: the limit is reached, and the reserve over it.
Pair* NewPair() {
  return reinterpret_cast<Pair*>(mutator->AllocateNoCollect(*pair_type, sizeof(Pair)).address());
}
// [/allocate]

// [store]
/// Into a pair that was there in an earlier round, and so may be old.
void SetFirst(Value pair, Value first) {
  Atoll::Store<Atoll::PlainPointers>(*mutator, Atoll::ObjectPtr(pair),
                                     Atoll::Slot(&ToPair(pair)->first), {first});
}
// [/store]

int64_t NextRandom() {
  seed = FromInteger((ToInteger(seed) * 1103515245 + 12345) % (1 << 30));
  return ToInteger(seed);
}

Value RandomList(int64_t length) {
  Value list = kNil;
  for (int64_t i = 0; i < length; ++i) {
    Pair* pair = NewPair();
    if (pair == nullptr) return kNil;
    pair->first = FromInteger(NextRandom());
    pair->rest = list;
    list = ToValue(pair);
  }
  return list;
}

// [native]
/// Nil: no memory.
Value Sort(Value list, int64_t length) {
  if (list == kNil) return kNil;
  if (length == 1) {
    Pair* pair = NewPair();
    if (pair != nullptr) pair->first = ToPair(list)->first;
    return ToValue(pair);
  }
  Value middle = list;
  for (int64_t i = 0; i < length / 2; ++i) middle = ToPair(middle)->rest;
  Value a = Sort(list, length / 2);
  Value b = Sort(middle, length - length / 2);
  if (a == kNil || b == kNil) return kNil;
  Value merged = kNil;
  Pair* last = nullptr;
  while (a != kNil || b != kNil) {
    Value& from = b == kNil || (a != kNil && ToPair(a)->first <= ToPair(b)->first) ? a : b;
    Pair* pair = NewPair();
    if (pair == nullptr) return kNil;
    pair->first = ToPair(from)->first;
    from = ToPair(from)->rest;
    (last == nullptr ? merged : last->rest) = ToValue(pair);  // made in this round: a plain store
    last = pair;
  }
  return merged;
}
// [/native]

int64_t Weigh(Value list) {
  int64_t sum = 0;
  for (int64_t i = 1; list != kNil; list = ToPair(list)->rest) {
    sum = (sum + i++ * ToInteger(ToPair(list)->first)) % 1'000'003;
  }
  return sum;
}

bool MakeRing() {
  const Atoll::NoCollectScope nothing_moves(*mutator);
  Pair* first = NewPair();
  kept = ToValue(first);
  for (int i = 0; i < 3; ++i) {
    Pair* pair = NewPair();
    if (first == nullptr || pair == nullptr) return false;
    pair->rest = kept;
    kept = ToValue(pair);
  }
  first->rest = kept;
  return true;
}

// [loop]
Answer Run(const Work& work) {
  seed = FromInteger(1);
  if (!MakeRing()) return {};
  int64_t sum = 0;
  for (int64_t round = 0; round < work.rounds; ++round) {
    {
      const Atoll::NoCollectScope nothing_moves(*mutator);
      const Value sorted = Sort(RandomList(work.length), work.length);
      if (sorted == kNil) return {};
      SetFirst(kept, sorted);
      kept = ToPair(kept)->rest;
      sum += Weigh(ToPair(kept)->first);
    }
    mutator->Poll();  // collects if it is time to; afterwards `kept` may be another address
  }
  return sum;
}
// [/loop]

}  // namespace

Answer RunWithoutCollecting(const Work& work, size_t limit_bytes) {
  // [setup]
  auto heap = Atoll::CreateHeap({}).value();
  pair_type = heap->RegisterType(DescribePair()).value();
  Roots roots;
  auto region = heap->CreateRegion({.limit_bytes = limit_bytes, .client = &roots}).value();
  auto attached = region->AttachMutator("main").value();
  mutator = attached.get();
  Answer answer;
  {
    const Atoll::ManagedScope managed(*mutator);
    answer = Run(work);
  }
  // [/setup]
  kept = kNil;
  return attached->Detach().ok() ? answer : Answer();
}

}  // namespace migrating
