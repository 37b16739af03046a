// A table that is made once, frozen, and then used by all isolates at the same time: there is one
// copy of it, which belongs to no isolate and never changes.

#include <algorithm>
#include <vector>

#include "tour.h"

namespace tour {
namespace {

using Atoll::Isolate;
using Atoll::Ref;

struct Entry : Atoll::Object {
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

struct Lookups {
  // Read by all.
  const Sizes& sizes;
  const Atoll::Type* hello_type = nullptr;
  Atoll::SendPort hellos = {};
  Atoll::SendPort answers = {};
  // The parent's.
  int answered = 0;
  int64_t sum = 0;
  int64_t fastest_send_nanos = INT64_MAX;
};
struct Worker {
  const Lookups& all;
  int64_t number;
  Atoll::ReceivePort port = {};
};

// A number as a message: a word that is no reference, since its low bit is set.
Ref FromNumber(int64_t number) { return {static_cast<Atoll::Word>(number) << 1 | 1}; }
int64_t ToNumber(Ref ref) { return static_cast<int64_t>(ref.word) >> 1; }

/// The n-th entry that a worker looks at.
int64_t IndexOf(int64_t worker, int64_t n, const Sizes& sizes) {
  return (n * 7919 + worker) % sizes.entries;
}

void MustSend(Isolate& isolate, const Atoll::SendPort& port, Ref message) {
  Atoll::Status why;
  if (Atoll::Send(isolate, port, message, &why) != Atoll::SendStatus::kDelivered) OrEnd(why);
}

// [look-up]
/// In a worker, when the table arrives: not a copy, but the table itself. Field 0 is a root.
void OnTable(Isolate& isolate, Ref message, void* data) {
  Worker& self = *static_cast<Worker*>(data);
  const Sizes& sizes = self.all.sizes;
  OrEnd(isolate.SetField(0, message));
  int64_t sum = 0;
  for (int64_t n = 0; n < sizes.lookups && isolate.Poll(); ++n) {
    Table* table = To<Table>(isolate.field(0));
    sum += table->at(static_cast<size_t>(IndexOf(self.number, n, sizes)))->square & 0xFFFF;
  }
  MustSend(isolate, self.all.answers, FromNumber(sum));
  self.port.Close();
}
// [/look-up]

void StartWorker(Isolate& isolate, void* data) {
  Worker& self = *static_cast<Worker*>(data);
  self.port = OrEnd(Atoll::ReceivePort::Open(isolate, OnTable, data));
  Hello* hello = Atoll::New<Hello>(isolate.mutator(), *self.all.hello_type);
  Check(hello != nullptr, "there is memory for a greeting");
  hello->port = self.port.send_port();
  MustSend(isolate, self.all.hellos, RefTo(hello));
}

// [hand-out]
/// In the parent: whoever says hello is sent the table, which is the parent's field 0.
void OnHello(Isolate& isolate, Ref message, void* data) {
  int64_t& fastest = static_cast<Lookups*>(data)->fastest_send_nanos;
  const int64_t began = NowNanos();
  MustSend(isolate, To<Hello>(message)->port, isolate.field(0));
  fastest = std::min(fastest, NowNanos() - began);
}
// [/hand-out]
void OnAnswer(Isolate&, Ref message, void* data) {
  Lookups& all = *static_cast<Lookups*>(data);
  ++all.answered;
  all.sum += ToNumber(message);
}

// [freeze]
/// Makes the table, and returns what all can share.
Ref MakeTable(Isolate& isolate, const Sizes& sizes) {
  Atoll::Mutator& mutator = isolate.mutator();
  Atoll::Heap& heap = isolate.group().heap();
  const Atoll::Type* table_type = OrEnd(heap.RegisterType(Atoll::DescribeRefArray("Table")));
  const Atoll::Type* entry_type = OrEnd(heap.RegisterType(Atoll::Describe<Entry>("Entry")));
  const auto length = static_cast<size_t>(sizes.entries);
  const Atoll::HandleScope scope(mutator);
  const Atoll::Local<Table> table(mutator, Atoll::NewArray<Table>(mutator, *table_type, length));
  for (size_t i = 0; i < length; ++i) {
    Entry* entry = table ? Atoll::New<Entry>(mutator, *entry_type) : nullptr;
    if (entry == nullptr) OrEnd(mutator.last_error());
    entry->square = static_cast<int64_t>(i * i);
    table->at(i).Set(mutator, table.get(), entry);
    mutator.Poll();
  }
  return OrEnd(Atoll::Freeze(isolate, table.Get()));
}
// [/freeze]

int64_t ExpectedSum(const Sizes& sizes) {
  int64_t sum = 0;
  for (int64_t worker = 0; worker < sizes.workers; ++worker) {
    for (int64_t n = 0; n < sizes.lookups; ++n) {
      const int64_t i = IndexOf(worker, n, sizes);
      sum += (i * i) & 0xFFFF;
    }
  }
  return sum;
}

}  // namespace

void FrozenTable(const Sizes& sizes) {
  // Before the group, whose end waits for all isolates: so these outlive them.
  Lookups all{.sizes = sizes};
  std::vector<Worker> workers;
  auto group = OrEnd(Atoll::IsolateGroup::Create({.name = "table"}));
  Atoll::Heap& heap = group->heap();
  all.hello_type = OrEnd(heap.RegisterType(Atoll::Describe<Hello>("Hello")));
  auto parent = OrEnd(Atoll::EnteredIsolate::Enter(*group, {.name = "parent"}));
  Isolate& isolate = parent->isolate();
  OrEnd(isolate.SetField(0, MakeTable(isolate, sizes)));
  const size_t frozen_bytes = heap.stats().shared_bytes;
  const auto hellos = OrEnd(Atoll::ReceivePort::Open(isolate, OnHello, &all));
  const auto answers = OrEnd(Atoll::ReceivePort::Open(isolate, OnAnswer, &all));
  all.hellos = hellos.send_port();
  all.answers = answers.send_port();
  for (int i = 0; i < sizes.workers; ++i) workers.push_back({all, i});

  const int64_t began = NowNanos();
  for (Worker& worker : workers) {
    OrEnd(group->Spawn({.entry = StartWorker, .data = &worker, .name = "worker"}));
  }
  while (all.answered < sizes.workers) {
    Check(parent->Receive() == Atoll::EnteredIsolate::Received::kHandled, "an answer arrives");
  }
  const double millis = MillisSince(began);
  Check(all.sum == ExpectedSum(sizes), "all find what is in the table");
  Check(heap.stats().shared_bytes == frozen_bytes, "there is one copy of it");
  std::printf(
      "frozen table: %lld entries, %.1f MiB, once; sent in %.0f ns; %d isolates look at %lld of "
      "them each, in %.0f ms\n",
      static_cast<long long>(sizes.entries), static_cast<double>(frozen_bytes) / (1 << 20),
      static_cast<double>(all.fastest_send_nanos), sizes.workers,
      static_cast<long long>(sizes.lookups), millis);
}

}  // namespace tour
