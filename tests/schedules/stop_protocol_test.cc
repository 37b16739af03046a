// The stop protocol, as it is in safepoint/, under seeded schedules.
//
// Oracles, tested at every seed:
//  - while a stop's or a handshake's function runs, no target touches the heap;
//  - no two functions that have a target in common run at once, and a group's runs alone;
//  - every thread ends (the scheduler reports a deadlock else), every function has run once.

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "atoll/safepoint.h"
#include "safepoint/platform.h"
#include "safepoint/schedule.h"

namespace Atoll {
namespace {

constexpr uint64_t kSeeds = ATOLL_ASAN ? 500 : 3000;

/// One more, or a given one, for reproducing: ATOLL_SCHEDULE_SEED=n runs only that, with its trace
/// printed.
template <typename Body>
void ForEachSeed(Body body) {
  if (const char* given = std::getenv("ATOLL_SCHEDULE_SEED")) {
    body(std::strtoull(given, nullptr, 10), true);
    return;
  }
  for (uint64_t seed = 1; seed <= kSeeds && !::testing::Test::HasFailure(); ++seed) {
    body(seed, false);
  }
}

class Actor : public MutatorThread {
 public:
  explicit Actor(int index) : MutatorThread("m" + std::to_string(index)), index_(index) {}
  int index() const { return index_; }

  // Plain data: one thread runs at a time, and the protocol must keep the rest out.
  bool touching = false;  // this mutator uses the heap
  int visitors = 0;       // functions that rely on this mutator being stopped
  uint32_t polled = 0;

 protected:
  void OnPoll(uint32_t client_bits) override { polled |= client_bits; }

 private:
  const int index_;
};

class World {
 public:
  explicit World(int mutators) : manager_(Options()) {
    for (int i = 0; i < mutators; ++i) {
      actors_.push_back(std::make_unique<Actor>(i));
      EXPECT_TRUE(manager_.Attach(actors_.back().get()).ok());
    }
  }
  ~World() {
    for (auto& actor : actors_) EXPECT_TRUE(manager_.Detach(actor.get()).ok());
  }

  SafepointManager& manager() { return manager_; }
  Actor& actor(int i) { return *actors_[i]; }
  int actors() const { return static_cast<int>(actors_.size()); }
  int asked() const { return asked_; }
  int ran() const { return ran_; }

  void TouchHeap(Actor& self) {
    EXPECT_EQ(self.state(), MutatorState::kManaged);
    EXPECT_EQ(self.visitors, 0) << self.name()
                                << " runs while somebody relies on it standing still";
    EXPECT_FALSE(group_stopped_) << self.name() << " runs while the group is stopped";
    self.touching = true;
    ATOLL_SCHEDULE_POINT("touch the heap");
    self.touching = false;
    EXPECT_EQ(self.visitors, 0);
  }

  void StopSet(Actor* self, std::vector<MutatorThread*> set) {
    ++asked_;
    manager_.StopMutators(set, "set", [&](const StoppedScope& scope) {
      EXPECT_FALSE(scope.whole_group());
      Visit(self, set, [] {});
    });
  }

  void StopGroup(Actor* self) {
    ++asked_;
    const Status status =
        manager_.RunWithMutatorsStopped(SafepointLevel::kGC, "group", [&](const StoppedScope&) {
          EXPECT_EQ(functions_, 0) << "a group's function runs beside another";
          group_stopped_ = true;
          Visit(self, All(), [this] {
            // Whoever waits for it, or got it while held back, must not own it now.
            SafepointMutexLock lock(mutex_);
            ++locked_;
          });
          group_stopped_ = false;
        });
    EXPECT_TRUE(status.ok());
  }

  /// A stop of a set, in it one of the group, as a region's collection that needs the whole heap.
  void StopSetThenGroup(Actor* self, std::vector<MutatorThread*> set) {
    ++asked_;
    manager_.StopMutators(set, "set", [&](const StoppedScope&) {
      Visit(self, set, [] {});
      StopGroup(self);
      Visit(self, set, [] {});
      --ran_;
    });
  }

  /// Two sets, one inside the other.
  void StopSetThenSet(Actor* self, std::vector<MutatorThread*> outer,
                      std::vector<MutatorThread*> inner) {
    ++asked_;
    manager_.StopMutators(outer, "outer", [&](const StoppedScope&) {
      Visit(self, outer, [&] { StopSet(self, inner); });
    });
  }

  void Shake(Actor& target) {
    ++asked_;
    manager_.Handshake(target, [&](MutatorThread& mutator) {
      EXPECT_EQ(&mutator, &target);
      // Run by the target itself, or for it: either way it stands still.
      Visit(nullptr, {&target}, [] {});
    });
  }

  /// With those that are attached: all actors, and any guest.
  void ShakeAll() {
    int shaken = 0;
    manager_.HandshakeAll([&](MutatorThread& mutator) {
      ++asked_;
      ++shaken;
      Visit(nullptr, {&mutator}, [] {});
    });
    EXPECT_GE(shaken, actors());
  }

