// A whole group under seeded schedules: its workers, its monitor, and the threads that spawn, kill,
// pause and collect run one at a time, in an order that the seed chooses.
//
// Oracles, tested at every seed:
//  - messages sent are handled, once and in order, or discarded with the isolate they were for;
//  - what is handed over arrives whole;
//  - the verifier; and when all isolates have ended nothing of them is left in the heap;
//  - every thread ends (the scheduler reports a deadlock else).

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "atoll/handles.h"
#include "atoll/messaging.h"
#include "heap/heap_state.h"
#include "isolate/group_state.h"
#include "safepoint/schedule.h"
#include "tests/heap/heap_fixture.h"

namespace Atoll {
namespace {

constexpr uint64_t kSeeds = ATOLL_ASAN ? 150 : 1000;
constexpr uint64_t kMaxSteps = 400'000;

constexpr int kSenders = 3;
constexpr int kMessages = 4;      // of each sender, before it hands over what it owns
constexpr uint64_t kLength = 40;  // of the list that it hands over

Ref Immediate(uint64_t value) { return Ref{value << 3 | 1}; }
uint64_t ValueOf(Ref immediate) { return immediate.word >> 3; }

/// What a seed decides apart from the order of steps.
struct Plan {
  explicit Plan(uint64_t seed)
      : kills_receiver(seed % 3 == 1),
        kills_sender(seed % 3 == 2),
        pauses(seed % 2 == 0),
        collects(seed % 5 < 2),
        residents(seed % 4 == 0 ? 0 : 1) {}
  bool kills_receiver;
  bool kills_sender;
  bool pauses;
  bool collects;
  uint32_t residents;
};

/// One run. Plain data: one thread runs at a time, and all is read when they have ended.
class GroupRun : public GroupClient {
 public:
  explicit GroupRun(uint64_t seed) : plan_(seed) {}

  std::vector<std::function<void()>> Threads() {
    return {[this] { Main(); }, [this] { Meddle(); }, [this] { SpawnOthers(); }};
  }
  const std::vector<std::string>& problems() const { return problems_; }
  int handled() const { return handled_; }
  int lists() const { return lists_; }
  int discarded() const { return discarded_; }
  int killed() const { return killed_; }

 private:
  struct Sender {
    GroupRun* run = nullptr;
    uint64_t number = 0;
    IsolateId id;
    int delivered = 0;  // messages; and
    bool handed_over = false;
    uint64_t last = 0;  // that was handled
  };

  Status CreateGroup(IsolateGroup& group) override {
    types_ = std::make_unique<TestTypes>(group.heap());
    return Status::Ok();
  }

  void Expect(bool condition, const std::string& problem) {
    if (!condition) problems_.push_back(problem);
  }
  void ExpectOk(const Status& status) { Expect(status.ok(), status.message()); }

  /// Waits for something that a thread makes true by Change.
  template <typename Condition>
  void WaitFor(Condition condition) {
    platform::MutexLock lock(mutex_);
    while (!condition()) changed_.Wait(mutex_);
  }
  template <typename Fn>
  void Change(Fn change) {
    platform::MutexLock lock(mutex_);
    change();
    changed_.NotifyAll();
  }
  static void Ended(void* data, const ExitInfo& info) {
    auto* run = static_cast<GroupRun*>(data);
    run->Change([&] {
      ++run->ended_;
      if (info.reason == ExitReason::kKilled) ++run->killed_;
      run->Expect(info.reason != ExitReason::kFailed, info.error.message());
    });
  }
  IsolateId Spawn(void (*entry)(Isolate&, void*), void* data) {
    SpawnOptions options;
    options.entry = entry;
    options.data = data;
    options.on_exit = {Ended, this};
    auto id = group_->Spawn(options);
    ExpectOk(id.status());
    Change([&] { ++spawned_; });
    return id.ok() ? id.value() : IsolateId{};
  }

  // ---- The receiver

