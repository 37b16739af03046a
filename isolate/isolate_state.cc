#include "isolate/isolate_state.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "heap/heap_state.h"
#include "heap/region_state.h"
#include "isolate/control.h"
#include "isolate/group_state.h"
#include "isolate/own_fields.h"
#include "isolate/packed_check.h"
#include "isolate/turn.h"

namespace Atoll {
namespace {

// The roots of one isolate, in the order they are visited in.
class RootReader final : public RootVisitor {
 public:
  explicit RootReader(std::vector<Ref>& roots) : roots_(roots) { roots_.clear(); }
  void VisitSlot(Slot slot) override { roots_.push_back(slot.Load()); }

 private:
  std::vector<Ref>& roots_;
};

class RootWriter final : public RootVisitor {
 public:
  explicit RootWriter(const std::vector<Word>& roots) : roots_(roots) {}
  void VisitSlot(Slot slot) override {
    ATOLL_CHECK(next_ < roots_.size(),
                "VisitRoots visits more roots (%zu) when its isolate is unparked than when it was "
                "parked; a parked isolate's roots must not change",
                next_ + 1);
    slot.StoreRaw(Ref{roots_[next_++]});
  }
  size_t count() const { return next_; }

 private:
  const std::vector<Word>& roots_;
  size_t next_ = 0;
};

class HeapRefFinder final : public RootVisitor {
 public:
  explicit HeapRefFinder(const Mutator& mutator) : mutator_(mutator) {}
  void VisitSlot(Slot slot) override {
    found_ |= mutator_.RefersIntoHeap(mutator_.encoding(), slot.Load());
  }
  bool found() const { return found_; }

