#ifndef ATOLL_BENCHMARKS_WORKLOADS_MEASURE_H_
#define ATOLL_BENCHMARKS_WORKLOADS_MEASURE_H_

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

/// What every workload measures with: the clock, a histogram of latencies, the random numbers that
/// are the same in all programs, and the lines of figures.

namespace bench {

/// Of at least one value.
inline double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 != 0 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

inline uint64_t NowNanos() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

/// Log-linear: 64 buckets to every power of two, about 1.6 % wide.
class LatencyHistogram {
 public:
  void Add(uint64_t value) {
    ++buckets_[BucketOf(value)];
    ++count_;
    if (value > max_) max_ = value;
  }
  uint64_t Quantile(double q) const {
    const auto rank = static_cast<uint64_t>(q * static_cast<double>(count_));
    uint64_t seen = 0;
    for (size_t i = 0; i < buckets_.size(); ++i) {
      seen += buckets_[i];
      if (seen > rank) return LowestOf(i);
    }
    return max_;
  }
  uint64_t count() const { return count_; }
  uint64_t max() const { return max_; }

 private:
  static constexpr uint64_t kSubBuckets = 64;
  static constexpr int kSubBucketBits = 6;

  static size_t BucketOf(uint64_t value) {
    if (value < kSubBuckets) return value;
    const int exponent = 63 - std::countl_zero(value);
    const uint64_t below = (value >> (exponent - kSubBucketBits)) - kSubBuckets;
    return static_cast<uint64_t>(exponent - kSubBucketBits + 1) * kSubBuckets + below;
  }
  static uint64_t LowestOf(size_t bucket) {
    if (bucket < kSubBuckets) return bucket;
    return (kSubBuckets + bucket % kSubBuckets) << (bucket / kSubBuckets - 1);
  }

  std::vector<uint64_t> buckets_ = std::vector<uint64_t>(kSubBuckets * 60);
  uint64_t count_ = 0;
  uint64_t max_ = 0;
};

/// xorshift32; the same sequence in every program.
class Random {
 public:
  explicit Random(uint32_t seed) : state_(seed) {}
  uint32_t Next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 17;
    state_ ^= state_ << 5;
    return state_;
  }

 private:
  uint32_t state_;
};

/// Prints one line `peer workload metric value unit` per figure.
struct Report {
  std::string peer;
  std::string workload;

  void Figure(const std::string& metric, double value, const char* unit) const {
    std::printf("%s %s %s %.10g %s\n", peer.c_str(), workload.c_str(), metric.c_str(), value, unit);
    std::fflush(stdout);
  }
  /// The quantiles of one latency per operation, and the rate.
  void Latencies(const LatencyHistogram& latencies, double seconds,
                 const std::string& suffix) const {
    Figure("p50" + suffix, static_cast<double>(latencies.Quantile(0.50)), "ns");
    Figure("p99" + suffix, static_cast<double>(latencies.Quantile(0.99)), "ns");
    Figure("p99.9" + suffix, static_cast<double>(latencies.Quantile(0.999)), "ns");
    Figure("p99.99" + suffix, static_cast<double>(latencies.Quantile(0.9999)), "ns");
    Figure("max" + suffix, static_cast<double>(latencies.max()), "ns");
    Figure("throughput" + suffix, static_cast<double>(latencies.count()) / seconds, "ops/s");
  }
};

inline double Seconds(uint64_t nanos) { return static_cast<double>(nanos) / 1e9; }

/// The resident set of this process now, in MiB.
inline double ResidentMiB() {
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr) return 0;
  long total = 0;
  long resident = 0;
  if (std::fscanf(file, "%ld %ld", &total, &resident) != 2) resident = 0;
  std::fclose(file);
  return static_cast<double>(resident) * 4096.0 / 1048576.0;
}

}  // namespace bench

#endif  // ATOLL_BENCHMARKS_WORKLOADS_MEASURE_H_
