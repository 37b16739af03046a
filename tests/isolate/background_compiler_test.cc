// Functions are compiled beside the isolates, once for all of them.
#include "atoll/background_compiler.h"

#include <array>
#include <set>

#include "tests/isolate/isolate_fixture.h"

namespace Atoll {
namespace {

constexpr size_t kFunctions = 64;

/// "Code" says of which function and of which version of the program it is.
struct Code {
  uintptr_t function;
  uint64_t version;
};

class TestCompiler final : public CompilerClient {
 public:
  void* Compile(uintptr_t function, const CompileJob& job) override {
    EXPECT_EQ(Isolate::Current(), nullptr);
    EXPECT_EQ(MutatorThread::Current(), nullptr);
    auto* code = new Code{function, version.load()};
    {
      std::lock_guard lock(mutex_);
      EXPECT_TRUE(under_way_.insert(function).second) << "one after the other";
      compiled_.push_back(function);
    }
    alive_.fetch_add(1);
    if (compile) compile(function, job);
    std::lock_guard lock(mutex_);
    under_way_.erase(function);
    if (!fails) return code;
    Free(code);
    return nullptr;
  }
  void Install(uintptr_t function, void* code) override {
    EXPECT_EQ(static_cast<Code*>(code)->version, version.load()) << "out of date";
    replaced_[function] = installed[function].exchange(static_cast<Code*>(code));
  }
  void Installed(uintptr_t function, void* code) override {
    EXPECT_EQ(static_cast<Code*>(code)->function, function);
    // Nobody is in the old code any more: every reader polls between two calls.
    Free(replaced_[function]);
    replaced_[function] = nullptr;
    if (noted_installed) noted_installed(function);
  }
  void Discard(uintptr_t function, void* code) override {
    EXPECT_EQ(static_cast<Code*>(code)->function, function);
    Free(static_cast<Code*>(code));
    discarded.fetch_add(1);
  }
  std::vector<uintptr_t> compiled() const {
    std::lock_guard lock(mutex_);
    return compiled_;
  }
  int alive() const { return alive_.load(); }
  void FreeInstalled() {
    for (auto& code : installed) Free(code.exchange(nullptr));
  }

  std::function<void(uintptr_t, const CompileJob&)> compile;
  std::function<void(uintptr_t)> noted_installed;
  std::atomic<bool> fails{false};
  std::atomic<uint64_t> version{0};
  std::atomic<int> discarded{0};
  std::array<std::atomic<Code*>, kFunctions> installed{};

 private:
  void Free(Code* code) {
    if (code != nullptr) alive_.fetch_sub(1);
    delete code;
  }

  mutable std::mutex mutex_;
  std::set<uintptr_t> under_way_;
  std::vector<uintptr_t> compiled_;
  std::array<Code*, kFunctions> replaced_{};
  std::atomic<int> alive_{0};
};

class BackgroundCompilerTest : public IsolateTest {
 protected:
  using Answer = BackgroundCompiler::Answer;

  ~BackgroundCompilerTest() override {
    client_.FreeInstalled();
    EXPECT_EQ(client_.alive(), 0) << "code that is neither installed nor discarded";
  }
  BackgroundCompiler& Start(int threads = 1) {
    compiler_ = std::make_unique<BackgroundCompiler>(group(), client_, threads);
    before_end = [this] { StopAndCount(); };
    return *compiler_;
  }
  /// Every request that was accepted has ended in one way.
  void StopAndCount() {
    compiler_->Stop();
    const BackgroundCompiler::Stats stats = compiler_->stats();
    EXPECT_EQ(stats.requests - stats.joined, stats.installed + stats.failed + stats.cancelled);
    EXPECT_EQ(compiler_->Request(1), Answer::kStopped);
  }
  /// Makes compilations of function 0 wait, and asks for it.
  void Block() {
    client_.compile = [this](uintptr_t function, const CompileJob&) {
      if (function != 0) return;
      blocked_.Set();
      go_on_.Wait();
    };
    EXPECT_EQ(compiler_->Request(0), Answer::kQueued);
    blocked_.Wait();
  }
  void GoOn() { go_on_.Set(); }
  uint64_t ChangeProgram(BackgroundCompiler& compiler, SafepointLevel level, size_t* invalidated) {
    uint64_t version = 0;
    const Status status =
        group().program().Change(level, "new version", [&](const StoppedScope& stopped) {
          version = client_.version.fetch_add(1) + 1;
          *invalidated = compiler.InvalidateAll(stopped);
        });
    EXPECT_TRUE(status.ok()) << status.message();
    return version;
  }