 private:
  const Mutator& mutator_;
  bool found_ = false;
};

void DeliverStart(IsolateState& isolate, Envelope*) {
  isolate.in_hand = nullptr;
  if (isolate.entry != nullptr) isolate.entry(isolate, isolate.entry_data);
}
void DiscardStart(GroupState&, Envelope*) {}

}  // namespace

static constexpr EnvelopeKind kStartKind{DeliverStart, DiscardStart, nullptr, false};

IsolateState::IsolateState(GroupState& group, IsolateRecord& isolate_record,
                           const SpawnOptions& options)
    : Isolate(group, options),
      record(isolate_record),
      limit_bytes(options.limit_bytes),
      on_exit(options.on_exit),
      entry(options.entry),
      entry_data(options.data) {
  record.start = {&kStartKind, nullptr};
}

IsolateState::~IsolateState() {
  if (fields_ == nullptr) return;
  GroupAllocator& allocator = group_->heap->state().allocator;
  if (fields_->further != nullptr) OwnFields::Delete(fields_->further, allocator);
  allocator.Free(fields_, FirstFieldsBytes(field_capacity_));
}

void IsolateState::VisitRoots(RootVisitor& visitor) {
  if (fields_ != nullptr) {
    const auto visit = [&visitor](Slot slot) { visitor.VisitSlot(slot); };
    OwnFields::ForEachWritten(fields_->written, fields_->values, visit);
    if (fields_->further != nullptr) fields_->further->ForEach(visit);
  }
  group_->client->VisitRoots(*this, visitor);
}

void IsolateState::ForEachPacked(FunctionRef<void(const PackedGraph&, const char*)> fn) {
  if (parked) fn(parked.view(), "what it was parked as");
  if (offer != nullptr) fn(offer->packed(*offer), "what it offers");
  const auto visit = [&](Envelope* envelope) {
    if (envelope->kind->packed != nullptr) fn(envelope->kind->packed(envelope), "a message");
  };
  if (in_hand != nullptr) visit(in_hand);
  for (Envelope* envelope = pending; envelope != nullptr; envelope = envelope->next) {
    visit(envelope);
  }
  record.inbox.ForEach(visit);
}

Status IsolateState::CheckPackedGraphs(const HeapState& heap) {
  const auto words = [this](const char* what) {
    return std::string(what) + " of isolate \"" + name() + "\" (" + std::to_string(record.index) +
           ")";
  };
  Status status;
  if (parked && residence != nullptr && residence->tenant == this) {
    return {StatusCode::kInvariantViolated, "I4: " + words("a region and an image are both")};
  }
  ForEachPacked([&](const PackedGraph& graph, const char* what) {
    if (status.ok()) status = CheckPacked(heap, graph, words(what));
  });
  return status;
}

void IsolateState::AddPending(Envelope* first, Envelope* last) {
  if (pending == nullptr) {
    pending = first;
  } else {
    pending_last->next = first;
  }
  pending_last = last;
}

Envelope* IsolateState::TakePending() {
  Envelope* envelope = pending;
  pending = envelope->next;
  // It may have been written on another core; the one at hand is handled meanwhile.
  if (pending != nullptr) {
    constexpr size_t kLine = 64;
    __builtin_prefetch(pending);
    __builtin_prefetch(reinterpret_cast<const std::byte*>(pending) + kLine);
  }
  return envelope;
}

// ---- A turn

Status IsolateState::MoveIn(Residence& into) {
  residence = &into;
  mutator_ = &into.mutator();
  into.SetLimit(limit_bytes);
  Status status;
  if (parked) {
    // Not yet the tenant: its roots say where things lay when it was parked.
    std::vector<Word> roots(parked.view().root_count);
    status = Unpack(*mutator_, parked.view(), roots.data());
    if (status.ok()) {
      RootWriter writer(roots);
      VisitRoots(writer);
    } else {
      // They are lost; what is left must not be taken for roots.
      RootWriter writer(roots);
      std::fill(roots.begin(), roots.end(), Word{0});
      VisitRoots(writer);
    }
    parked.Reset();
  }
  into.tenant = this;
  return status;
}

void IsolateState::MoveOut() {
  residence->tenant = nullptr;
  residence = nullptr;
  mutator_ = nullptr;
}

void IsolateState::EnterTurn() {
  current_ = this;
  group_->client->OnEnter(*this);
}

void IsolateState::WithdrawOffer() {
  if (offer == nullptr || HandsOver()) return;
  offer->isolate = nullptr;
  offer = nullptr;
  residence->carried = Ref{};
}

void IsolateState::LeaveTurn() {
  WithdrawOffer();
  group_->client->OnLeave(*this);
  current_ = nullptr;
}

bool IsolateState::HasWork() const {
  // What ends a pause may be among those that wait.
  return (pending != nullptr && !(Is(kPaused) && Is(kSifted))) || record.inbox.has_envelopes();
}

void IsolateState::EndBecause(ExitReason why) {
  if (Is(kExiting)) return;
  reason = IsKilled() ? ExitReason::kKilled : why;
  Set(kExiting);
}

void IsolateState::FailWith(Status status) {
  if (Is(kExiting)) return;
  EndBecause(ExitReason::kFailed);
  if (reason == ExitReason::kFailed) error = std::make_unique<Status>(std::move(status));
}

int IsolateState::HandleMessages() {
  uint64_t end = 0;
  bool has_taken = false;
  for (int handled = 0;; ++handled) {
    if (ATOLL_UNLIKELY((flags & (kInitialized | kPaused | kExiting)) != kInitialized)) {
      HandleControl();
    }
    if (ATOLL_UNLIKELY(IsKilled())) EndBecause(ExitReason::kKilled);
    if (ATOLL_UNLIKELY((flags & (kPaused | kExiting)) != 0)) return handled;
    if (pending == nullptr) {
      // What comes in during the turn is for the next one: others may be waiting for theirs.
      if (has_taken) return handled;
      has_taken = true;
      pending = record.inbox.Take(&pending_last);
      if (pending == nullptr) return handled;
    }
    if (ATOLL_UNLIKELY(handled % kMessagesPerLook == kMessagesPerLook - 1)) {
      const uint64_t now = platform::NowNanos();
      if (end == 0) end = now + kTurnNanos;
      if (now >= end) return handled;
    }
    Envelope* envelope = TakePending();
    in_hand = envelope;
    envelope->kind->deliver(*this, envelope);
  }
}

// Handles the control envelopes among these, and leaves the others to wait.
void IsolateState::Sift(Envelope* waiting) {
  while (waiting != nullptr) {
    Envelope* next = waiting->next;
    waiting->next = nullptr;
    if (waiting->kind->is_control) {
      waiting->kind->deliver(*this, waiting);
    } else {
      AddPending(waiting, waiting);
    }
    waiting = next;
  }
}

// What comes before messages: initialization, and while it is paused, what may end that.
void IsolateState::HandleControl() {
  if (Is(kExiting)) return;
  // What has been looked through is left alone: a paused isolate is woken by each message.
  if (!Is(kSifted)) Sift(std::exchange(pending, nullptr));
  Sift(record.inbox.Take());
  Set(kSifted);
  if (Is(kInitialized) || Is(kPaused) || Is(kExiting) || IsKilled()) return;
  // Sequentially consistent, see Inbox::Open.
  if (group_->closing.load()) return EndBecause(ExitReason::kKilled);
  if (Status status = group_->client->InitializeIsolate(*this); !status.ok()) {
    FailWith(std::move(status));
    return;
  }
  Set(kInitialized);
}

void IsolateState::End(WorkerThread& thread) {
  GroupState& group = *group_;
  if (Is(kInitialized) && !HandsOver()) group.client->ShutdownIsolate(*this);
  if (extension != nullptr) extension->end(*this);
  LeaveTurn();

  const ExitInfo info{id(), reason, error == nullptr ? Status() : std::move(*error)};
  const ExitListener listener = on_exit;
  Envelope* const listening = listeners;
  void* const data = data_;
  HandOver* taker = offer;  // which was committed: LeaveTurn has taken back others
  Residence* const place = residence;
  const uint32_t index = record.index;
  IsolateRecord& left_record = record;
  Envelope* const waiting = pending;
  MoveOut();
  Envelope* const inbox = left_record.inbox.Close();
  this->~IsolateState();
  if (taker != nullptr && !taker->takes_residence) {
    // Before this thread can be stopped: nobody visits any more what it carries.
    taker->fn(*taker, nullptr);
    taker = nullptr;
  }
  const bool rewound = taker == nullptr && place->mutator().TryRewind();
  // Who pinned them is gone, and the next owner knows nothing of it.
  if (taker != nullptr) place->region().state().pins.clear();
  LeaveMutator(thread, *place);

  if (taker != nullptr) {
    taker->fn(*taker, place);
  } else {
    thread.GiveResidence(place, rewound);
  }
  group.client->CleanupIsolate(info.isolate, data);
  // Who listens hears of it when all else is done.
  Envelope* asked = listening;
  for (Envelope* list : {waiting, inbox}) {
    while (list != nullptr) {
      Envelope* next = list->next;
      if (list->kind->is_control) {
        list->next = asked;
        asked = list;
      } else {
        list->kind->discard(group, list);
      }
      list = next;
    }
  }
  // Whoever has been told finds it gone. Sequentially consistent, see LateRequests.
  left_record.generation.store(0);
  if (listener.fn != nullptr) listener.fn(listener.data, info);
  while (asked != nullptr) {
    Envelope* next = asked->next;
    NoteHowItEnded(asked, info);
    asked->kind->discard(group, asked);
    asked = next;
  }
  group.late_requests.Answer(info);
  // Last: the isolate's start may have been among those.
  group.isolates.Give(index, &thread.records);
  group.NoteEnd();
}

// ---- Parking

bool IsolateState::TryParkEmpty(bool* is_empty) {
  HeapRefFinder finder(*mutator_);
  VisitRoots(finder);
  if (finder.found()) return false;
  *is_empty = mutator_->TryRewind();
  if (!*is_empty && residence->region().state().HasAttachments()) return false;
  MoveOut();
  return true;
}

bool IsolateState::TryPark(WorkerThread& thread, bool* is_empty) {
  if (residence->region().state().HasAttachments()) return false;
  RootReader reader(thread.roots);
  VisitRoots(reader);
  Image image;
  const auto packing =
      thread.copier->Pack(*mutator_, thread.roots, group_->options.park_bytes, nullptr, &image);
  if (!packing.ok() || packing.value() != GraphCopier::Packing::kImage) return false;
  parked = std::move(image);
  *is_empty = mutator_->TryRewind();
  MoveOut();
  return true;
}

}  // namespace Atoll
