#include "tests/stress/community.h"

#include <cstring>

#include "tests/stress/check.h"
#include "tests/stress/member.h"

namespace Atoll::stress {
namespace {

constexpr char kName[] = "member";
constexpr char kNameOfFailing[] = "member that is not initialized";
constexpr uint64_t kFailingOneIn = 50;

}  // namespace

Community::Community(uint32_t seats, uint64_t seed, size_t limit_bytes)
    : seed_(seed), limit_bytes_(limit_bytes) {
  for (uint32_t i = 0; i < seats; ++i) {
    Seat& seat = seats_.emplace_back();
    seat.community = this;
    seat.index = i;
  }
}

void Community::Begin(IsolateGroup& group, const Setting& setting) {
  group_ = &group;
  setting_ = &setting;
}

bool Community::TrySpawn(Seat& seat) {
  uint64_t incarnation = 0;
  {
    std::lock_guard<std::mutex> lock(seat.mutex);
    if (seat.occupied) return false;
    seat.occupied = true;
    incarnation = ++seat.incarnation;
  }
  SpawnOptions options;
  options.entry = Enter;
  options.data = &seat;
  const uint64_t number = Mix(seed_ ^ (incarnation << 16 | seat.index));
  options.name = number % kFailingOneIn == 0 ? kNameOfFailing : kName;
  options.limit_bytes = limit_bytes_;
  options.on_exit = {Ended, &seat};
  const auto spawned = group_->Spawn(options);
  if (spawned.ok()) {
    counts_.spawned.fetch_add(1, std::memory_order_relaxed);
    return true;
  }
  STRESS_CHECK(setting_->memory_is_refused, "%s", spawned.status().message().c_str());
  std::lock_guard<std::mutex> lock(seat.mutex);
  seat.occupied = false;
  return false;
}

void Community::Enter(Isolate& isolate, void* data) {
  auto& seat = *static_cast<Seat*>(data);
  uint64_t incarnation = 0;
  {
    std::lock_guard<std::mutex> lock(seat.mutex);
    seat.id = isolate.id();
    incarnation = seat.incarnation;
  }
  auto* member = new Member(*seat.community, seat, incarnation << 16 | seat.index);
  isolate.set_data(member);
  member->Begin(isolate);
}

void Community::Ended(void* data, const ExitInfo& info) {
  auto& seat = *static_cast<Seat*>(data);
  GroupCounts& counts = seat.community->counts_;
  const auto count = [](std::atomic<uint64_t>& number) {
    number.fetch_add(1, std::memory_order_relaxed);
  };
  switch (info.reason) {
    case ExitReason::kReturned:
      count(counts.returned);
      break;
    case ExitReason::kKilled:
      count(counts.killed);
      break;
    case ExitReason::kHandedOver:
      count(counts.handed_over);
      break;
    case ExitReason::kFailed:
      STRESS_CHECK(info.error.code() == StatusCode::kUnsupported ||
                       (seat.community->setting_->memory_is_refused &&
                        info.error.code() == StatusCode::kResourceExhausted),
                   "an isolate failed: %s", info.error.message().c_str());
      count(counts.failed);
      break;
    case ExitReason::kGone:
      STRESS_CHECK(false, "an exit listener is told that its isolate had gone");
  }
  std::lock_guard<std::mutex> lock(seat.mutex);
  seat.occupied = false;
  seat.id = {};
  for (auto* port : {&seat.ticks, &seat.mail}) {
    if (*port != nullptr) (*port)->closed.store(true);
    port->reset();
  }
}

void Community::AddParcel(std::unique_ptr<Parcel> parcel) {
  const uint64_t id = parcel->root.node()->id;
  std::lock_guard<std::mutex> lock(mutex_);
  const bool added = parcels_.emplace(id, std::move(parcel)).second;
  STRESS_CHECK(added, "two messages with the root object %llu",
               static_cast<unsigned long long>(id));
}

std::unique_ptr<Parcel> Community::TakeParcel(uint64_t id) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = parcels_.find(id);
  STRESS_CHECK(found != parcels_.end(),
               "a message with the root object %llu was not sent, or twice",
               static_cast<unsigned long long>(id));
  std::unique_ptr<Parcel> parcel = std::move(found->second);
  parcels_.erase(found);
  return parcel;
}

size_t Community::parcels() {
  std::lock_guard<std::mutex> lock(mutex_);
  return parcels_.size();
}

void Community::CheckParcelsOfClosedPorts() {
  std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& [id, parcel] : parcels_) {
    STRESS_CHECK(parcel->port->closed.load(),
                 "the message with the root object %llu has not arrived, and its port is open",
                 static_cast<unsigned long long>(id));
  }
}

void Community::Keep(std::vector<std::unique_ptr<Node>> frozen) {
  std::lock_guard<std::mutex> lock(mutex_);
  for (auto& node : frozen) frozen_.push_back(std::move(node));
}

size_t Community::frozen_nodes() {
  std::lock_guard<std::mutex> lock(mutex_);
  return frozen_.size();
}

Token* Community::NewToken() {
  std::lock_guard<std::mutex> lock(mutex_);
  return &tokens_.emplace_back();
}

void Community::CheckAllTokensFired() {
  for (const Token& token : tokens_) {
    STRESS_CHECK(token.fired.load() == 1, "all isolates are gone, and a finalizer fired %d times",
                 token.fired.load());
  }
}

Status Community::InitializeIsolate(Isolate& isolate) {
  if (std::strcmp(isolate.name(), kNameOfFailing) != 0) return Status::Ok();
  return {StatusCode::kUnsupported, "this one is not initialized"};
}

void Community::ShutdownIsolate(Isolate& isolate) {
  if (auto* member = static_cast<Member*>(isolate.data())) member->NoteEnd();
}

void Community::CleanupIsolate(IsolateId, void* data) { delete static_cast<Member*>(data); }

void Community::OnEnter(Isolate& isolate) {
  if (auto* member = static_cast<Member*>(isolate.data())) member->Enter(isolate);
}

void Community::VisitRoots(Isolate& isolate, RootVisitor& visitor) {
  if (auto* member = static_cast<Member*>(isolate.data())) member->VisitRoots(visitor);
}

}  // namespace Atoll::stress