  TestCompiler client_;
  std::unique_ptr<BackgroundCompiler> compiler_;

 private:
  Event blocked_;
  Event go_on_;
};

TEST_F(BackgroundCompilerTest, WhatSeveralIsolatesAskForIsCompiledOnce) {
  BackgroundCompiler& compiler = Start();
  Block();
  std::atomic<int> queued{0};
  std::atomic<int> joined{0};
  for (int i = 0; i < 5; ++i) {
    RunIsolate([&](Isolate&) {
      (compiler.Request(7) == Answer::kQueued ? queued : joined).fetch_add(1);
      EXPECT_EQ(compiler.Request(0), Answer::kJoined) << "it is being compiled";
    });
  }
  EXPECT_EQ(queued.load(), 1);
  EXPECT_EQ(joined.load(), 4);
  GoOn();
  compiler.WaitUntilIdle();
  EXPECT_EQ(client_.compiled(), (std::vector<uintptr_t>{0, 7}));
  EXPECT_EQ(client_.installed[7].load()->function, 7u);
  // Done: the next one is another job.
  EXPECT_EQ(compiler.Request(7), Answer::kQueued);
  compiler.WaitUntilIdle();
  EXPECT_EQ(compiler.stats().installed, 3u);
}

TEST_F(BackgroundCompilerTest, HigherPriorityGoesFirstThenWhoCameFirst) {
  BackgroundCompiler& compiler = Start();
  Block();
  compiler.Request(1, 0);
  compiler.Request(2, 5);
  compiler.Request(3, 5);
  compiler.Request(4, -1);
  compiler.Request(5, 0);
  EXPECT_EQ(compiler.Request(5, 9), Answer::kJoined);
  EXPECT_EQ(compiler.Request(5, 1), Answer::kJoined);
  GoOn();
  compiler.WaitUntilIdle();
  EXPECT_EQ(client_.compiled(), (std::vector<uintptr_t>{0, 5, 2, 3, 1, 4}));
}

TEST_F(BackgroundCompilerTest, ACancelledJobIsNotInstalled) {
  BackgroundCompiler& compiler = Start();
  Block();
  compiler.Request(1);
  EXPECT_TRUE(compiler.Cancel(1));
  EXPECT_FALSE(compiler.Cancel(1));
  EXPECT_FALSE(compiler.Cancel(2));
  EXPECT_TRUE(compiler.Cancel(0)) << "it is being compiled";
  GoOn();
  compiler.WaitUntilIdle();
  EXPECT_EQ(client_.compiled(), (std::vector<uintptr_t>{0}));
  EXPECT_EQ(client_.installed[0].load(), nullptr);
  EXPECT_EQ(client_.discarded.load(), 1);
  EXPECT_EQ(compiler.stats().cancelled, 2u);
}

TEST_F(BackgroundCompilerTest, ARequestAfterACancellationHolds) {
  BackgroundCompiler& compiler = Start();
  Block();
  EXPECT_TRUE(compiler.Cancel(0));
  EXPECT_EQ(compiler.Request(0), Answer::kJoined);
  GoOn();
  compiler.WaitUntilIdle();
  EXPECT_EQ(client_.compiled(), (std::vector<uintptr_t>{0, 0}));
  EXPECT_NE(client_.installed[0].load(), nullptr);
  EXPECT_EQ(compiler.stats().cancelled, 0u);
}

TEST_F(BackgroundCompilerTest, ACompilationUnderWayIsToldThatItIsNotWanted) {
  BackgroundCompiler& compiler = Start();
  Event begun;
  client_.compile = [&](uintptr_t, const CompileJob& job) {
    EXPECT_FALSE(job.is_unwanted());
    begun.Set();
    while (!job.is_unwanted()) platform::YieldThread();
  };
  compiler.Request(3);
  begun.Wait();
  EXPECT_TRUE(compiler.Cancel(3));
  compiler.WaitUntilIdle();
}

TEST_F(BackgroundCompilerTest, WhatCannotBeCompiledIsCounted) {
  BackgroundCompiler& compiler = Start();
  client_.fails = true;
  compiler.Request(3);
  compiler.WaitUntilIdle();
  EXPECT_EQ(compiler.stats().failed, 1u);
  EXPECT_EQ(client_.installed[3].load(), nullptr);
}

TEST_F(BackgroundCompilerTest, InstallingStopsNobodyAndWaitsForEverybody) {
  options.workers = 3;
  BackgroundCompiler& compiler = Start();
  std::atomic<bool> done{false};
  std::atomic<uint64_t> calls{0};
  std::atomic<int> running{0};
  for (int i = 0; i < 3; ++i) {
    Spawn([&](Isolate& isolate) {
      running.fetch_add(1);
      while (!done.load()) {
        for (size_t function = 0; function < kFunctions; ++function) {
          // Freed by Installed when all have polled: read without a lock, under the sanitizers too.
          const Code* code = client_.installed[function].load();
          if (code != nullptr) {
            ASSERT_EQ(code->function, function);
            calls.fetch_add(1, std::memory_order_relaxed);
          }
          if (!isolate.Poll()) return;
        }
      }
    });
  }
  while (running.load() < 3) platform::YieldThread();
  const uint64_t stops = heap().safepoints().group_stops();
  // Few: each waits for isolates that share two processors or fewer.
  constexpr uintptr_t kInstalled = 12;
  constexpr int kRounds = 3;
  for (int round = 0; round < kRounds; ++round) {
    for (uintptr_t function = 0; function < kInstalled; ++function) compiler.Request(function);
    compiler.WaitUntilIdle();
  }
  EXPECT_EQ(heap().safepoints().group_stops(), stops);
  while (calls.load() < kInstalled) platform::YieldThread();
  done.store(true);
  exits.WaitFor(3);
  EXPECT_EQ(compiler.stats().installed, kRounds * kInstalled);
}

TEST_F(BackgroundCompilerTest, TheLongestInstallationIsKnown) {
  BackgroundCompiler& compiler = Start();
  constexpr uint64_t kNanos = 3'000'000;
  Event is_running;
  const IsolateId id = Spawn([&](Isolate& isolate) {
    is_running.Set();
    while (client_.installed[1].load() == nullptr) platform::YieldThread();
    const uint64_t begin = platform::NowNanos();
    while (platform::NowNanos() - begin < kNanos) platform::YieldThread();
    isolate.Poll();
  });
  is_running.Wait();
  EXPECT_EQ(compiler.stats().longest_install_nanos, 0u);
  compiler.Request(1);
  exits.WaitFor(id);
  compiler.WaitUntilIdle();
  EXPECT_GE(compiler.stats().longest_install_nanos, kNanos);
}

TEST_F(BackgroundCompilerTest, WhatIsOutOfDateIsCompiledAgain) {
  BackgroundCompiler& compiler = Start();
  Block();
  compiler.Request(1);
  size_t invalidated = 0;
  RunIsolate([&](Isolate&) { ChangeProgram(compiler, SafepointLevel::kDeopt, &invalidated); });
  EXPECT_EQ(invalidated, 1u) << "1 has not been begun";
  GoOn();
  compiler.WaitUntilIdle();
  EXPECT_EQ(client_.compiled(), (std::vector<uintptr_t>{0, 0, 1}));
  EXPECT_EQ(client_.discarded.load(), 1);
  EXPECT_EQ(client_.installed[0].load()->version, 1u);
  EXPECT_EQ(client_.installed[1].load()->version, 1u);
  const BackgroundCompiler::Stats stats = compiler.stats();
  EXPECT_EQ(stats.redone, 1u);
  EXPECT_EQ(stats.installed, 2u);
}

TEST_F(BackgroundCompilerTest, AChangeBetweenInstallationAndItsEndIsNotMissed) {
  BackgroundCompiler& compiler = Start();
  Event installing;
  Event changed;
  client_.noted_installed = [&](uintptr_t) {
    installing.Set();
    changed.Wait();
  };
  compiler.Request(1);
  installing.Wait();
  EXPECT_FALSE(compiler.Cancel(1));
  size_t invalidated = 0;
  ChangeProgram(compiler, SafepointLevel::kReload, &invalidated);
  EXPECT_EQ(invalidated, 1u);
  EXPECT_EQ(compiler.Request(1), Answer::kJoined);
  changed.Set();
  compiler.WaitUntilIdle();
  EXPECT_EQ(client_.installed[1].load()->version, 1u);
}

TEST_F(BackgroundCompilerTest, TheJobOfAnIsolateThatIsKilledGoesOn) {
  BackgroundCompiler& compiler = Start();
  Block();
  Event asked;
  const IsolateId id = Spawn([&](Isolate& isolate) {
    compiler.Request(1);
    asked.Set();
    PollUntil(isolate, [] { return false; });
  });
  asked.Wait();
  EXPECT_EQ(KillAndWait(id).reason, ExitReason::kKilled);
  GoOn();
  compiler.WaitUntilIdle();
  EXPECT_NE(client_.installed[1].load(), nullptr);
}

TEST_F(BackgroundCompilerTest, StoppingWithJobsInFlightLosesNone) {
  BackgroundCompiler& compiler = Start();
  Event begun;
  client_.compile = [&](uintptr_t, const CompileJob& job) {
    begun.Set();
    while (!job.is_unwanted()) platform::YieldThread();
  };
  RunIsolate([&](Isolate&) {
    for (uintptr_t function = 0; function < 10; ++function) compiler.Request(function);
  });
  begun.Wait();
  End();
  const BackgroundCompiler::Stats stats = compiler.stats();
  EXPECT_EQ(stats.cancelled, 10u);
  EXPECT_EQ(client_.compiled().size(), 1u);
}

TEST_F(BackgroundCompilerTest, RequestsCancellationsChangesAndCollectionsAtOnce) {
  options.workers = 3;
  BackgroundCompiler& compiler = Start(2);
  std::atomic<int> left{3};
  for (uintptr_t n = 0; n < 3; ++n) {
    Spawn([&, n](Isolate& isolate) {
      for (uintptr_t i = 0; i < 3'000; ++i) {
        const uintptr_t function = (i * 7 + n) % kFunctions;
        if (i % 11 == 0) {
          compiler.Cancel(function);
        } else {
          compiler.Request(function, static_cast<int>(i % 3));
        }
        if (!isolate.Poll()) break;
      }
      left.fetch_sub(1);
    });
  }
  for (int i = 0; left.load() != 0; ++i) {
    size_t invalidated = 0;
    ChangeProgram(compiler, SafepointLevel::kDeopt, &invalidated);
    if (i % 8 == 0) CollectAll();
  }
  exits.WaitFor(3);
  compiler.WaitUntilIdle();
  const BackgroundCompiler::Stats stats = compiler.stats();
  EXPECT_EQ(stats.requests - stats.joined, stats.installed + stats.failed + stats.cancelled);
  EXPECT_GT(stats.installed, 0u);
}

}  // namespace
}  // namespace Atoll
