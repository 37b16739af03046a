#include "isolate/group_state.h"

#include <new>
#include <string>

#include "atoll/gc.h"
#include "heap/heap_state.h"
#include "heap/region_state.h"

namespace Atoll {
namespace {

GroupClient& DefaultClient() {
  static GroupClient client;
  return client;
}

constexpr uint64_t kGenerationsAtOnce = 1024;

}  // namespace

GroupState::GroupState(const GroupOptions& group_options, std::unique_ptr<Heap> group_heap)
    : options(group_options),
      client(group_options.client == nullptr ? &DefaultClient() : group_options.client),
      heap(std::move(group_heap)),
      program(*this),
      isolates(heap->state().options.huge_pages),
      residences(*heap),
      scheduler(*this),
      monitor(*this) {
  heap->AddGroupRoots(this);
}

GroupState::~GroupState() {
  heap->RemoveGroupRoots(this);
  delete extension.load();
}

uint64_t GroupState::NewGeneration() {
  WorkerThread* thread = WorkerThread::CurrentOf(*this);
  // Relaxed: see generations.
  if (thread == nullptr) return generations.fetch_add(1, std::memory_order_relaxed);
  if (thread->next_generation == thread->generations_end) {
    thread->next_generation = generations.fetch_add(kGenerationsAtOnce, std::memory_order_relaxed);
    thread->generations_end = thread->next_generation + kGenerationsAtOnce;
  }
  return thread->next_generation++;
}

Result<IsolateId> GroupState::Spawn(const SpawnOptions& spawn) {
  if (spawn.entry == nullptr) {
    return Status(StatusCode::kInvalidArgument, std::string("isolate \"") + spawn.name +
                                                    "\" of group \"" + options.name +
                                                    "\" cannot be spawned: it has no entry; set "
                                                    "SpawnOptions::entry");
  }
  auto made = Make(spawn, nullptr);
  if (!made.ok()) return made.status();
  IsolateRecord& record = *made.value();
  // Relaxed: this thread's.
  const IsolateId id{record.index, record.generation.load(std::memory_order_relaxed)};
  scheduler.Ready(&record);
  return id;
}

Result<IsolateRecord*> GroupState::Make(const SpawnOptions& spawn, EnteredThread* home) {
  const auto refuse = [&](StatusCode code, const char* why) {
    return Status(code, std::string("isolate \"") + spawn.name + "\" of group \"" + options.name +
                            "\" cannot be spawned: " + why);
  };
  isolate_count.fetch_add(1);
  if (closing.load()) {
    NoteEnd();
    return refuse(StatusCode::kFailedPrecondition, "the group is shutting down");
  }
  WorkerThread* thread = WorkerThread::CurrentOf(*this);
  const uint32_t index = isolates.Take(thread == nullptr ? nullptr : &thread->records);
  if (index == 0) {
    NoteEnd();
    return refuse(StatusCode::kResourceExhausted,
                  "no memory for its record, or 2^24 isolates; let some end");
  }
  IsolateRecord& record = *isolates.At(index);
  record.index = index;
  record.keeper.store(0, std::memory_order_relaxed);
  record.home = home;
  // Relaxed: published by opening the inbox.
  record.generation.store(NewGeneration(), std::memory_order_relaxed);
  new (record.storage) IsolateState(*this, record, spawn);
  record.inbox.Open(&record.start);
  return &record;
}

IsolateRecord* GroupState::RecordOf(IsolateId id) const {
  if (id.generation == 0) return nullptr;
  IsolateRecord* record = isolates.At(id.index);
  // Relaxed: see IsolateRecord.
  return record != nullptr && record->generation.load(std::memory_order_relaxed) == id.generation
             ? record
             : nullptr;
}

bool GroupState::Post(IsolateId id, Envelope* envelope) {
  IsolateRecord* record = RecordOf(id);
  if (record == nullptr) return false;
  switch (record->inbox.Push(envelope)) {
    case Inbox::Pushed::kClosed:
      return false;
    case Inbox::Pushed::kOwned:
      scheduler.Ready(record);
      return true;
    case Inbox::Pushed::kContended:
    case Inbox::Pushed::kQueued:
      return true;
  }
  return true;
}

void GroupState::NoteEnd() {
  if (isolate_count.fetch_sub(1) != 1) return;
  platform::MutexLock lock(empty_mutex);
  empty.NotifyAll();
}

bool GroupState::HouseTheHomeless() {
  constexpr size_t kAtOnce = 16;
  Residence* found[kAtOnce];
  size_t count = 0;
  // Only the monitor takes any from the queue: as many come out as were seen in it.
  while (count < homeless.size() && count < kAtOnce) {
    found[count] = residences.Take();
    if (found[count] == nullptr) break;
    ++count;
  }
  for (size_t i = 0; i < count; ++i) residences.GiveEmpty(found[i]);
  // If others take what was found, they wait once more.
  for (size_t i = 0; i < count; ++i) scheduler.Ready(homeless.Pop(), /*lately=*/false);
  return count != 0;
}

void GroupState::Trim() {
  isolates.Trim();
  residences.Trim();
  if (Extension* above = extension.load()) above->Trim();
  heap->state().allocator.Trim();
}

void GroupState::VisitRoots(RootVisitor& visitor) {
  isolates.ForEach([&](IsolateRecord& record) {
    if (record.inbox.is_closed()) return;
    record.state().ForEachPacked(
        [&visitor](const PackedGraph& graph, const char*) { graph.VisitSharedRefs(visitor); });
  });
  program.VisitRoots(visitor);
}

Status GroupState::Verify() {
  Status status;
  isolates.ForEach([&](IsolateRecord& record) {
    if (!status.ok() || record.inbox.is_closed()) return;
    status = record.state().CheckPackedGraphs(heap->state());
  });
  return status;
}

}  // namespace Atoll
