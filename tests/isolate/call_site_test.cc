// Calls that all isolates share: what each leads to, while others link them and methods change.
#include "atoll/call_site.h"

#include <deque>
#include <memory>

#include "safepoint/platform.h"
#include "tests/isolate/isolate_fixture.h"

namespace Atoll {
namespace {

using ::testing::HasSubstr;

/// Code: of which selector, for which key, and of which version of the program.
struct Method {
  uintptr_t selector;
  uintptr_t key;
  uint64_t version;
};

class CallSiteTest : public IsolateTest {
 protected:
  static constexpr uintptr_t kFoo = 0x1000;
  static constexpr uintptr_t kBar = 0x2000;

  Program& program() { return group().program(); }
  /// Methods are found, and made when they are looked up first, under the program's lock.
  const void* LookUp(uintptr_t selector, uintptr_t key) {
    std::lock_guard lock(mutex_);
    const Method*& method = methods_[{selector, key}];
    if (method == nullptr) method = &made_.emplace_back(Method{selector, key, version_});
    ++lookups_;
    return method;
  }
  const Method& Call(CallSite& site, uintptr_t key) {
    const void* target = site.Lookup(key);
    if (target == nullptr) {
      target = program().Miss(site, key, [this](uintptr_t selector, uintptr_t missed) {
        return LookUp(selector, missed);
      });
    }
    return *static_cast<const Method*>(target);
  }
  void ExpectCall(CallSite& site, uintptr_t key) {
    const Method& method = Call(site, key);
    EXPECT_EQ(method.selector, site.selector());
    EXPECT_EQ(method.key, key);
  }
  /// All methods of the selector are replaced by ones of the next version.
  uint64_t ChangeMethods(uintptr_t selector) {
    uint64_t version = 0;
    const Status status =
        program().Change(SafepointLevel::kDeopt, "methods", [&](const StoppedScope& stopped) {
          EXPECT_EQ(stopped.level(), SafepointLevel::kDeopt);
          std::lock_guard lock(mutex_);
          version = ++version_;
          std::erase_if(methods_, [&](const auto& entry) { return entry.first.first == selector; });
          program().ResetCallSites(stopped, selector);
        });
    EXPECT_TRUE(status.ok()) << status.message();
    return version;
  }
  uint64_t lookups() const {
    std::lock_guard lock(mutex_);
    return lookups_;
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::pair<uintptr_t, uintptr_t>, const Method*> methods_;
  std::deque<Method> made_;
  uint64_t version_ = 0;
  uint64_t lookups_ = 0;
};

TEST_F(CallSiteTest, EachKeyMakesItMorePolymorphic) {
  CallSite site(kFoo);
  RunIsolate([&](Isolate&) {
    EXPECT_EQ(site.state(), CallSiteState::kUnlinked);
    EXPECT_EQ(site.Lookup(1), nullptr);
    const CallSiteState states[] = {CallSiteState::kMonomorphic, CallSiteState::kPolymorphic,
                                    CallSiteState::kPolymorphic, CallSiteState::kPolymorphic,
                                    CallSiteState::kMegamorphic, CallSiteState::kMegamorphic};
    for (uintptr_t key = 1; key <= 6; ++key) {
      EXPECT_EQ(site.Lookup(key), nullptr);
      ExpectCall(site, key);
      EXPECT_EQ(site.state(), states[key - 1]);
      for (uintptr_t known = 1; known <= key; ++known) {
        const auto* target = static_cast<const Method*>(site.Lookup(known));
        ASSERT_NE(target, nullptr);
        EXPECT_EQ(target->key, known);
      }
    }
    EXPECT_EQ(site.Lookup(7), nullptr);
  });
  EXPECT_EQ(lookups(), 6u);
  const CallSiteStats stats = program().call_site_stats();
  EXPECT_EQ(stats.misses, 6u);
  EXPECT_EQ(stats.to_monomorphic, 1u);
  EXPECT_EQ(stats.to_polymorphic, 3u);
  EXPECT_EQ(stats.to_megamorphic, 1u);
  EXPECT_EQ(stats.global_entries, 2u);
  EXPECT_EQ(stats.retired_records, 4u);
  EXPECT_EQ(stats.stops, 0u);
}

TEST_F(CallSiteTest, MegamorphicSitesShareWhatTheyKnowBySelector) {
  CallSite foo(kFoo);
  CallSite foo_too(kFoo);
  CallSite bar(kBar);
  RunIsolate([&](Isolate&) {
    for (uintptr_t key = 1; key <= 200; ++key) ExpectCall(foo, key);
    EXPECT_EQ(lookups(), 200u);
    for (uintptr_t key = 1; key <= 5; ++key) ExpectCall(foo_too, key);
    EXPECT_EQ(foo_too.state(), CallSiteState::kMegamorphic);
    EXPECT_EQ(lookups(), 205u);
    for (uintptr_t key = 1; key <= 200; ++key) {
      ExpectCall(bar, key);
      ExpectCall(foo, key);
      ExpectCall(foo_too, key);
    }
    // All but those it knew of itself, of which the first four are not in the table of all.
    EXPECT_EQ(lookups(), 405u);
  });
}

TEST_F(CallSiteTest, WhatIsNotFoundIsNotRemembered) {
  CallSite site(kFoo);
  RunIsolate([&](Isolate&) {
    for (int i = 0; i < 2; ++i) {
      EXPECT_EQ(
          program().Miss(site, 1, [](uintptr_t, uintptr_t) -> const void* { return nullptr; }),
          nullptr);
      EXPECT_EQ(site.state(), CallSiteState::kUnlinked);
    }
  });
  EXPECT_EQ(program().call_site_stats().not_found, 2u);
  EXPECT_EQ(program().call_site_stats().records, 0u);
}

TEST_F(CallSiteTest, AChangeResetsTheSitesOfItsSelectorAndFreesRecords) {
  CallSite foo(kFoo);
  CallSite mega(kFoo);
  CallSite bar(kBar);
  const size_t before = program().native_bytes();
  for (int round = 0; round < 3; ++round) {
    RunIsolate([&](Isolate&) {
      ExpectCall(foo, 1);
      ExpectCall(foo, 2);
      for (uintptr_t key = 1; key <= 100; ++key) ExpectCall(mega, key);
      const uint64_t version = Call(bar, 1).version;
      const uint64_t changed = ChangeMethods(kFoo);
      EXPECT_EQ(foo.state(), CallSiteState::kUnlinked);
      EXPECT_EQ(mega.state(), CallSiteState::kUnlinked);
      EXPECT_EQ(bar.state(), CallSiteState::kMonomorphic);
      EXPECT_EQ(Call(foo, 1).version, changed);
      EXPECT_EQ(Call(mega, 100).version, changed);
      EXPECT_EQ(Call(bar, 1).version, version);
      ChangeMethods(kFoo);
    });
    const CallSiteStats stats = program().call_site_stats();
    EXPECT_EQ(stats.records, 1u) << "that of bar";
    EXPECT_EQ(stats.retired_records, 0u);
    EXPECT_EQ(program().native_bytes(), before + sizeof(CallRecord));
  }
  EXPECT_EQ(program().call_site_stats().stops, 6u);
}

TEST_F(CallSiteTest, IsolatesThatMissAtTheSameSitesAtOnce) {
  constexpr int kIsolates = 4;
  constexpr size_t kSites = 1'000;
  constexpr uintptr_t kKeys = 7;
  options.workers = kIsolates;
  std::deque<CallSite> sites;
  for (size_t i = 0; i < kSites; ++i) sites.emplace_back(kFoo + i % 10 * 16);
  std::atomic<int> ready{0};
  for (int n = 0; n < kIsolates; ++n) {
    Spawn([&](Isolate& isolate) {
      ready.fetch_add(1);
      if (!PollUntil(isolate, [&] { return ready.load() == kIsolates; })) return;
      for (uintptr_t key = 1; key <= kKeys; ++key) {
        for (CallSite& site : sites) {
          const Method& method = Call(site, key);
          ASSERT_EQ(method.key, key);
          ASSERT_EQ(method.selector, site.selector());
        }
        isolate.Poll();
      }
    });
  }
  exits.WaitFor(kIsolates);
  const CallSiteStats stats = program().call_site_stats();
  EXPECT_EQ(stats.to_monomorphic, kSites);
  EXPECT_EQ(stats.to_polymorphic, kSites * 3);
  EXPECT_EQ(stats.to_megamorphic, kSites);
  // Of the keys that were fifth at some site, and all later ones: once for each selector.
  EXPECT_LE(stats.global_entries, 10 * kKeys);
  EXPECT_GE(stats.global_entries, 10 * (kKeys - 4));
  EXPECT_EQ(stats.uncached, 0u);
  EXPECT_EQ(stats.stops, 0u);
}

TEST_F(CallSiteTest, NoCallLeadsToAMethodThatHadBeenReplacedBefore) {
  constexpr int kIsolates = 3;
  constexpr uint64_t kChanges = 300;
  options.workers = kIsolates + 1;
  std::deque<CallSite> sites;
  for (size_t i = 0; i < 20; ++i) sites.emplace_back(kFoo);
  std::atomic<uint64_t> current{0};
  std::atomic<bool> done{false};
  std::atomic<uint64_t> calls{0};
  for (int n = 0; n < kIsolates; ++n) {
    Spawn([&](Isolate& isolate) {
      while (!done.load()) {
        for (CallSite& site : sites) {
          for (uintptr_t key = 1; key <= 6; ++key) {
            const uint64_t at_least = current.load();
            const Method& method = Call(site, key);
            ASSERT_EQ(method.key, key);
            ASSERT_GE(method.version, at_least);
            calls.fetch_add(1, std::memory_order_relaxed);
          }
        }
        if (!isolate.Poll()) return;
      }
    });
  }
  RunIsolate([&](Isolate& isolate) {
    for (uint64_t i = 1; i <= kChanges; ++i) {
      const uint64_t before = calls.load();
      current.store(ChangeMethods(kFoo));
      // Between any two changes there are calls, however late the others have begun.
      while (calls.load() == before && !HasFailure()) {
        isolate.Poll();
        platform::YieldThread();
      }
    }
  });
  done.store(true);
  exits.WaitFor(kIsolates + 1);
  EXPECT_GE(calls.load(), kChanges);
  EXPECT_EQ(program().call_site_stats().stops, kChanges);
  ChangeMethods(kFoo);
  EXPECT_EQ(program().call_site_stats().records, 0u);
}

TEST_F(CallSiteTest, WithoutMemoryACallIsFoundAndNotRemembered) {
  CallSite site(kFoo);
  RunIsolate([&](Isolate&) {
    for (uintptr_t key = 1; key <= 6; ++key) {
      platform::faults::FailNth(platform::faults::Request::kRaw, 1, true);
      const Method& method = Call(site, key);
      platform::faults::Reset();
      EXPECT_EQ(method.key, key);
      EXPECT_EQ(site.Lookup(key), nullptr);
      ExpectCall(site, key);
      EXPECT_NE(site.Lookup(key), nullptr);
    }
  });
  EXPECT_EQ(program().call_site_stats().uncached, 6u);
}

TEST_F(CallSiteTest, AChangeOfAHigherLevelInsideAStopIsRefusedByName) {
  RunIsolate([&](Isolate& isolate) {
    bool ran = false;
    Status inner;
    ASSERT_TRUE(isolate.mutator()
                    .manager()
                    ->RunWithMutatorsStopped(SafepointLevel::kGC, "outer",
                                             [&](const StoppedScope&) {
                                               inner = program().Change(
                                                   SafepointLevel::kReload, "inner",
                                                   [&](const StoppedScope&) { ran = true; });
                                             })
                    .ok());
    EXPECT_FALSE(inner.ok());
    EXPECT_FALSE(ran);
    EXPECT_THAT(inner.message(), HasSubstr("inner"));
  });
}

}  // namespace
}  // namespace Atoll
