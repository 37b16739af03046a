// A table that is made once, frozen, and then used by all isolates at the same time: there is one
// copy of it, which belongs to no isolate and never changes.

#include <vector>

#include "tour.h"

namespace tour {
namespace {

using Atoll::Isolate;
using Atoll::Ref;

/// Squares by number, as a hash table with open addressing.
struct Entry : Atoll::Object {
  int64_t key;
  int64_t square;
};
using Table = Atoll::RefArray<Entry>;
/// What a worker says first: where it is to be reached.
struct Hello : Atoll::Object {
  Atoll::SendPort port;
};

}  // namespace
}  // namespace tour

template <>
struct Atoll::Fields<tour::Entry> : Atoll::References<> {};
template <>
struct Atoll::Fields<tour::Hello> : Atoll::References<> {};

namespace tour {
namespace {

struct World {
  const Sizes& sizes;
  const Atoll::Type* entry_type;
  const Atoll::Type* table_type;
  const Atoll::Type* hello_type;
};

/// What the isolates know of each other before the first message; outlives them.
struct Worker {
  const World& world;
  int64_t number;
  Atoll::SendPort hellos;
  Atoll::SendPort answers;
  Atoll::ReceivePort port = {};
};
struct Parent {
  int answers = 0;
  int64_t found = 0;
  int64_t send_nanos = 0;
};

// A number as a message: a word that is no reference, since its low bit is set.
Ref FromNumber(int64_t number) { return {static_cast<Atoll::Word>(number) << 1 | 1}; }
int64_t ToNumber(Ref ref) { return static_cast<int64_t>(ref.word) >> 1; }

/// The n-th number that a worker looks up; half of them are in the table.
int64_t KeyOf(int64_t worker, int64_t n, const Sizes& sizes) {
  return (n * 7919 + worker * 104'729) % (2 * sizes.entries);
}
size_t SlotOf(int64_t key, uint64_t length) {
  return (static_cast<uint64_t>(key) * 0x9E3779B97F4A7C15u >> 20) % length;
}

/// The entry's slot, or the empty one where it would be.
Atoll::Member<Entry>& Find(Table* table, int64_t key) {
  size_t slot = SlotOf(key, table->length);
  while (table->at(slot) && table->at(slot)->key != key) slot = (slot + 1) % table->length;
  return table->at(slot);
}

Table* MakeTable(Isolate& isolate, const World& world) {
  Atoll::Mutator& mutator = isolate.mutator();
  const Atoll::HandleScope scope(mutator);
  const auto length = static_cast<size_t>(2 * world.sizes.entries + 1);
  const Atoll::Local<Table> table(mutator,
                                  Atoll::NewArray<Table>(mutator, *world.table_type, length));
  for (int64_t key = 0; table && key < world.sizes.entries; ++key) {
    Entry* entry = Atoll::New<Entry>(mutator, *world.entry_type);
    if (entry == nullptr) return nullptr;
    entry->key = key;
    entry->square = key * key;
    Find(table.get(), key).Set(mutator, table.get(), entry);
    mutator.Poll();
  }
  return table.get();
}

void MustSend(Isolate& isolate, const Atoll::SendPort& port, Ref message) {
  Atoll::Status why;
  if (Atoll::Send(isolate, port, message, &why) != Atoll::SendStatus::kDelivered) OrEnd(why);
}

// [look-up]
/// In a worker, when the table arrives: not a copy, but the table itself. Field 0 is a root.
void OnTable(Isolate& isolate, Ref message, void* data) {
  Worker& self = *static_cast<Worker*>(data);
  OrEnd(isolate.SetField(0, message));
  int64_t sum = 0;
  for (int64_t n = 0; n < self.world.sizes.lookups && isolate.Poll(); ++n) {
    Table* table = To<Table>(isolate.field(0));
    const Entry* entry = Find(table, KeyOf(self.number, n, self.world.sizes)).get();
    if (entry != nullptr) sum += entry->square & 0xFFFF;
  }
  MustSend(isolate, self.answers, FromNumber(sum));
  self.port.Close();
}
// [/look-up]

void StartWorker(Isolate& isolate, void* data) {
  Worker& self = *static_cast<Worker*>(data);
  self.port = OrEnd(Atoll::ReceivePort::Open(isolate, OnTable, data));
  Hello* hello = Atoll::New<Hello>(isolate.mutator(), *self.world.hello_type);
  Check(hello != nullptr, "there is memory for a greeting");
  hello->port = self.port.send_port();
  MustSend(isolate, self.hellos, RefTo(hello));
}

// [hand-out]
/// In the parent: whoever says hello gets the table, which is in the parent's field 0.
void OnHello(Isolate& isolate, Ref message, void* data) {
  const Atoll::SendPort port = To<Hello>(message)->port;
  const int64_t began = NowNanos();
  MustSend(isolate, port, isolate.field(0));
  static_cast<Parent*>(data)->send_nanos += NowNanos() - began;
}
// [/hand-out]
void OnAnswer(Isolate&, Ref message, void* data) {
  Parent& self = *static_cast<Parent*>(data);
  ++self.answers;
  self.found += ToNumber(message);
}

int64_t ExpectedSum(const Sizes& sizes) {
  int64_t sum = 0;
  for (int64_t worker = 0; worker < sizes.workers_at_a_time; ++worker) {
    for (int64_t n = 0; n < sizes.lookups; ++n) {
      const int64_t key = KeyOf(worker, n, sizes);
      if (key < sizes.entries) sum += (key * key) & 0xFFFF;
    }
  }
  return sum;
}

}  // namespace

void FrozenTable(const Sizes& sizes) {
  auto group = OrEnd(Atoll::IsolateGroup::Create({.name = "table"}));
  Atoll::Heap& heap = group->heap();
  const World world{.sizes = sizes,
                    .entry_type = OrEnd(heap.RegisterType(Atoll::Describe<Entry>("Entry"))),
                    .table_type = OrEnd(heap.RegisterType(Atoll::DescribeRefArray("Table"))),
                    .hello_type = OrEnd(heap.RegisterType(Atoll::Describe<Hello>("Hello")))};
  std::vector<Worker> workers;
  Parent state;
  auto parent = OrEnd(Atoll::EnteredIsolate::Enter(*group, {.name = "parent"}));
  // [freeze]
  Isolate& isolate = parent->isolate();
  Table* table = MakeTable(isolate, world);
  Check(table != nullptr, "there is memory for the table");
  int64_t began = NowNanos();
  OrEnd(isolate.SetField(0, OrEnd(Atoll::Freeze(isolate, RefTo(table)))));
  const double freezing = MillisSince(began);
  // [/freeze]
  const size_t frozen_bytes = heap.stats().shared_bytes;
  const auto hellos = OrEnd(Atoll::ReceivePort::Open(isolate, OnHello, &state));
  const auto answers = OrEnd(Atoll::ReceivePort::Open(isolate, OnAnswer, &state));
  for (int i = 0; i < sizes.workers_at_a_time; ++i) {
    workers.push_back({world, i, hellos.send_port(), answers.send_port()});
  }
  began = NowNanos();
  for (Worker& worker : workers) {
    OrEnd(group->Spawn({.entry = StartWorker, .data = &worker, .name = "worker"}));
  }
  while (state.answers < sizes.workers_at_a_time) {
    Check(parent->Receive() == Atoll::EnteredIsolate::Received::kHandled, "an answer arrives");
  }
  const double millis = MillisSince(began);
  Check(state.found == ExpectedSum(sizes), "all find what is in the table, and nothing else");
  Check(heap.stats().shared_bytes == frozen_bytes, "there is one copy of it");
  std::printf(
      "table: %lld entries frozen in %.1f ms; sent in %.0f ns to each of %d isolates, which look "
      "up "
      "%lld numbers each in %.0f ms; %.1f MiB, once\n",
      static_cast<long long>(sizes.entries), freezing,
      static_cast<double>(state.send_nanos) / sizes.workers_at_a_time, sizes.workers_at_a_time,
      static_cast<long long>(sizes.lookups), millis, static_cast<double>(frozen_bytes) / (1 << 20));
}

}  // namespace tour
