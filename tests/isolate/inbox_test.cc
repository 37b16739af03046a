// Who owns an isolate, and what lies in its inbox?
#include "isolate/inbox.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "safepoint/platform.h"

namespace Atoll {
namespace {

struct Numbered : Envelope {
  explicit Numbered(int n = 0, int s = 0) : Envelope{nullptr, nullptr}, number(n), sender(s) {}
  int number;
  int sender;
};

std::vector<int> NumbersOf(Envelope* list) {
  std::vector<int> numbers;
  for (; list != nullptr; list = list->next)
    numbers.push_back(static_cast<Numbered*>(list)->number);
  return numbers;
}

using Numbers = std::vector<int>;

TEST(InboxTest, ClosedUntilItIsOpened) {
  Inbox inbox;
  Numbered envelope(1);
  EXPECT_TRUE(inbox.is_closed());
  EXPECT_FALSE(inbox.is_idle());
  EXPECT_EQ(inbox.Push(&envelope), Inbox::Pushed::kClosed);
  EXPECT_FALSE(inbox.TryOwn());
  EXPECT_FALSE(inbox.TryIdle());
  EXPECT_TRUE(inbox.is_closed());
  inbox.Open(&envelope);
  EXPECT_FALSE(inbox.is_closed());
  EXPECT_TRUE(inbox.has_envelopes());
  EXPECT_FALSE(inbox.TryOwn()) << "who opens it owns it";
  EXPECT_EQ(NumbersOf(inbox.Take()), Numbers{1});
}

TEST(InboxTest, OldestFirstAndOnlyTheFirstPushOwns) {
  Inbox inbox;
  Numbered envelopes[] = {Numbered(0), Numbered(1), Numbered(2), Numbered(3)};
  inbox.Open(&envelopes[0]);
  EXPECT_EQ(inbox.Push(&envelopes[1]), Inbox::Pushed::kQueued);
  EXPECT_EQ(inbox.Push(&envelopes[2]), Inbox::Pushed::kQueued);
  EXPECT_FALSE(inbox.TryIdle()) << "something is in it";
  EXPECT_EQ(NumbersOf(inbox.Take()), (Numbers{0, 1, 2}));
  EXPECT_EQ(inbox.Take(), nullptr);
  EXPECT_EQ(inbox.Push(&envelopes[3]), Inbox::Pushed::kQueued) << "it is owned still";
  EXPECT_EQ(NumbersOf(inbox.Take()), Numbers{3});
  EXPECT_TRUE(inbox.TryIdle());
  EXPECT_TRUE(inbox.is_idle());
  EXPECT_EQ(inbox.Push(&envelopes[0]), Inbox::Pushed::kOwned);
  EXPECT_EQ(inbox.Push(&envelopes[1]), Inbox::Pushed::kQueued);
  EXPECT_EQ(NumbersOf(inbox.Close()), (Numbers{0, 1}));
  EXPECT_EQ(inbox.Push(&envelopes[2]), Inbox::Pushed::kClosed);
}

TEST(InboxTest, AnIdleOneHasOneOwnerAtATime) {
  Inbox inbox;
  Numbered envelope;
  inbox.Open(&envelope);
  inbox.Take();
  ASSERT_TRUE(inbox.TryIdle());
  EXPECT_TRUE(inbox.TryOwn());
  EXPECT_FALSE(inbox.TryOwn());
  EXPECT_EQ(inbox.Push(&envelope), Inbox::Pushed::kQueued);
  EXPECT_FALSE(inbox.TryIdle());
  EXPECT_EQ(inbox.Take(), &envelope);
  EXPECT_TRUE(inbox.TryIdle());
}

TEST(InboxTest, ForEachSeesAllNewestFirst) {
  Inbox inbox;
  Numbers seen;
  const auto note = [&](Envelope* envelope) {
    seen.push_back(static_cast<Numbered*>(envelope)->number);
  };
  inbox.ForEach(note);
  EXPECT_TRUE(seen.empty()) << "closed";
  Numbered envelopes[] = {Numbered(0), Numbered(1), Numbered(2)};
  inbox.Open(&envelopes[0]);
  inbox.Push(&envelopes[1]);
  inbox.Push(&envelopes[2]);
  inbox.ForEach(note);
  EXPECT_EQ(seen, (Numbers{2, 1, 0}));
  inbox.Take();
  seen.clear();
  inbox.ForEach(note);
  EXPECT_TRUE(seen.empty()) << "owned";
  ASSERT_TRUE(inbox.TryIdle());
  inbox.ForEach(note);
  EXPECT_TRUE(seen.empty()) << "idle";
}

// Senders, a parker and the owners that they make of each other. What an owner does is not atomic:
// a second owner at the same time would be a data race, and lose counts.
TEST(InboxTest, ThreadsNeverOwnItTogetherAndLoseNothing) {
  constexpr int kSenders = 3;
  constexpr int kEach = 20'000;
  Inbox inbox;
  Numbered start(-1, -1);
  inbox.Open(&start);
  inbox.Take();
  ASSERT_TRUE(inbox.TryIdle());

  int next_of[kSenders] = {};  // the owner's
  uint64_t turns = 0;          // the owner's
  std::atomic<int> taken{0};
  const auto own = [&] {
    do {
      ++turns;
      for (Envelope* at = inbox.Take(); at != nullptr;) {
        auto* envelope = static_cast<Numbered*>(at);
        at = at->next;
        EXPECT_EQ(envelope->number, next_of[envelope->sender]) << "in the sender's order";
        next_of[envelope->sender] = envelope->number + 1;
        taken.fetch_add(1);
      }
    } while (!inbox.TryIdle());
  };
  std::vector<std::vector<Numbered>> envelopes(kSenders);
  std::vector<std::thread> threads;
  for (int sender = 0; sender < kSenders; ++sender) {
    for (int i = 0; i < kEach; ++i) envelopes[sender].emplace_back(i, sender);
    threads.emplace_back([&, sender] {
      for (Numbered& envelope : envelopes[sender]) {
        const Inbox::Pushed pushed = inbox.Push(&envelope);
        EXPECT_NE(pushed, Inbox::Pushed::kClosed);
        if (pushed == Inbox::Pushed::kOwned) own();
      }
    });
  }
  threads.emplace_back([&] {
    while (taken.load() != kSenders * kEach) {
      if (inbox.TryOwn()) own();
      platform::YieldThread();
    }
  });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(taken.load(), kSenders * kEach);
  EXPECT_GT(turns, 0u);
  EXPECT_TRUE(inbox.is_idle());
}

// Each envelope is either in what Close returns, or its sender has it back.
TEST(InboxTest, ClosingLosesNothing) {
  constexpr int kRounds = 300;
  constexpr int kEach = 50;
  for (int round = 0; round < kRounds; ++round) {
    Inbox inbox;
    Numbered start(-1, -1);
    inbox.Open(&start);
    std::vector<Numbered> envelopes[2];
    std::atomic<int> refused{0};
    std::vector<std::thread> threads;
    for (auto& own : envelopes) {
      own.resize(kEach);
      threads.emplace_back([&inbox, &refused, &own] {
        for (Numbered& envelope : own) {
          const Inbox::Pushed pushed = inbox.Push(&envelope);
          EXPECT_NE(pushed, Inbox::Pushed::kOwned) << "the opener owns it";
          if (pushed == Inbox::Pushed::kClosed) refused.fetch_add(1);
        }
      });
    }
    size_t taken = NumbersOf(inbox.Take()).size();
    taken += NumbersOf(inbox.Close()).size();
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(taken - 1 + static_cast<size_t>(refused.load()), size_t{2 * kEach});
    EXPECT_TRUE(inbox.is_closed());
  }
}

}  // namespace
}  // namespace Atoll
