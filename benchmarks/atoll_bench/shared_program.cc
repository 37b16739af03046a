// What isolates share while they run it: call sites that they link, code that is installed.
#include <algorithm>
#include <atomic>
#include <deque>
#include <string>

#include "atoll/background_compiler.h"
#include "atoll/program.h"
#include "benchmarks/atoll_bench/isolate_world.h"
#include "benchmarks/atoll_bench/isolates.h"

namespace bench {
namespace {

using Atoll::CallSite;
using Atoll::Isolate;

// ---- call_sites: isolates that miss at the same sites at once, and then call

struct Calling {
  static constexpr size_t kSites = 1'000;
  static constexpr size_t kMostKeys = 6;  // from monomorphic to megamorphic
  static constexpr int kPasses = 2'000;
  static size_t KeysOf(size_t site) { return 1 + site % kMostKeys; }

  IsolateWorld& world;
  int isolates;
  std::deque<CallSite> sites{};
  std::atomic<int> arrived{0};
  std::atomic<int> linked{0};
  std::atomic<int> left{0};
  Done done{};
  std::atomic<uint64_t> began{0};
  uint64_t link_nanos = 0;

  const void* Call(CallSite& site, uintptr_t key) {
    const void* target = site.Lookup(key);
    if (ATOLL_UNLIKELY(target == nullptr)) {
      target = world.group().program().Miss(
          site, key, [](uintptr_t selector, uintptr_t of) -> const void* {
            return reinterpret_cast<const void*>((selector << 8) + of);
          });
    }
    return target;
  }
  /// Calls each site with each of its keys, from its own place on; false: a wrong target.
  bool Pass(size_t first) {
    bool right = true;
    for (size_t n = 0; n < kSites; ++n) {
      const size_t i = (first + n) % kSites;
      for (size_t k = 0; k < KeysOf(i); ++k) {
        const uintptr_t key = 1 + (first + k) % KeysOf(i);
        right &= Call(sites[i], key) == reinterpret_cast<const void*>(((i + 1) << 8) + key);
      }
    }
    return right;
  }
  static size_t CallsInPass() {
    size_t count = 0;
    for (size_t i = 0; i < kSites; ++i) count += KeysOf(i);
    return count;
  }

  // All wait for each other, so that they miss at once, and so that nobody calls yet while others
  // link. Whoever waits polls.
  static void Meet(Isolate& isolate, std::atomic<int>& count, int all) {
    count.fetch_add(1);
    while (count.load() < all && isolate.Poll()) {
    }
  }
  static void Link(Isolate& isolate, void* data) {
    auto& self = *static_cast<Calling*>(data);
    const auto number = static_cast<size_t>(self.arrived.load());
    Meet(isolate, self.arrived, self.isolates);
    uint64_t none = 0;
    self.began.compare_exchange_strong(none, NowNanos());
    if (!self.Pass(number * 7)) GiveUp("a call led to another method");
    if (self.linked.fetch_add(1) + 1 == self.isolates) self.link_nanos = NowNanos() - self.began;
    if (self.left.fetch_sub(1) == 1) self.done.Set();
  }
  static void CallLinked(Isolate& isolate, void* data) {
    auto& self = *static_cast<Calling*>(data);
    bool right = true;
    for (int i = 0; i < kPasses && isolate.Poll(); ++i) right &= self.Pass(0);
    if (!right) GiveUp("a call led to another method");
    if (self.left.fetch_sub(1) == 1) self.done.Set();
  }
  /// Nanoseconds until so many have run it.
  uint64_t Run(void (*entry)(Isolate&, void*), int count) {
    left = count;
    const uint64_t from = NowNanos();
    for (int i = 0; i < count; ++i) world.Spawn(entry, this);
    done.Wait();
    return NowNanos() - from;
  }
};

void MeasureCalls(int isolates, const Report& report) {
  // Each needs a thread of its own to meet the others.
  IsolateWorld world(isolates);
  Calling run{.world = world, .isolates = isolates};
  for (size_t i = 0; i < Calling::kSites; ++i) run.sites.emplace_back(i + 1);
  run.Run(Calling::Link, isolates);
  const std::string by = ".by_" + std::to_string(isolates);
  const Atoll::CallSiteStats stats = world.group().program().call_site_stats();
  report.Figure("link" + by, static_cast<double>(run.link_nanos) / 1e6, "ms");
  report.Figure("misses" + by, static_cast<double>(stats.misses), "");
  report.Figure("found_by_others" + by, static_cast<double>(stats.found_by_others), "");
  report.Figure(
      "patches" + by,
      static_cast<double>(stats.to_monomorphic + stats.to_polymorphic + stats.to_megamorphic), "");
  const auto stops = [&] {
    return static_cast<double>(world.group().heap().safepoints().stats().group_stops);
  };
  report.Figure("group_stops" + by, stops(), "");
  const double calls = static_cast<double>(Calling::CallsInPass()) * Calling::kPasses;
  double best = 0;
  for (int i = 0; i < 5; ++i) {
    const uint64_t nanos = run.Run(Calling::CallLinked, 1);
    best = std::max(best, calls * 1e3 / static_cast<double>(nanos));
  }
  report.Figure("one_calls" + by, best, "Mcalls/s");
  if (isolates > 1) {
    best = 0;
    for (int i = 0; i < 3; ++i) {
      const uint64_t nanos = run.Run(Calling::CallLinked, isolates);
      best = std::max(best, calls * isolates * 1e3 / static_cast<double>(nanos));
    }
    report.Figure("all_call" + by, best, "Mcalls/s");
  }
  report.Figure("group_stops_at_end" + by, stops(), "");
  world.group().Shutdown();
}

// ---- installation: what an isolate notices of code that is installed beside it

struct Compiling final : Atoll::CompilerClient {
  static constexpr uintptr_t kFunctions = 10'000;
  static constexpr uint64_t kCompileNanos = 20'000;

