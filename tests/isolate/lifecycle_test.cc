// From spawn to exit: who is called, in what order and state?
#include "tests/isolate/isolate_fixture.h"

namespace Atoll {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class LifecycleTest : public IsolateTest {
 protected:
  /// Thread-safe.
  void Log(const std::string& what) {
    std::lock_guard lock(log_mutex_);
    log_.push_back(what);
  }
  std::vector<std::string> log() {
    std::lock_guard lock(log_mutex_);
    return log_;
  }
  /// Has each callback write itself down.
  void LogCallbacks() {
    const auto managed = [this](const char* what) {
      return [this, what](Isolate& isolate) {
        EXPECT_EQ(Isolate::Current(), &isolate);
        EXPECT_EQ(isolate.mutator().state(), MutatorState::kManaged);
        EXPECT_EQ(MutatorThread::Current(), &isolate.mutator());
        NewPair(isolate, 1);
        Log(what);
      };
    };
    client.enter = managed("enter");
    client.leave = managed("leave");
    client.shutdown = managed("shutdown");
    client.initialize = [this, managed](Isolate& isolate) {
      managed("initialize")(isolate);
      return initialize_status_;
    };
    client.cleanup = [this](IsolateId, void* data) {
      EXPECT_EQ(Isolate::Current(), nullptr);
      EXPECT_EQ(MutatorThread::Current(), nullptr);
      EXPECT_EQ(data, data_left_);
      Log("cleanup");
    };
    client.cleanup_group = [this] { Log("cleanup group"); };
  }

  Status initialize_status_;
  void* data_left_ = nullptr;

 private:
  std::mutex log_mutex_;
  std::vector<std::string> log_;
};

TEST_F(LifecycleTest, CallbacksComeInOrder) {
  LogCallbacks();
  data_left_ = this;
  const ExitInfo info = RunIsolate([this](Isolate& isolate) {
    EXPECT_EQ(isolate.data(), nullptr);
    isolate.set_data(this);
    EXPECT_STREQ(isolate.name(), "isolate");
    EXPECT_EQ(&isolate.group(), &group());
    EXPECT_EQ(&isolate.group().heap(), &isolate.mutator().region().heap());
    Log("entry");
  });
  EXPECT_EQ(info.reason, ExitReason::kReturned);
  EXPECT_TRUE(info.error.ok());
  End();
  EXPECT_THAT(log(), ElementsAre("enter", "initialize", "entry", "shutdown", "leave", "cleanup",
                                 "cleanup group"));
}

TEST_F(LifecycleTest, AnErrorFromInitializeReachesTheListenerAndNothingElseRuns) {
  LogCallbacks();
  initialize_status_ = Status(StatusCode::kResourceExhausted, "no licence left");
  const ExitInfo info = RunIsolate([](Isolate&) { ADD_FAILURE() << "the entry runs"; });
  EXPECT_EQ(info.reason, ExitReason::kFailed);
  EXPECT_EQ(info.error.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(info.error.message(), "no licence left");
  group().WaitUntilEmpty();
  EXPECT_THAT(log(), ElementsAre("enter", "initialize", "leave", "cleanup"));
}

TEST_F(LifecycleTest, AnErrorFromCreateGroupEndsCreate) {
  client.create_error = Status(StatusCode::kUnsupported, "no such types here");
  client.cleanup_group = [] { ADD_FAILURE() << "there is no group to clean up"; };
  auto made = IsolateGroup::Create(options);
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.status().code(), StatusCode::kUnsupported);
  EXPECT_EQ(made.status().message(), "no such types here");
}

TEST_F(LifecycleTest, AGroupWithoutAClient) {
  GroupOptions plain;
  auto made = IsolateGroup::Create(plain);
  ASSERT_TRUE(made.ok());
  EXPECT_STREQ(made.value()->name(), "group");
  std::atomic<bool> ran{false};
  SpawnOptions spawn;
  spawn.data = &ran;
  spawn.entry = [](Isolate&, void* data) { static_cast<std::atomic<bool>*>(data)->store(true); };
  ASSERT_TRUE(made.value()->Spawn(spawn).ok());
  made.value()->WaitUntilEmpty();
  EXPECT_TRUE(ran.load());
}

TEST_F(LifecycleTest, SpawnWithoutAnEntryIsRefused) {
  SpawnOptions spawn;
  spawn.name = "nothing";
  spawn.on_exit = exits.listener();
  const Result<IsolateId> id = group().Spawn(spawn);
  ASSERT_FALSE(id.ok());
  EXPECT_EQ(id.status().code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(id.status().message(), HasSubstr("\"nothing\""));
  EXPECT_THAT(id.status().message(), HasSubstr("\"test-group\""));
  EXPECT_THAT(id.status().message(), HasSubstr("SpawnOptions::entry"));
  EXPECT_EQ(group().isolate_count(), 0u);
  End();
  EXPECT_EQ(exits.count(), 0u) << "who was not spawned does not end";
}

TEST_F(LifecycleTest, SpawnsFromInsideAndOutside) {
  constexpr int kDepth = 200;
  std::atomic<int> ran{0};
  std::function<void(Isolate&, int)> nest = [&](Isolate&, int depth) {
    ran.fetch_add(1);
    if (depth < kDepth) Spawn([&, depth](Isolate& isolate) { nest(isolate, depth + 1); });
  };
  std::vector<std::thread> threads;
  group();
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) Spawn([&](Isolate& isolate) { nest(isolate, 1); });
    });
  }
  for (std::thread& thread : threads) thread.join();
  group().WaitUntilEmpty();
  EXPECT_EQ(ran.load(), 3 * 20 * kDepth);
  EXPECT_EQ(exits.count(), size_t{3 * 20 * kDepth});
}

