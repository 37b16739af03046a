// The mailbox protocol, as it is in isolate/inbox.h, under seeded schedules: senders, workers that
// run isolates and hand them on, a thread that parks idle ones, and records that are used again.
//
// Oracles, tested at every seed:
//  - each message that was sent is delivered or discarded, exactly once, in its sender's order;
//  - an isolate has one owner at a time;
//  - every thread ends (the scheduler reports a deadlock else: a wake-up was lost).

#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "isolate/inbox.h"
#include "safepoint/platform.h"
#include "safepoint/schedule.h"

namespace Atoll {
namespace {

constexpr uint64_t kSeeds = ATOLL_ASAN ? 400 : 1000;
constexpr uint64_t kSeedsForAMistake = 1000;

constexpr int kSenders = 3;
constexpr int kWorkers = 2;
constexpr int kBoxes = 2;
constexpr int kLetters = 5;  // of each sender
constexpr int kParkings = 4;

struct Letter : Envelope {
  int sender = 0;
  int number = 0;
  int settled = 0;
};

/// What a record is, as far as its inbox goes.
template <typename InboxUnderTest>
struct Box {
  InboxUnderTest inbox;
  Envelope start{};
  bool touched = false;       // somebody uses the isolate as its owner
  int incarnation = 0;        // isolates that had the record before
  int last_from[kSenders]{};  // the last letter of each that was delivered, to this incarnation
};

/// Plain data throughout: one thread runs at a time, and the protocol must keep owners apart.
template <typename InboxUnderTest>
class Post {
 public:
  using BoxType = Box<InboxUnderTest>;

  explicit Post(uint64_t seed) : seed_(seed) {
    for (auto& box : boxes_) {
      box.inbox.Open(&box.start);
      ready_.push_back(&box);
    }
  }

  std::vector<std::function<void()>> Threads() {
    std::vector<std::function<void()>> threads;
    for (int i = 0; i < kSenders; ++i) threads.push_back([this, i] { Send(i); });
    for (int i = 0; i < kWorkers; ++i) threads.push_back([this, i] { Work(i); });
    threads.push_back([this] { Park(); });
    return threads;
  }
  /// What an oracle has found; empty: nothing.
  const std::string& problem() const { return problem_; }
  int delivered() const { return delivered_; }
  int discarded() const { return discarded_; }
  int parked() const { return parked_; }
  int reused() const { return reused_; }

 private:
  /// By a generator of its own, so that what a thread does depends on the seed alone.
  struct Numbers {
    uint64_t state;
    uint64_t Below(uint64_t n) {
      state = state * 6364136223846793005 + 1442695040888963407;
      return (state >> 33) % n;
    }
  };
  Numbers NumbersOf(int thread) const {
    return {seed_ * 0x9e3779b97f4a7c15 + static_cast<uint64_t>(thread) + 1};
  }

  void Note(const char* problem) {
    if (problem_.empty()) problem_ = problem;
  }
  void Settle(Letter& letter) {
    if (++letter.settled != 1) Note("a letter was settled twice");
    platform::MutexLock lock(mutex_);
    if (++settled_ == kSenders * kLetters) changed_.NotifyAll();
  }
  void Discard(Envelope* list) {
    while (list != nullptr) {
      Envelope* next = list->next;
      if (!IsStart(list)) {
        ++discarded_;
        Settle(*static_cast<Letter*>(list));
      }
      list = next;
    }
  }
  bool IsStart(const Envelope* envelope) const {
    for (const auto& box : boxes_) {
      if (envelope == &box.start) return true;
    }
    return false;
  }

  // The scheduler: whoever owns an isolate passes it here, and with it the ownership.
  void Ready(BoxType& box) {
    platform::MutexLock lock(mutex_);
    ready_.push_back(&box);
    changed_.NotifyOne();
  }
  BoxType* NextReady() {
    platform::MutexLock lock(mutex_);
    while (ready_.empty() && settled_ != kSenders * kLetters) changed_.Wait(mutex_);
    if (ready_.empty()) return nullptr;
    BoxType* box = ready_.front();
    ready_.pop_front();
    return box;
  }

  void Touch(BoxType& box) {
    if (box.touched) Note("two threads own an isolate at once");
    box.touched = true;
    ATOLL_SCHEDULE_POINT("use the isolate");
    box.touched = false;
  }
  void GiveUp(BoxType& box) {
    if (!box.inbox.TryIdle()) Ready(box);
  }