  bool installs;
  std::atomic<uint64_t> compiled{0};
  std::atomic<const void*> installed[kFunctions]{};

  explicit Compiling(bool that_install) : installs(that_install) {}
  void* Compile(uintptr_t function, const Atoll::CompileJob&) override {
    compiled.fetch_add(1, std::memory_order_relaxed);
    const uint64_t began = NowNanos();
    while (NowNanos() - began < kCompileNanos) {
    }
    return installs ? reinterpret_cast<void*>(function + 1) : nullptr;
  }
  void Install(uintptr_t function, void* code) override {
    // Release: whoever calls it finds it whole.
    installed[function].store(code, std::memory_order_release);
  }
  void Discard(uintptr_t, void*) override {}
};

struct Noticing {
  std::atomic<bool> is_over{false};
  Done ready{};
  Done done{};
  static constexpr uint64_t kLongNanos = 100'000;
  LatencyHistogram gaps{};  ///< between polls
  uint64_t long_gaps = 0;

  static void Run(Isolate& isolate, void* data) {
    auto& self = *static_cast<Noticing*>(data);
    self.ready.Set();
    uint64_t last = NowNanos();
    while (!self.is_over.load(std::memory_order_relaxed)) {
      if (!isolate.Poll()) break;
      const uint64_t now = NowNanos();
      self.gaps.Add(now - last);
      if (now - last > kLongNanos) ++self.long_gaps;
      last = now;
    }
    self.done.Set();
  }
};

/// One isolate that polls, and a compiler that installs, or does all but that.
void MeasureInstallation(bool installs, const std::string& name, const Report& report) {
  IsolateWorld world(1);
  Compiling client(installs);
  {
    Atoll::BackgroundCompiler compiler(world.group(), client);
    Noticing run;
    world.Spawn(Noticing::Run, &run);
    run.ready.Wait();
    // As eight isolates would: whoever finds a function hot asks for it.
    for (uintptr_t function = 0; function < Compiling::kFunctions; ++function) {
      for (int isolate = 0; isolate < 8; ++isolate) {
        // Acquire: as who calls it.
        const void* code = client.installed[function].load(std::memory_order_acquire);
        if (code == nullptr) compiler.Request(function);
      }
    }
    compiler.WaitUntilIdle();
    run.is_over = true;
    run.done.Wait();
    const Atoll::BackgroundCompiler::Stats stats = compiler.stats();
    report.Figure(name + "_compiled", static_cast<double>(client.compiled.load()), "");
    report.Figure(name + "_installed", static_cast<double>(stats.installed), "");
    report.Figure(name + "_gap_p99.99", static_cast<double>(run.gaps.Quantile(0.9999)) / 1e3, "us");
    report.Figure(name + "_gap_p99.9999", static_cast<double>(run.gaps.Quantile(0.999999)) / 1e3,
                  "us");
    report.Figure(name + "_gaps_over_100us", static_cast<double>(run.long_gaps), "");
    report.Figure(name + "_gap_max", static_cast<double>(run.gaps.max()) / 1e3, "us");
    report.Figure(name + "_longest_install", static_cast<double>(stats.longest_install_nanos) / 1e3,
                  "us");
    report.Figure(name + "_group_stops",
                  static_cast<double>(world.group().heap().safepoints().stats().group_stops), "");
  }
  world.group().Shutdown();
}

}  // namespace

bool RunSharedProgram(const std::string& workload, const Report& report) {
  if (workload == "call_sites") {
    MeasureCalls(1, report);
    MeasureCalls(8, report);
  } else if (workload == "installation") {
    MeasureInstallation(false, "control", report);
    MeasureInstallation(true, "install", report);
  } else {
    return false;
  }
  return true;
}

}  // namespace bench