TEST_F(LifecycleTest, IdsAreNeverUsedAgain) {
  constexpr int kCount = 3'000;
  std::mutex mutex;
  std::map<uint64_t, int> generations;
  const auto note = [&](IsolateId id) {
    std::lock_guard lock(mutex);
    EXPECT_EQ(generations[id.generation]++, 0);
  };
  for (int i = 0; i < kCount; ++i) {
    const IsolateId outside = Spawn([&](Isolate& isolate) {
      const IsolateId own = isolate.id();
      note(own);
      note(Spawn([](Isolate&) {}));
      EXPECT_EQ(isolate.id(), own);
    });
    exits.WaitFor(outside);
    if (i % 50 != 0) continue;
    EXPECT_FALSE(group().Pause(outside));
    EXPECT_EQ(KillAndWait(outside).reason, ExitReason::kGone);
    EXPECT_TRUE(IsolateId() == IsolateId() && !(outside == IsolateId()));
  }
  EXPECT_EQ(generations.size(), size_t{2 * kCount});
}

TEST_F(LifecycleTest, NobodyIsSpawnedWhileTheGroupShutsDown) {
  Status refused;
  Event started;
  client.shutdown = [&](Isolate&) {
    Result<IsolateId> id = TrySpawn([](Isolate&) { ADD_FAILURE() << "it runs"; });
    ASSERT_FALSE(id.ok());
    refused = id.status();
  };
  Spawn([&](Isolate& isolate) {
    started.Set();
    PollUntil(isolate, [] { return false; });
  });
  started.Wait();
  group().Shutdown();
  EXPECT_EQ(refused.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(refused.message(), HasSubstr("shutting down"));
  EXPECT_FALSE(TrySpawn([](Isolate&) {}).ok());
  EXPECT_EQ(exits.count(), 1u);
}

// Spawners outside race with the shutdown: each spawn is refused, or its isolate ends.
TEST_F(LifecycleTest, SpawningDuringAShutdownLeavesNobody) {
  for (int round = 0; round < 20; ++round) {
    GroupUnderTest own;
    own.group();
    std::atomic<size_t> spawned{0};
    std::vector<std::thread> threads;
    Event under_way;
    for (int t = 0; t < 2; ++t) {
      threads.emplace_back([&] {
        while (own.TrySpawn([](Isolate& isolate) { isolate.Hold(); }).ok()) {
          if (spawned.fetch_add(1) == 20) under_way.Set();
        }
      });
    }
    under_way.Wait();
    own.group().Shutdown();
    for (std::thread& thread : threads) thread.join();
    own.group().WaitUntilEmpty();
    EXPECT_EQ(own.exits.WaitFor(spawned.load()).size(), spawned.load());
    own.End();
  }
}

TEST_F(LifecycleTest, ExitAndFail) {
  EXPECT_EQ(RunIsolate([](Isolate& isolate) {
              isolate.Hold();
              isolate.Exit();
            }).reason,
            ExitReason::kReturned);
  const ExitInfo failed = RunIsolate([](Isolate& isolate) {
    isolate.Hold();
    isolate.Fail({StatusCode::kUnsupported, "not today"});
  });
  EXPECT_EQ(failed.reason, ExitReason::kFailed);
  EXPECT_EQ(failed.error.code(), StatusCode::kUnsupported);
  EXPECT_EQ(failed.error.message(), "not today");
  EXPECT_STREQ(ToString(failed.reason), "failed");
}

TEST_F(LifecycleTest, ItLivesWhileItIsHeld) {
  Event held;
  const IsolateId id = Spawn([&](Isolate& isolate) {
    isolate.Hold();
    isolate.Hold();
    isolate.Unhold();
    held.Set();
  });
  held.Wait();
  EXPECT_EQ(group().isolate_count(), 1u);
  EXPECT_TRUE(group().Pause(id));
  EXPECT_TRUE(group().Resume(id));
  EXPECT_EQ(exits.count(), 0u);
  EXPECT_EQ(KillAndWait(id).reason, ExitReason::kKilled);
  EXPECT_EQ(exits.WaitFor(id).reason, ExitReason::kKilled);
  EXPECT_EQ(RunIsolate([](Isolate& isolate) {
              isolate.Hold();
              isolate.Unhold();
            }).reason,
            ExitReason::kReturned);
}

TEST_F(LifecycleTest, FieldsAreZeroAtFirstAndRootsThen) {
  RunIsolate([this](Isolate& isolate) {
    EXPECT_EQ(isolate.field(0), Ref{});
    EXPECT_EQ(isolate.field(1'000'000), Ref{});
    SetField(isolate, 7, Immediate(7));
    EXPECT_EQ(isolate.field(6), Ref{});
    EXPECT_EQ(isolate.field(8), Ref{});
    for (size_t i = 0; i < 200; ++i) SetField(isolate, i, RefOf(NewPair(isolate, i)));
    for (const auto kind : {Mutator::Collection::kMinor, Mutator::Collection::kMajor}) {
      ASSERT_TRUE(isolate.mutator().Collect(kind).ok());
      for (size_t i = 0; i < 200; ++i) EXPECT_EQ(IdAt(ObjectOf(isolate.field(i))), i);
    }
  });
}

TEST_F(LifecycleTest, AFieldThatThereIsNoMemoryForIsRefused) {
  const ExitInfo info = RunIsolate([](Isolate& isolate) {
    SetField(isolate, 0, Immediate(5));
    const Status status = isolate.SetField(size_t{UINT32_MAX} + 7, Immediate(1));
    EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
    EXPECT_THAT(status.message(), HasSubstr("\"isolate\""));
    EXPECT_EQ(isolate.SetField(SIZE_MAX, Immediate(1)).code(), StatusCode::kResourceExhausted);
    platform::faults::FailNth(platform::faults::Request::kRaw, 1, true);
    EXPECT_EQ(isolate.SetField(100, Immediate(1)).code(), StatusCode::kResourceExhausted);
    platform::faults::Reset();
    EXPECT_EQ(isolate.field(0), Immediate(5));
    EXPECT_EQ(isolate.field(100), Ref{});
    SetField(isolate, 100, Immediate(1));
    EXPECT_EQ(isolate.field(0), Immediate(5));
  });
  EXPECT_EQ(info.reason, ExitReason::kReturned);
}

TEST_F(LifecycleTest, ALimitOfItsOwnHoldsForTheIsolateAndNotForTheNext) {
  options.workers = 1;
  SpawnOptions small;
  small.limit_bytes = 256 * 1024;
  for (int i = 0; i < 3; ++i) {
    RunIsolate(
        [this](Isolate& isolate) {
          EXPECT_FALSE(isolate.mutator().AllocateArray(*client.types->bytes, 1 << 20));
          EXPECT_THAT(isolate.mutator().last_error().message(), HasSubstr("limit"));
        },
        small);
    RunIsolate([this](Isolate& isolate) {
      EXPECT_TRUE(isolate.mutator().AllocateArray(*client.types->bytes, 1 << 20));
    });
  }
}

}  // namespace
}  // namespace Atoll
