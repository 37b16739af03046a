// As it was: a heap of its own, which marks and sweeps when the main loop says so. Native code
// holds raw pointers, since between two rounds of that loop nothing is freed, and nothing ever
// moves.
#include "migrating.h"

namespace migrating {
namespace {

// [object]
using Value = uintptr_t;  // a small integer times two plus one, or a Pair's address; 0: nil
constexpr Value kNil = 0;

struct Pair {
  Pair* next_allocated;
  bool is_marked;
  Value first, rest;
};
// [/object]
Value FromInteger(int64_t value) { return static_cast<Value>(value) << 1 | 1; }
int64_t ToInteger(Value value) { return static_cast<int64_t>(value) >> 1; }
Pair* ToPair(Value value) { return reinterpret_cast<Pair*>(value); }
Value ToValue(Pair* pair) { return reinterpret_cast<Value>(pair); }

// [state]
// What code in the language refers to, and what is in the heap.
Value seed;
Value kept;
Pair* all_pairs;
size_t pair_count;
size_t collect_at = 100'000;
// [/state]

// [allocate]
Pair* NewPair() {
  Pair* pair = new Pair{all_pairs, false, kNil, kNil};
  all_pairs = pair;
  ++pair_count;
  return pair;
}
// [/allocate]

// [collect]
void Mark(Value value) {
  while (value != kNil && (value & 1) == 0 && !ToPair(value)->is_marked) {
    ToPair(value)->is_marked = true;
    Mark(ToPair(value)->first);
    value = ToPair(value)->rest;
  }
}

void Collect() {
  Mark(kept);
  for (Pair** at = &all_pairs; *at != nullptr;) {
    Pair* pair = *at;
    if (pair->is_marked) {
      pair->is_marked = false;
      at = &pair->next_allocated;
    } else {
      *at = pair->next_allocated;
      delete pair;
      --pair_count;
    }
  }
  collect_at = 2 * pair_count + 100'000;
}
// [/collect]

int64_t NextRandom() {
  seed = FromInteger((ToInteger(seed) * 1103515245 + 12345) % (1 << 30));
  return ToInteger(seed);
}

Value RandomList(int64_t length) {
  Value list = kNil;
  for (int64_t i = 0; i < length; ++i) {
    Pair* pair = NewPair();
    pair->first = FromInteger(NextRandom());
    pair->rest = list;
    list = ToValue(pair);
  }
  return list;
}

// [native]
/// Native code of the language: the numbers of a list in order, in a new one.
Value Sort(Value list, int64_t length) {
  if (length == 1) {
    Pair* pair = NewPair();
    pair->first = ToPair(list)->first;
    return ToValue(pair);
  }
  Value middle = list;
  for (int64_t i = 0; i < length / 2; ++i) middle = ToPair(middle)->rest;
  Value a = Sort(list, length / 2);
  Value b = Sort(middle, length - length / 2);
  Value merged = kNil;
  Pair* last = nullptr;
  while (a != kNil || b != kNil) {
    Value& from = b == kNil || (a != kNil && ToPair(a)->first <= ToPair(b)->first) ? a : b;
    Pair* pair = NewPair();
    pair->first = ToPair(from)->first;
    from = ToPair(from)->rest;
    (last == nullptr ? merged : last->rest) = ToValue(pair);
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

/// A ring of four: the lists kept last.
void MakeRing() {
  Pair* first = NewPair();
  kept = ToValue(first);
  for (int i = 0; i < 3; ++i) {
    Pair* pair = NewPair();
    pair->rest = kept;
    kept = ToValue(pair);
  }
  first->rest = kept;
}

}  // namespace

// [loop]
Answer RunBefore(const Work& work) {
  seed = FromInteger(1);
  MakeRing();
  int64_t sum = 0;
  for (int64_t round = 0; round < work.rounds; ++round) {
    ToPair(kept)->first = Sort(RandomList(work.length), work.length);
    kept = ToPair(kept)->rest;
    sum += Weigh(ToPair(kept)->first);
    if (pair_count >= collect_at) Collect();
  }
  // [/loop]
  kept = kNil;
  Collect();
  return sum;
}

}  // namespace migrating
