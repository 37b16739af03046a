#include "vm_stats.h"

#include <sys/resource.h>

#include <utility>

#include "class_loader.h"
#include "universe.h"

namespace som {
namespace {

unsigned long long Count(uint64_t count) { return count; }
double Millis(uint64_t nanos) { return static_cast<double>(nanos) / 1e6; }
double MiB(uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

double ProcessorMillis() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  const auto millis = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_usec) / 1e3;
  };
  return millis(usage.ru_utime) + millis(usage.ru_stime);
}

}  // namespace

void PrintGcStats(const Universe& universe, std::FILE* to) {
  const Atoll::HeapStats stats = universe.group().heap().stats();
  for (const auto& [name, pauses] :
       {std::pair("minor", stats.minor), std::pair("major", stats.major)}) {
    std::fprintf(to,
                 "gc: %llu %s collections, %.1f ms in all, half of them under %.3f ms, the longest "
                 "%.3f ms\n",
                 Count(pauses.count), name, Millis(pauses.total_nanos), Millis(pauses.p50_nanos),
                 Millis(pauses.max_nanos));
  }
  const double all = ProcessorMillis();
  const double collecting =
      Millis(stats.minor.total_nanos + stats.major.total_nanos + stats.group.total_nanos);
  std::fprintf(to, "gc: %.1f %% of %.0f ms of processor time\n", 100 * collecting / all, all);
  std::fprintf(to, "gc: %.1f MiB mapped, %.1f MiB of them program, %.1f MiB promoted\n",
               MiB(stats.mapped_bytes), MiB(stats.program_bytes), MiB(stats.promoted_bytes));
}

void PrintVmStats(const Universe& universe, std::FILE* to) {
  Atoll::Program& program = universe.program();
  const ClassLoader::Counts counts = universe.loader().Count();
  std::fprintf(to, "vm: %zu classes, %zu methods, %zu symbols, %zu fields\n", counts.classes,
               counts.methods, program.symbol_count(), program.field_count());

  using State = Atoll::CallSiteState;
  const auto sites = [&](State state) { return counts.sites[static_cast<size_t>(state)]; };
  const Atoll::CallSiteStats calls = program.call_site_stats();
  std::fprintf(to,
               "vm: call sites: %zu unlinked, %zu monomorphic, %zu polymorphic, %zu megamorphic; "
               "%llu misses, %llu of them not understood, %llu resets\n",
               sites(State::kUnlinked), sites(State::kMonomorphic), sites(State::kPolymorphic),
               sites(State::kMegamorphic), Count(calls.misses), Count(calls.not_found),
               Count(calls.resets));

  const HotCode::Stats hot = universe.hot_code().stats();
  std::fprintf(to,
               "vm: hot methods: %llu asked for, %llu installed, %llu with nothing to do better, "
               "%llu cancelled, %llu done again, %llu invalidated; %llu sends done in place\n",
               Count(hot.jobs.requests - hot.jobs.joined), Count(hot.jobs.installed),
               Count(hot.jobs.failed), Count(hot.jobs.cancelled), Count(hot.jobs.redone),
               Count(hot.invalidated), Count(hot.sends_in_place));
  const Atoll::Histogram exits = universe.exits();
  std::fprintf(to, "vm: %llu times exit:to:, half of them under %.2f us, the longest %.2f us\n",
               Count(exits.Count()), static_cast<double>(exits.Quantile(0.5)) / 1e3,
               static_cast<double>(exits.Max()) / 1e3);
  const Atoll::TimeToSafepointStats stops = universe.group().heap().safepoints().stats();
  std::fprintf(to,
               "vm: longest installation %.3f ms, which stops nobody; %llu stops of the group, "
               "longest wait for one %.3f ms\n",
               Millis(hot.jobs.longest_install_nanos), Count(stops.group_stops),
               Millis(stops.max_nanos));
}

}  // namespace som
