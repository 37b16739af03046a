// The third step: what was the process's is the isolate's, and there may be many of them.
#include <atoll/atoll.h>

#include <memory>

#include "migrating.h"

namespace migrating {
namespace {

using Atoll::HandleScope;
using Atoll::Isolate;
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

// [state]
/// What an isolate has for itself beside its heap: the virtual machine's own state.
struct Thread {
  Ref kept;
};

/// What they share. The language's global variables are fields: one index, each isolate its value.
class Vm final : public Atoll::GroupClient {
 public:
  Atoll::Status CreateGroup(Atoll::IsolateGroup& group) override {
    pair_type = group.heap().RegisterType(DescribePair()).value();
    seed = group.program().AddField(FromInteger(1)).value();
    return {};
  }
  Atoll::Status InitializeIsolate(Isolate& isolate) override {
    isolate.set_data(new Thread());
    return {};
  }
  void CleanupIsolate(Atoll::IsolateId, void* data) override { delete static_cast<Thread*>(data); }
  void VisitRoots(Isolate& isolate, Atoll::RootVisitor& visitor) override {
    auto* thread = static_cast<Thread*>(isolate.data());
    if (thread != nullptr) visitor.VisitSlot(Atoll::Slot(&thread->kept.word));
  }

  const Atoll::Type* pair_type = nullptr;
  size_t seed = 0;
};
// [/state]

Pair* NewPair(const Vm& vm, Mutator& mutator) {
  return reinterpret_cast<Pair*>(mutator.Allocate(*vm.pair_type).address());
}

void Set(Mutator& mutator, Ref pair, Ref Pair::*field, Ref value) {
  Atoll::Store<Atoll::PlainPointers>(mutator, Atoll::ObjectPtr(pair.word),
                                     Atoll::Slot(&(ToPair(pair)->*field).word), value);
}

// [random]
bool NextRandom(const Vm& vm, Isolate& isolate, int64_t* random) {
  *random = (ToInteger(isolate.field(vm.seed)) * 1103515245 + 12345) % (1 << 30);
  return isolate.SetField(vm.seed, FromInteger(*random)).ok();
}
// [/random]

Ref RandomList(const Vm& vm, Isolate& isolate, int64_t length) {
  Mutator& mutator = isolate.mutator();
  const HandleScope scope(mutator);
  LocalRef list(mutator, kNil);
  for (int64_t i = 0; i < length; ++i) {
    Pair* pair = NewPair(vm, mutator);
    int64_t random = 0;
    if (pair == nullptr || !NextRandom(vm, isolate, &random)) return kNil;
    pair->first = FromInteger(random);
    pair->rest = list.Get();
    list.Set(ToRef(pair));
    if (!isolate.Poll()) return kNil;
  }
  return list.Get();
}

/// As before, but that an isolate may be killed: then its poll says so, and it returns.
Ref Sort(const Vm& vm, Isolate& isolate, const LocalRef& list, int64_t length) {
  Mutator& mutator = isolate.mutator();
  if (length == 1) {
    Pair* pair = NewPair(vm, mutator);
    if (pair != nullptr) pair->first = ToPair(list.Get())->first;
    return ToRef(pair);
  }
  const HandleScope scope(mutator);
  LocalRef middle(mutator, list.Get());
  for (int64_t i = 0; i < length / 2; ++i) middle.Set(ToPair(middle.Get())->rest);
  LocalRef a(mutator, Sort(vm, isolate, list, length / 2));
  LocalRef b(mutator, a.Get() == kNil ? kNil : Sort(vm, isolate, middle, length - length / 2));
  if (b.Get() == kNil) return kNil;
  LocalRef merged(mutator, kNil);
  LocalRef last(mutator, kNil);
  while (a.Get() != kNil || b.Get() != kNil) {
    if (!isolate.Poll()) return kNil;
    LocalRef& from = b.Get() == kNil || (a.Get() != kNil && ToInteger(ToPair(a.Get())->first) <=
                                                                ToInteger(ToPair(b.Get())->first))
                         ? a
                         : b;
    Pair* pair = NewPair(vm, mutator);
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
  return merged.Get();
}

int64_t Weigh(Ref list) {
  int64_t sum = 0;
  for (int64_t i = 1; list != kNil; list = ToPair(list)->rest) {
    sum = (sum + i++ * ToInteger(ToPair(list)->first)) % 1'000'003;
  }
  return sum;
}

bool MakeRing(const Vm& vm, Isolate& isolate, Ref* kept) {
  Mutator& mutator = isolate.mutator();
  const HandleScope scope(mutator);
  LocalRef first(mutator, ToRef(NewPair(vm, mutator)));
  if (first.Get() == kNil) return false;
  *kept = first.Get();
  for (int i = 0; i < 3; ++i) {
    Pair* pair = NewPair(vm, mutator);
    if (pair == nullptr) return false;
    pair->rest = *kept;
    *kept = ToRef(pair);
  }
  Set(mutator, first.Get(), &Pair::rest, *kept);
  return true;
}

struct Task {
  const Vm& vm;
  Work work;
  int left;  ///< isolates whose answer is not there
  bool is_right = true;
  Answer answer = {};
};

// [loop]
/// The main loop of one isolate. What it returns is handed over with all that the isolate owns.
Atoll::Result<Ref> Run(Isolate& isolate, void* data) {
  const auto& [vm, work, left, is_right, answer] = *static_cast<Task*>(data);
  Ref& kept = static_cast<Thread*>(isolate.data())->kept;
  const Atoll::Status refused(Atoll::StatusCode::kResourceExhausted, "no memory for a list");
  if (!MakeRing(vm, isolate, &kept)) return refused;
  int64_t sum = 0;
  for (int64_t round = 0; round < work.rounds; ++round) {
    const HandleScope scope(isolate.mutator());
    LocalRef list(isolate.mutator(), RandomList(vm, isolate, work.length));
    if (list.Get() == kNil) return refused;
    const Ref sorted = Sort(vm, isolate, list, work.length);
    if (sorted == kNil) return refused;
    Set(isolate.mutator(), kept, &Pair::first, sorted);
    kept = ToPair(kept)->rest;
    sum += Weigh(ToPair(kept)->first);
  }
  return FromInteger(sum);
}
// [/loop]

void OnAnswer(Isolate&, const Atoll::Result<Ref>& sum, void* data) {
  Task& task = *static_cast<Task*>(data);
  --task.left;
  if (!sum.ok()) {
    task.is_right = false;
    return;
  }
  const int64_t got = ToInteger(sum.value());
  if (task.answer.value_or(got) != got) task.is_right = false;
  task.answer = got;
}

}  // namespace

Answer RunInIsolates(const Work& work, size_t limit_bytes, int isolates) {
  // [farm]
  Vm vm;
  auto group = Atoll::IsolateGroup::Create({.client = &vm}).value();
  Task task{vm, work, isolates};
  auto entered = Atoll::EnteredIsolate::Enter(*group, {.name = "main"}).value();
  for (int i = 0; i < isolates; ++i) {
    const auto started = Atoll::Run(
        entered->isolate(), {.name = "worker", .limit_bytes = limit_bytes}, Run, OnAnswer, &task);
    if (!started.ok()) return {};
  }
  while (task.left != 0) entered->Receive();
  return task.is_right ? task.answer : Answer();
  // [/farm]
}

}  // namespace migrating
