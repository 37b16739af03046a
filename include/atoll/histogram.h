// Layer: safepoint
#ifndef ATOLL_HISTOGRAM_H_
#define ATOLL_HISTOGRAM_H_

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace Atoll {

/// How long do these things take, at the median and at worst? A log-linear histogram of durations
/// in nanoseconds (or of any counts): 16 buckets to every power of two, so that a quantile is at
/// most 1/16 too high; fixed size, no allocation.
///
///   value            bucket
///   0 .. 15          value                                  (exact)
///   2^e .. 2^(e+1)   16 * (e - 3) + the 4 bits below the leading one
///   2^40 and above   the last one                           (18 minutes; Max() stays exact)
///
/// One writer at a time (Record, Merge into, Clear: the caller serializes), any number of readers
/// at any time. Readers see each counter whole, and may miss the latest records.
class Histogram {
 public:
  static constexpr int kSubBucketBits = 4;
  static constexpr int kMaximumExponent = 40;
  static constexpr size_t kSubBuckets = size_t{1} << kSubBucketBits;
  static constexpr size_t kBuckets = (kMaximumExponent - kSubBucketBits + 1) * kSubBuckets;

  Histogram() = default;
  Histogram(const Histogram& other) { Merge(other); }
  Histogram& operator=(const Histogram& other) {
    if (this != &other) {
      Clear();
      Merge(other);
    }
    return *this;
  }

  /// O(1), three loads and stores, no read-modify-write.
  void Record(uint64_t value) {
    Add(buckets_[BucketOf(value)], 1);
    Add(count_, 1);
    Add(sum_, value);
    if (value > Load(max_)) Store(max_, value);
  }

  /// Adds the records of `other`, which may be written meanwhile. O(buckets).
  void Merge(const Histogram& other) {
    uint64_t count = 0;
    for (size_t i = 0; i < kBuckets; ++i) {
      const uint64_t n = Load(other.buckets_[i]);
      if (n == 0) continue;
      Add(buckets_[i], n);
      count += n;
    }
    Add(count_, count);
    Add(sum_, Load(other.sum_));
    if (Load(other.max_) > Load(max_)) Store(max_, Load(other.max_));
  }

  void Clear() {
    for (auto& bucket : buckets_) Store(bucket, 0);
    Store(count_, 0);
    Store(sum_, 0);
    Store(max_, 0);
  }

  uint64_t Count() const { return Load(count_); }
  uint64_t Sum() const { return Load(sum_); }
  /// The greatest value recorded, exactly; 0 when empty.
  uint64_t Max() const { return Load(max_); }

  /// The value that a fraction `q` (0 to 1) of the records do not exceed, rounded up to the end of
  /// its bucket but never above Max(); 0 when empty. O(buckets).
  uint64_t Quantile(double q) const {
    const uint64_t count = Count();
    if (count == 0) return 0;
    uint64_t rank = q <= 0 ? 1 : static_cast<uint64_t>(q * static_cast<double>(count) + 0.9999999);
    if (rank < 1) rank = 1;
    uint64_t seen = 0;
    for (size_t i = 0; i < kBuckets; ++i) {
      seen += Load(buckets_[i]);
      if (seen >= rank) return HighestOf(i) < Max() && i + 1 < kBuckets ? HighestOf(i) : Max();
    }
    return Max();
  }

  static constexpr size_t BucketOf(uint64_t value) {
    if (value < kSubBuckets) return static_cast<size_t>(value);
    const int exponent = 63 - std::countl_zero(value);
    if (exponent >= kMaximumExponent) return kBuckets - 1;
    const size_t below = (value >> (exponent - kSubBucketBits)) & (kSubBuckets - 1);
    return static_cast<size_t>(exponent - kSubBucketBits + 1) * kSubBuckets + below;
  }

  /// The greatest value that falls into `bucket`.
  static constexpr uint64_t HighestOf(size_t bucket) {
    if (bucket < kSubBuckets) return bucket;
    const size_t shift = bucket / kSubBuckets - 1;
    const uint64_t lowest = (kSubBuckets + bucket % kSubBuckets) << shift;
    return lowest + (uint64_t{1} << shift) - 1;
  }

 private:
  // Relaxed throughout: the counters are statistics and order nothing; atomic only so that a
  // reader never sees half a word.
  using Counter = std::atomic<uint64_t>;
  static uint64_t Load(const Counter& counter) { return counter.load(std::memory_order_relaxed); }
  static void Store(Counter& counter, uint64_t value) {
    counter.store(value, std::memory_order_relaxed);
  }
  static void Add(Counter& counter, uint64_t n) { Store(counter, Load(counter) + n); }

  std::array<Counter, kBuckets> buckets_{};
  Counter count_{0};
  Counter sum_{0};
  Counter max_{0};
};

static_assert(Histogram::BucketOf(15) == 15 && Histogram::BucketOf(16) == 16);
static_assert(Histogram::BucketOf((uint64_t{1} << Histogram::kMaximumExponent) - 1) ==
              Histogram::kBuckets - 1);
static_assert(Histogram::HighestOf(Histogram::BucketOf(1000)) >= 1000);
static_assert(sizeof(Histogram) <= 5 * 1024);

}  // namespace Atoll

#endif  // ATOLL_HISTOGRAM_H_