  static void Receive(Isolate& isolate, void* data) {
    auto* run = static_cast<GroupRun*>(data);
    auto opened = ReceivePort::Open(
        isolate,
        [](Isolate& receiver, Ref message, void* of) {
          static_cast<GroupRun*>(of)->Handle(receiver, message);
        },
        run);
    run->ExpectOk(opened.status());
    const SendPort to = opened.value().Release();
    run->Change([&] { run->to_ = to; });
  }
  void Handle(Isolate& isolate, Ref message) {
    ATOLL_SCHEDULE_POINT("handle a message");
    if (message.word == Immediate(0).word) return isolate.Exit();
    ++handled_;
    if ((message.word & 7) == 1) return Note(ValueOf(message));
    const ObjectPtr head = ObjectOf(message);
    if (!Load(head, kA)) return Note(IdAt(head));
    // A list that was handed over; kept for the turns to come, parked or not.
    ExpectOk(isolate.SetField(lists_++, message));
    ExpectOk(isolate.mutator().Collect(Mutator::Collection::kMinor));
    for (int i = 0; i < lists_; ++i) ExpectList(isolate.field(static_cast<size_t>(i)));
  }
  void Note(uint64_t value) {
    Sender& sender = senders_[value / 100];
    Expect(value % 100 > sender.last, "messages of one sender are handled in another order");
    sender.last = value % 100;
  }
  void ExpectList(Ref list) {
    uint64_t count = 0;
    for (ObjectPtr at = ObjectOf(list); at; at = Load(at, kA)) {
      Expect(IdAt(at) == kLength - count, "an object of a list is another's");
      ++count;
    }
    Expect(count == kLength, "a list has lost objects");
  }

  // ---- The senders

  static void SendAll(Isolate& isolate, void* data) {
    auto* sender = static_cast<Sender*>(data);
    sender->run->SendAll(isolate, *sender);
  }
  void SendAll(Isolate& isolate, Sender& sender) {
    Mutator& mutator = isolate.mutator();
    for (uint64_t i = 1; i <= kMessages && isolate.Poll(); ++i) {
      const uint64_t value = sender.number * 100 + i;
      Ref message = Immediate(value);
      if (i % 2 == 0) {
        const ObjectPtr pair = mutator.Allocate(*types_->pair);
        IdAt(pair) = value;
        message = RefOf(pair);
      }
      if (Send(isolate, to_, message) == SendStatus::kDelivered) ++sender.delivered;
    }
    ExpectOk(isolate.SetField(0, Ref{}));
    for (uint64_t i = 1; i <= kLength; ++i) {
      const ObjectPtr pair = mutator.Allocate(*types_->pair);
      IdAt(pair) = i;
      Link(mutator, pair, kA, ObjectOf(isolate.field(0)));
      ExpectOk(isolate.SetField(0, RefOf(pair)));
    }
    if (!isolate.Poll()) return;
    auto ticket = PrepareExit(isolate, to_, isolate.field(0), nullptr, {.always_adopt = true});
    if (!ticket.ok()) {
      return Expect(plan_.kills_receiver, ticket.status().message());
    }
    ATOLL_SCHEDULE_POINT("prepared to exit");
    ExpectOk(ticket.value().Commit());
    sender.handed_over = true;
  }

  // ---- The threads

  void Main() {
    GroupOptions options;
    options.name = "scheduled";
    options.client = this;
    options.workers = 2;
    options.resident_isolates = plan_.residents;
    options.heap.workers = 1;
    options.heap.nursery_bytes = 4 * kBlockSize;
    options.heap.safepoint.watchdog = [](const std::string&, uint64_t) {};
    auto made = IsolateGroup::Create(options);
    ExpectOk(made.status());
    std::unique_ptr<IsolateGroup> group = std::move(made).value();
    HeapState& heap = group->heap().state();
    const size_t bytes_at_start = heap.allocator.bytes();
    const size_t blocks_at_start = heap.pool.used_bytes();
    Change([&] { group_ = group.get(); });
    receiver_ = Spawn(Receive, this);
    WaitFor([&] { return static_cast<bool>(to_); });
    for (size_t i = 0; i < senders_.size(); ++i) {
      senders_[i].run = this;
      senders_[i].number = i;
      senders_[i].id = Spawn(SendAll, &senders_[i]);
    }
    Change([&] { has_begun_ = true; });
    // All but the receiver, which may have been killed.
    WaitFor([&] { return helpers_done_ == 2 && ended_ >= spawned_ - 1; });
    SendImmediate(*group, to_, Immediate(0));
    group->WaitUntilEmpty();
    WaitFor([&] { return ended_ == spawned_; });

    int sent = 0;
    for (const Sender& sender : senders_) sent += sender.delivered + (sender.handed_over ? 1 : 0);
    discarded_ = sent - handled_;
    Expect(
        plan_.kills_receiver ? discarded_ >= 0 : discarded_ == 0,
        std::to_string(sent) + " messages were sent and " + std::to_string(handled_) + " handled");
    group->Shutdown();
    GroupState& state = group->state();
    state.monitor.Stop();
    state.scheduler.Stop();
    state.Trim();
    state.Trim();
    ExpectOk(group->heap().Verify());
    ExpectOk(group->heap().CollectAll());
    Expect(group->heap().stats().regions == 0, "regions are left");
    Expect(group->heap().stats().shared_bytes == 0, "shared bytes are left");
    Expect(heap.pool.used_bytes() == blocks_at_start, "blocks are left");
    Expect(heap.allocator.bytes() == bytes_at_start, "off-heap memory is left");
    types_.reset();
  }