  /// Runs its function if the target is away, else not at all.
  void TryToShake(Actor& target) {
    ++asked_;
    const bool done = manager_.TryHandshake(target, [&](MutatorThread& mutator) {
      EXPECT_EQ(&mutator, &target);
      Visit(nullptr, {&target}, [] {});
    });
    if (!done) --asked_;
  }

  std::vector<MutatorThread*> All() {
    std::vector<MutatorThread*> all;
    for (auto& actor : actors_) all.push_back(actor.get());
    return all;
  }

  /// A few random things that a mutator may do, by its own generator, so that what it does depends
  /// on the seed but not on the schedule.
  void Live(Actor& self, uint64_t seed, int steps) {
    uint64_t state = seed * 0x9e3779b97f4a7c15 + static_cast<uint64_t>(self.index()) + 1;
    const auto below = [&state](uint64_t n) {
      state = state * 6364136223846793005 + 1442695040888963407;
      return (state >> 33) % n;
    };
    self.LeaveNative();
    for (int i = 0; i < steps; ++i) {
      TouchHeap(self);
      Actor& other = actor(static_cast<int>(below(actors_.size())));
      switch (below(10)) {
        case 0:
          self.Poll();
          break;
        case 1:
        case 2: {
          NativeScope native(self);
          ATOLL_SCHEDULE_POINT("in native");
          break;
        }
        case 3:
          self.EnterBlocked();
          ATOLL_SCHEDULE_POINT("blocked");
          self.LeaveBlocked();
          break;
        case 4:
          StopSet(&self, {&other, &self});
          break;
        case 5:
          StopGroup(&self);
          break;
        case 6:
          Shake(other);
          break;
        case 7:
          if (&other != &self) TryToShake(other);
          break;
        case 8: {
          other.RequestPoll(1);
          SafepointMutexLock lock(mutex_);
          ATOLL_SCHEDULE_POINT("owns the mutex");
          ++locked_;
          break;
        }
        default:
          StopSetThenGroup(&self, {&other});
          break;
      }
      TouchHeap(self);
      self.Poll();
    }
    self.EnterNative();
    MutatorThread::ClearCurrent();
  }

 private:
  static SafepointOptions Options() {
    SafepointOptions options;
    options.watchdog = [](const std::string&, uint64_t) {};
    return options;
  }

  template <typename Body>
  void Visit(const Actor* self, const std::vector<MutatorThread*>& targets, Body body) {
    ++functions_;
    ++ran_;
    const auto each = [&](auto check) {
      for (MutatorThread* target : targets) {
        if (target != self) check(static_cast<Actor&>(*target));
      }
    };
    each([](Actor& target) {
      EXPECT_FALSE(target.touching) << target.name() << " is in the heap during a stop";
      EXPECT_EQ(target.visitors, 0) << "two functions rely on " << target.name() << " at once";
      ++target.visitors;
    });
    ATOLL_SCHEDULE_POINT("in the function");
    body();
    ATOLL_SCHEDULE_POINT("in the function still");
    each([](Actor& target) {
      EXPECT_FALSE(target.touching) << target.name() << " is in the heap during a stop";
      --target.visitors;
    });
    --functions_;
  }

