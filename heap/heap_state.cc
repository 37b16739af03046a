#include "heap/heap_state.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace Atoll {
namespace {

// A stop and waking the stopped take about 100 us, as long as it takes to allocate some 300 KiB:
// this keeps them to a few hundredths of the time.
constexpr size_t kSharedNurseryBytes = size_t{8} << 20;

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nobody sets these
  if (text == nullptr || *text == '\0') return otherwise;
  char* end = nullptr;
  const uint64_t value = std::strtoull(text, &end, 10);
  if (*end != '\0') {
    std::fprintf(stderr, "atoll: %s=\"%s\" is not a number; it is ignored\n", name, text);
    return otherwise;
  }
  return value;
}

void LogToStandardError(const char* line, void*) { std::fprintf(stderr, "%s\n", line); }

uint64_t Mix(uint64_t x) {  // the finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

HeapOptions HeapState::Complete(HeapOptions options) {
  if (options.limit_bytes == 0) options.limit_bytes = platform::MemoryLimitBytes() / 4 * 3;
  if (options.shared_nursery_bytes == 0) {
    options.shared_nursery_bytes =
        options.nursery_bytes != 0 ? options.nursery_bytes : kSharedNurseryBytes;
  }
  if (options.nursery_bytes == 0) options.nursery_bytes = platform::L2CacheBytes();
  options.nursery_bytes = std::max(options.nursery_bytes, 2 * kBlockSize);
  if (options.max_nursery_bytes == 0) options.max_nursery_bytes = size_t{128} << 20;
  options.max_nursery_bytes = std::max(options.max_nursery_bytes, options.nursery_bytes);
  options.shared_nursery_bytes =
      std::clamp(options.shared_nursery_bytes, options.nursery_bytes, options.max_nursery_bytes);
  if (options.workers <= 0) options.workers = platform::ProcessorCount();
  options.workers = static_cast<int>(FromEnvironment("ATOLL_WORKERS", options.workers));
  options.workers = std::clamp(options.workers, 1, 64);
  StressOptions& stress = options.stress;
  stress.collect_every = FromEnvironment("ATOLL_STRESS_EVERY", stress.collect_every);
  stress.every_allocation = FromEnvironment("ATOLL_STRESS_ALLOC", stress.every_allocation) != 0;
  stress.move_everything = FromEnvironment("ATOLL_STRESS_MOVE", stress.move_everything) != 0;
  stress.poison = FromEnvironment("ATOLL_STRESS_POISON", stress.poison) != 0;
  stress.verify = FromEnvironment("ATOLL_VERIFY", stress.verify) != 0;
  stress.parallel = FromEnvironment("ATOLL_STRESS_PARALLEL", stress.parallel) != 0;
  stress.born_old = FromEnvironment("ATOLL_STRESS_OLD", stress.born_old) != 0;
  options.seed = FromEnvironment("ATOLL_SEED", options.seed);
  if (options.seed == 0) options.seed = platform::NowNanos() | 1;
  const char* log = std::getenv("ATOLL_LOG");  // NOLINT(concurrency-mt-unsafe): as above
  if (options.gc_log == nullptr && log != nullptr && std::string(log) == "gc") {
    options.gc_log = LogToStandardError;
  }
  return options;
}

HeapState::HeapState(const HeapOptions& complete, std::shared_ptr<AddressSpace> address_space)
    : options(complete),
      space(std::move(address_space)),
      allocator(options.huge_pages),
      pool(*space, {options.limit_bytes, options.huge_pages, options.decay_nanos,
                    options.stress.poison, options.encoding.compressed}),
      types(options.encoding),
      program(*space, pool),
      shared(*space, pool),
      safepoints(options.safepoint),
      workers(options.workers),
      hash_state(options.seed) {}

void HeapState::Report(Violation::Kind kind, std::string message) const {
  const Violation violation{kind, std::move(message)};
  if (options.violation_handler != nullptr) {
    options.violation_handler(violation, options.violation_data);
  } else {
    std::fprintf(stderr, "atoll: %s: %s\n", options.name.c_str(), violation.message.c_str());
  }
}

uint32_t HeapState::NewIdentityHash() {
  // Relaxed: only that each caller gets another value matters.
  const uint64_t step = hash_state.fetch_add(0x9e3779b97f4a7c15u, std::memory_order_relaxed);
  const uint32_t hash = static_cast<uint32_t>(Mix(step) >> 32);
  return hash == 0 ? 1 : hash;
}

}  // namespace Atoll