  /// Kills, pauses, collects; at moments that the schedule chooses.
  void Meddle() {
    WaitFor([&] { return has_begun_; });
    if (plan_.pauses) group_->Pause(receiver_);
    if (plan_.collects) ExpectOk(group_->heap().CollectAll());
    if (plan_.kills_sender) group_->Kill(senders_[1].id);
    ExpectOk(group_->heap().Verify());
    if (plan_.pauses) group_->Resume(receiver_);
    if (plan_.kills_receiver) group_->Kill(receiver_);
    Change([&] { ++helpers_done_; });
  }
  /// Isolates that end at once: their records are used again.
  void SpawnOthers() {
    WaitFor([&] { return has_begun_; });
    for (int i = 0; i < 3; ++i) {
      const IsolateId id = Spawn(
          [](Isolate& isolate, void* data) {
            auto* run = static_cast<GroupRun*>(data);
            run->Expect(static_cast<bool>(isolate.mutator().Allocate(*run->types_->pair)),
                        "no memory");
          },
          this);
      if (i == 1) group_->Kill(id);
    }
    Change([&] { ++helpers_done_; });
  }

  const Plan plan_;
  std::unique_ptr<TestTypes> types_;
  IsolateGroup* group_ = nullptr;
  IsolateId receiver_;
  SendPort to_;
  std::array<Sender, kSenders> senders_{};
  platform::Mutex mutex_;
  platform::ConditionVariable changed_;
  bool has_begun_ = false;
  int helpers_done_ = 0;
  int spawned_ = 0;
  int ended_ = 0;
  int killed_ = 0;
  int handled_ = 0;
  int lists_ = 0;
  int discarded_ = 0;
  std::vector<std::string> problems_;
};

struct Totals {
  int handled = 0;
  int lists = 0;
  int discarded = 0;
  int killed = 0;
};

SeededScheduler::Outcome RunSeed(uint64_t seed, Totals* totals) {
  auto run = std::make_unique<GroupRun>(seed);
  auto outcome = SeededScheduler(kMaxSteps).Run(seed, run->Threads());
  EXPECT_TRUE(outcome.finished) << outcome.report << "\n" << SeededScheduler::Format(outcome.trace);
  for (const std::string& problem : run->problems()) ADD_FAILURE() << problem;
  totals->handled += run->handled();
  totals->lists += run->lists();
  totals->discarded += run->discarded();
  totals->killed += run->killed();
  if (!outcome.finished) static_cast<void>(run.release());  // its threads are stuck in it
  return outcome;
}

TEST(ScheduledGroup, MessagesHandOversKillsAndRecordsUsedAgain) {
  Totals totals;
  if (const char* given = std::getenv("ATOLL_SCHEDULE_SEED")) {
    const auto outcome = RunSeed(std::strtoull(given, nullptr, 10), &totals);
    printf("%s", SeededScheduler::Format(outcome.trace, SIZE_MAX).c_str());
    return;
  }
  for (uint64_t seed = 1; seed <= kSeeds && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("ATOLL_SCHEDULE_SEED=" + std::to_string(seed));
    RunSeed(seed, &totals);
  }
  const int seeds = static_cast<int>(kSeeds);
  EXPECT_GT(totals.handled, seeds * kSenders);
  EXPECT_GT(totals.lists, seeds);
  EXPECT_GT(totals.discarded, seeds / 10);
  EXPECT_GT(totals.killed, seeds / 3);
}

TEST(ScheduledGroup, TheSameSeedReplaysTheSameTrace) {
  Totals totals;
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    const auto first = RunSeed(seed, &totals);
    const auto second = RunSeed(seed, &totals);
    EXPECT_EQ(first.trace, second.trace) << "seed " << seed;
    EXPECT_GT(first.trace.size(), 100u);
  }
}

}  // namespace
}  // namespace Atoll