  void Send(int sender) {
    Numbers numbers = NumbersOf(sender);
    for (int i = 0; i < kLetters; ++i) {
      Letter& letter = letters_[sender][i];
      letter.sender = sender;
      letter.number = i + 1;
      BoxType& box = boxes_[numbers.Below(kBoxes)];
      switch (box.inbox.Push(&letter)) {
        case Inbox::Pushed::kOwned:
          Touch(box);
          Ready(box);
          break;
        case Inbox::Pushed::kContended:
        case Inbox::Pushed::kQueued:
          break;
        case Inbox::Pushed::kClosed:
          ++discarded_;
          Settle(letter);
          break;
      }
    }
  }

  void Work(int worker) {
    Numbers numbers = NumbersOf(kSenders + worker);
    while (BoxType* box = NextReady()) {
      Touch(*box);
      int handled = 0;
      for (Envelope* at = box->inbox.Take(); at != nullptr && ++handled <= kSenders * kLetters;) {
        Envelope* next = at->next;
        if (!IsStart(at)) Deliver(*box, *static_cast<Letter*>(at));
        at = next;
      }
      Touch(*box);
      if (numbers.Below(4) == 0) {
        End(*box);
      } else if (box->inbox.has_envelopes()) {
        Ready(*box);
      } else {
        GiveUp(*box);
      }
    }
  }
  void Deliver(BoxType& box, Letter& letter) {
    if (letter.number <= box.last_from[letter.sender]) {
      Note("letters of one sender arrive in another order");
    }
    box.last_from[letter.sender] = letter.number;
    ++delivered_;
    Settle(letter);
  }
  /// The isolate ends, and its record is another's at once.
  void End(BoxType& box) {
    Discard(box.inbox.Close());
    ATOLL_SCHEDULE_POINT("the record is nobody's");
    ++box.incarnation;
    ++reused_;
    for (int& last : box.last_from) last = 0;
    box.inbox.Open(&box.start);
    Ready(box);
  }

  /// As a worker does with the oldest in its ring.
  void Park() {
    Numbers numbers = NumbersOf(kSenders + kWorkers);
    for (int i = 0; i < kParkings; ++i) {
      BoxType& box = boxes_[numbers.Below(kBoxes)];
      ATOLL_SCHEDULE_POINT("look for one to park");
      if (!box.inbox.TryOwn()) continue;
      ++parked_;
      Touch(box);
      GiveUp(box);
    }
  }

