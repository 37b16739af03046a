#include <bit>
#include <cstring>

#include "atoll/gc.h"
#include "heap/heap_state.h"
#include "isolate/control.h"
#include "isolate/group_state.h"
#include "isolate/own_fields.h"

namespace Atoll {

const char* ToString(ExitReason reason) {
  switch (reason) {
    case ExitReason::kReturned:
      return "returned";
    case ExitReason::kKilled:
      return "killed";
    case ExitReason::kFailed:
      return "failed";
    case ExitReason::kHandedOver:
      return "handed over";
    case ExitReason::kGone:
      return "gone";
  }
  return "?";
}

// ---- GroupClient: what an embedder leaves out

Status GroupClient::CreateGroup(IsolateGroup&) { return Status::Ok(); }
Status GroupClient::InitializeIsolate(Isolate&) { return Status::Ok(); }
void GroupClient::ShutdownIsolate(Isolate&) {}
void GroupClient::CleanupIsolate(IsolateId, void*) {}
void GroupClient::CleanupGroup() {}
void GroupClient::OnEnter(Isolate&) {}
void GroupClient::OnLeave(Isolate&) {}
void GroupClient::VisitRoots(Isolate&, RootVisitor&) {}

// ---- Isolate

constinit thread_local Isolate* Isolate::current_ = nullptr;

namespace {
IsolateState& StateOf(Isolate& isolate) { return static_cast<IsolateState&>(isolate); }
const IsolateState& StateOf(const Isolate& isolate) {
  return static_cast<const IsolateState&>(isolate);
}
}  // namespace

IsolateId Isolate::id() const {
  const IsolateRecord& record = StateOf(*this).record;
  return {record.index, record.generation.load(std::memory_order_relaxed)};  // its own
}

IsolateGroup& Isolate::group() const { return *group_->group; }

bool Isolate::IsKilled() const { return StateOf(*this).IsKilled(); }

void Isolate::Exit() { StateOf(*this).EndBecause(ExitReason::kReturned); }
void Isolate::Fail(Status error) { StateOf(*this).FailWith(std::move(error)); }

Ref Isolate::FieldSlow(size_t index) const {
  if (index >= kFirstFields && fields_ != nullptr && fields_->further != nullptr) {
    const OwnFields::Chunk* chunk = fields_->further->Find(index);
    const size_t at = index % OwnFields::kFieldsPerChunk;
    if (chunk != nullptr && (chunk->written >> at & 1) != 0) return Ref{chunk->values[at]};
  }
  return group_->program.InitialField(index);
}

Status Isolate::SetFieldSlow(size_t index, Ref value) {
  GroupAllocator& allocator = group_->heap->state().allocator;
  const auto refuse = [&] {
    return Status(StatusCode::kResourceExhausted,
                  "no memory for field " + std::to_string(index) + " of isolate \"" + name_ + "\"");
  };
  if (index >= UINT32_MAX) return refuse();
  const bool is_first = index < kFirstFields;
  if (fields_ == nullptr || (is_first && index >= field_capacity_)) {
    const size_t capacity = is_first ? std::bit_ceil(index + 1) : 0;
    auto* fields = static_cast<FirstFields*>(allocator.AllocateZeroed(FirstFieldsBytes(capacity)));
    if (fields == nullptr) return refuse();
    if (fields_ != nullptr) {
      const size_t bytes = FirstFieldsBytes(field_capacity_);
      std::memcpy(fields, fields_, bytes);
      allocator.Free(fields_, bytes);
    }
    fields_ = fields;
    field_capacity_ = static_cast<uint32_t>(capacity);
  }
  if (is_first) {
    fields_->values[index] = value.word;
    fields_->written |= uint64_t{1} << index;
    return Status::Ok();
  }
  OwnFields*& further = fields_->further;
  if (further == nullptr) further = OwnFields::New(allocator);
  OwnFields::Chunk* chunk = further == nullptr ? nullptr : further->FindOrMake(index, allocator);
  if (chunk == nullptr) return refuse();
  const size_t at = index % OwnFields::kFieldsPerChunk;
  chunk->values[at] = value.word;
  chunk->written |= uint64_t{1} << at;
  return Status::Ok();
}

// ---- IsolateGroup

Result<std::unique_ptr<IsolateGroup>> IsolateGroup::Create(const GroupOptions& options) {
  auto heap = CreateHeap(options.heap);
  if (!heap.ok()) return heap.status();
  auto state = std::make_unique<GroupState>(options, std::move(heap).value());
  if (!state->isolates.ok()) {
    return Status(StatusCode::kResourceExhausted,
                  std::string("group \"") + options.name + "\": no memory for its isolates' table");
  }
  std::unique_ptr<IsolateGroup> group(new IsolateGroup(std::move(state)));
  group->state_->group = group.get();
  if (Status status = group->state_->client->CreateGroup(*group); !status.ok()) {
    group->is_created_ = false;
    return status;
  }
  const int workers = options.workers > 0 ? options.workers : platform::ProcessorCount();
  group->state_->scheduler.Start(workers, options.resident_isolates);
  group->state_->monitor.Start();
  return group;
}

IsolateGroup::IsolateGroup(std::unique_ptr<GroupState> state) : state_(std::move(state)) {}

IsolateGroup::~IsolateGroup() {
  Shutdown();
  state_->monitor.Stop();
  state_->scheduler.Stop();
  if (is_created_) state_->client->CleanupGroup();
}

Result<IsolateId> IsolateGroup::Spawn(const SpawnOptions& options) {
  return state_->Spawn(options);
}

void IsolateGroup::Kill(IsolateId isolate, ExitListener done) { PostKill(*state_, isolate, done); }
bool IsolateGroup::Pause(IsolateId isolate) { return PostPause(*state_, isolate, true); }
bool IsolateGroup::Resume(IsolateId isolate) { return PostPause(*state_, isolate, false); }

void IsolateGroup::AddExitListener(IsolateId isolate, ExitListener listener) {
  PostListener(*state_, isolate, listener);
}

void IsolateGroup::WaitUntilEmpty() {
  platform::MutexLock lock(state_->empty_mutex);
  while (state_->isolate_count.load() != 0) state_->empty.Wait(state_->empty_mutex);
}

void IsolateGroup::Shutdown() {
  state_->closing.store(true);
  state_->isolates.ForEach([this](IsolateRecord& record) {
    if (record.inbox.is_closed()) return;
    // Relaxed: if it is another by now, that one shall end as well.
    const IsolateId id{record.index, record.generation.load(std::memory_order_relaxed)};
    PostKill(*state_, id, {});
  });
  WaitUntilEmpty();
}

const char* IsolateGroup::name() const { return state_->options.name; }
Heap& IsolateGroup::heap() const { return *state_->heap; }
GroupClient& IsolateGroup::client() const { return *state_->client; }
Program& IsolateGroup::program() const { return state_->program; }
size_t IsolateGroup::isolate_count() const {
  return static_cast<size_t>(state_->isolate_count.load());
}

}  // namespace Atoll