  SafepointManager manager_;
  SafepointMutex mutex_{1, "world"};
  std::vector<std::unique_ptr<Actor>> actors_;
  bool group_stopped_ = false;
  int functions_ = 0;
  int asked_ = 0;
  int ran_ = 0;
  int locked_ = 0;
};

using Threads = std::vector<std::function<void()>>;

/// Runs the threads that make(world, seed) returns, in a world of so many mutators.
template <typename Make>
SeededScheduler::Outcome RunWorld(int mutators, uint64_t seed, Make make) {
  auto world = std::make_unique<World>(mutators);
  auto outcome = SeededScheduler().Run(seed, make(world.get(), seed));
  if (!outcome.finished) {
    static_cast<void>(world.release());  // its threads are stuck in it
    return outcome;
  }
  EXPECT_EQ(world->asked(), world->ran());
  return outcome;
}

template <typename Make>
void ExploreWorld(int mutators, Make make) {
  ForEachSeed([&](uint64_t seed, bool print) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const auto outcome = RunWorld(mutators, seed, make);
    EXPECT_TRUE(outcome.finished) << outcome.report << "\n"
                                  << SeededScheduler::Format(outcome.trace);
    if (print) printf("%s", SeededScheduler::Format(outcome.trace, SIZE_MAX).c_str());
  });
}

/// Mutators that do a few random things each, and if asked for a thread that is none.
auto Living(int steps, bool foreign) {
  return [steps, foreign](World* w, uint64_t seed) {
    Threads threads;
    for (int i = 0; i < w->actors(); ++i) {
      threads.push_back([w, i, seed, steps] { w->Live(w->actor(i), seed, steps); });
    }
    if (foreign) {
      threads.push_back([w] {
        w->StopSet(nullptr, {&w->actor(0)});
        w->Shake(w->actor(w->actors() - 1));
        w->StopGroup(nullptr);
        w->StopSetThenGroup(nullptr, {&w->actor(0)});
      });
    }
    return threads;
  };
}

TEST(StopProtocol, TwoMutators) { ExploreWorld(2, Living(4, false)); }
TEST(StopProtocol, ThreeMutators) { ExploreWorld(3, Living(3, false)); }
TEST(StopProtocol, TwoMutatorsAndAThreadThatIsNone) { ExploreWorld(2, Living(3, true)); }

// A nested stop does not wait for its turn, and so meets targets that are claimed for a handshake.
TEST(StopProtocol, NestedSetsAmidHandshakes) {
  ExploreWorld(3, [](World* w, uint64_t) {
    Threads threads;
    threads.push_back([w] {
      Actor& self = w->actor(0);
      self.LeaveNative();
      for (int i = 0; i < 2; ++i) w->StopSetThenSet(&self, {&w->actor(1)}, {&w->actor(2)});
      self.EnterNative();
    });
    for (int i = 1; i < 3; ++i) {
      threads.push_back([w, i] {
        Actor& self = w->actor(i);
        for (int round = 0; round < 3; ++round) {
          ManagedScope managed(self);
          w->TouchHeap(self);
          self.Poll();
        }
      });
    }
    threads.push_back([w] {
      for (int i = 0; i < 3; ++i) w->Shake(w->actor(2));
    });
    return threads;
  });
}

// Handshakes with a mutator that goes away and comes back all the time: who claims it must never
// leave its poll word without a request, or it comes back without seeing that it is held.
TEST(StopProtocol, HandshakesAmidNativeTransitions) {
  ExploreWorld(1, [](World* w, uint64_t) {
    Threads threads;
    threads.push_back([w] {
      Actor& self = w->actor(0);
      for (int round = 0; round < 6; ++round) {
        ManagedScope managed(self);
        w->TouchHeap(self);
      }
    });
    threads.push_back([w] {
      for (int i = 0; i < 3; ++i) w->Shake(w->actor(0));
    });
    threads.push_back([w] {
      for (int i = 0; i < 3; ++i) w->TryToShake(w->actor(0));
    });
    return threads;
  });
}

// Handshakes with all spin for who was running when it was asked, and run a fence only for who was
// native: beside mutators that come back and are held, or are gone before they are looked at again.
TEST(StopProtocol, HandshakesWithAllAmidNativeTransitions) {
  ExploreWorld(2, [](World* w, uint64_t) {
    Threads threads;
    threads.push_back([w] {
      Actor& self = w->actor(0);
      for (int round = 0; round < 4; ++round) {
        ManagedScope managed(self);
        w->TouchHeap(self);
      }
    });
    threads.push_back([w] {
      Actor& self = w->actor(1);
      self.LeaveNative();
      for (int i = 0; i < 2; ++i) {
        w->ShakeAll();
        w->TouchHeap(self);
      }
      self.EnterNative();
    });
    threads.push_back([w] {
      for (int i = 0; i < 2; ++i) w->ShakeAll();
    });
    threads.push_back([w] {
      Actor guest(9);
      EXPECT_TRUE(w->manager().Attach(&guest).ok());
      {
        ManagedScope managed(guest);
        w->TouchHeap(guest);
        guest.Poll();
      }
      EXPECT_TRUE(w->manager().Detach(&guest).ok());
    });
    threads.push_back([w] { w->StopSet(nullptr, {&w->actor(0), &w->actor(1)}); });
    return threads;
  });
}

TEST(StopProtocol, TheSameSeedReplaysTheSameTrace) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const auto first = RunWorld(3, seed, Living(2, true));
    const auto second = RunWorld(3, seed, Living(2, true));
    ASSERT_TRUE(first.finished && second.finished);
    EXPECT_EQ(first.trace, second.trace) << "seed " << seed;
  }
  EXPECT_NE(RunWorld(3, 1, Living(2, true)).trace, RunWorld(3, 2, Living(2, true)).trace);
}

TEST(StopProtocol, AttachAndDetachDuringStops) {
  ExploreWorld(1, [](World* w, uint64_t seed) {
    Threads threads;
    threads.push_back([w, seed] { w->Live(w->actor(0), seed, 2); });
    threads.push_back([w] {
      for (int i = 0; i < 2; ++i) w->StopGroup(nullptr);
    });
    threads.push_back([w] {
      for (int i = 0; i < 2; ++i) {
        Actor guest(9);
        EXPECT_TRUE(w->manager().Attach(&guest).ok());
        guest.LeaveNative();
        w->TouchHeap(guest);
        guest.Poll();
        EXPECT_TRUE(w->manager().Detach(&guest).ok());
      }
    });
    return threads;
  });
}

}  // namespace
}  // namespace Atoll