  const uint64_t seed_;
  BoxType boxes_[kBoxes];
  Letter letters_[kSenders][kLetters];
  platform::Mutex mutex_;
  platform::ConditionVariable changed_;
  std::deque<BoxType*> ready_;  // under mutex_, as what follows
  int settled_ = 0;
  int delivered_ = 0;
  int discarded_ = 0;
  int parked_ = 0;
  int reused_ = 0;
  std::string problem_;
};

struct Totals {
  int delivered = 0;
  int discarded = 0;
  int parked = 0;
  int reused = 0;
};

/// One seed; returns what was wrong, or "".
template <typename InboxUnderTest>
std::string RunSeed(uint64_t seed, Totals* totals = nullptr,
                    SeededScheduler::Outcome* outcome = nullptr) {
  auto post = std::make_unique<Post<InboxUnderTest>>(seed);
  SeededScheduler::Outcome result = SeededScheduler(20'000).Run(seed, post->Threads());
  std::string problem = post->problem();
  if (!result.finished) {
    if (problem.empty()) problem = result.report;
    static_cast<void>(post.release());  // its threads are stuck in it
  } else if (problem.empty() && post->delivered() + post->discarded() != kSenders * kLetters) {
    problem = "sent is not delivered and discarded";
  }
  if (totals != nullptr && result.finished) {
    totals->delivered += post->delivered();
    totals->discarded += post->discarded();
    totals->parked += post->parked();
    totals->reused += post->reused();
  }
  if (outcome != nullptr) *outcome = std::move(result);
  return problem;
}

TEST(Mailbox, EachMessageOnceAndOneOwnerAtATime) {
  Totals totals;
  const char* given = std::getenv("ATOLL_SCHEDULE_SEED");
  const uint64_t first = given == nullptr ? 1 : std::strtoull(given, nullptr, 10);
  const uint64_t last = given == nullptr ? kSeeds : first;
  for (uint64_t seed = first; seed <= last; ++seed) {
    SeededScheduler::Outcome outcome;
    const std::string problem = RunSeed<Inbox>(seed, &totals, &outcome);
    ASSERT_EQ(problem, "") << "ATOLL_SCHEDULE_SEED=" << seed << "\n"
                           << SeededScheduler::Format(outcome.trace);
    if (given != nullptr) printf("%s", SeededScheduler::Format(outcome.trace, SIZE_MAX).c_str());
  }
  if (given != nullptr) return;
  // What makes the protocol interesting happened often.
  EXPECT_GT(totals.delivered, 2 * static_cast<int>(kSeeds));
  EXPECT_GT(totals.discarded, static_cast<int>(kSeeds) / 4);
  EXPECT_GT(totals.parked, static_cast<int>(kSeeds) / 4);
  EXPECT_GT(totals.reused, static_cast<int>(kSeeds));
}

TEST(Mailbox, TheSameSeedReplaysTheSameTrace) {
  std::vector<SeededScheduler::Step> before;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SeededScheduler::Outcome first;
    SeededScheduler::Outcome second;
    ASSERT_EQ(RunSeed<Inbox>(seed, nullptr, &first), "");
    ASSERT_EQ(RunSeed<Inbox>(seed, nullptr, &second), "");
    ASSERT_FALSE(first.trace.empty());
    EXPECT_EQ(first.trace, second.trace) << "seed " << seed;
    EXPECT_NE(first.trace, before) << "seed " << seed;
    before = first.trace;
  }
}

// ---- Tests of the tests: each oracle finds the mistake that it is there for.

/// The first seed that finds something, and what; fails when none does.
template <typename BrokenInbox>
std::string FirstProblem() {
  for (uint64_t seed = 1; seed <= kSeedsForAMistake; ++seed) {
    const std::string problem = RunSeed<BrokenInbox>(seed);
    if (!problem.empty()) return problem;
  }
  ADD_FAILURE() << "no seed up to " << kSeedsForAMistake << " has found the mistake";
  return "";
}

/// TryIdle looks, and then stores without comparing: what came in between is lost.
class ForgetfulInbox : public Inbox {
 public:
  bool TryIdle() {
    if (has_envelopes()) return false;
    ATOLL_SCHEDULE_POINT("inbox: be idle");
    while (!Inbox::TryIdle()) Take();
    return true;
  }
};
TEST(MailboxOracles, ATryIdleThatDoesNotCompareLosesMessages) {
  EXPECT_NE(FirstProblem<ForgetfulInbox>().find("deadlock"), std::string::npos);
}

/// TryOwn takes an isolate that somebody owns.
class GreedyInbox : public Inbox {
 public:
  bool TryOwn() { return Inbox::TryOwn() || !is_closed(); }
};
TEST(MailboxOracles, ATryOwnThatDoesNotCompareMakesTwoOwners) {
  EXPECT_EQ(FirstProblem<GreedyInbox>(), "two threads own an isolate at once");
}

/// Push does not say that the caller owns the isolate now: nobody runs it.
class SilentInbox : public Inbox {
 public:
  Pushed Push(Envelope* envelope) {
    const Pushed pushed = Inbox::Push(envelope);
    return pushed == Pushed::kOwned ? Pushed::kQueued : pushed;
  }
};
TEST(MailboxOracles, APushThatWakesNobodyIsADeadlock) {
  EXPECT_NE(FirstProblem<SilentInbox>().find("deadlock"), std::string::npos);
}

/// Take gives the newest first.
class BackwardInbox : public Inbox {
 public:
  Envelope* Take() {
    Envelope* reversed = nullptr;
    for (Envelope* at = Inbox::Take(); at != nullptr;) {
      Envelope* next = at->next;
      at->next = reversed;
      reversed = at;
      at = next;
    }
    return reversed;
  }
};
TEST(MailboxOracles, ATakeOfTheNewestFirstIsAnotherOrder) {
  EXPECT_EQ(FirstProblem<BackwardInbox>(), "letters of one sender arrive in another order");
}

/// Close gives back all but one.
class StingyInbox : public Inbox {
 public:
  Envelope* Close() {
    Envelope* all = Inbox::Close();
    return all == nullptr ? nullptr : all->next;
  }
};
TEST(MailboxOracles, ACloseThatLosesOneIsADeadlock) {
  EXPECT_NE(FirstProblem<StingyInbox>().find("deadlock"), std::string::npos);
}

}  // namespace
}  // namespace Atoll
