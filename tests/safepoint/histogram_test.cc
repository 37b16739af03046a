#include "atoll/histogram.h"

#include <gtest/gtest.h>

namespace Atoll {
namespace {

TEST(Histogram, IsEmptyAtFirst) {
  const Histogram histogram;
  EXPECT_EQ(histogram.Count(), 0u);
  EXPECT_EQ(histogram.Max(), 0u);
  EXPECT_EQ(histogram.Quantile(0.5), 0u);
}

TEST(Histogram, BucketsAreContiguousAndNarrow) {
  uint64_t next = 0;
  for (size_t bucket = 0; bucket < Histogram::kBuckets; ++bucket) {
    const uint64_t highest = Histogram::HighestOf(bucket);
    EXPECT_EQ(Histogram::BucketOf(next), bucket);
    EXPECT_EQ(Histogram::BucketOf(highest), bucket);
    if (next >= 16) {
      EXPECT_LE(highest - next + 1, next / 16);
    }
    next = highest + 1;
  }
  EXPECT_EQ(next, uint64_t{1} << Histogram::kMaximumExponent);
  EXPECT_EQ(Histogram::BucketOf(next), Histogram::kBuckets - 1);
  EXPECT_EQ(Histogram::BucketOf(UINT64_MAX), Histogram::kBuckets - 1);
}

TEST(Histogram, QuantilesAreWithinASixteenth) {
  Histogram histogram;
  for (uint64_t i = 1; i <= 100'000; ++i) histogram.Record(i);
  EXPECT_EQ(histogram.Count(), 100'000u);
  EXPECT_EQ(histogram.Max(), 100'000u);
  EXPECT_EQ(histogram.Sum(), uint64_t{100'000} * 100'001 / 2);
  for (const double q : {0.01, 0.5, 0.9, 0.99, 0.999}) {
    const double exact = q * 100'000;
    const double got = static_cast<double>(histogram.Quantile(q));
    EXPECT_GE(got, exact) << q;
    EXPECT_LE(got, exact * (1 + 1.0 / 16)) << q;
  }
  EXPECT_EQ(histogram.Quantile(1), 100'000u);
  EXPECT_LE(histogram.Quantile(0), 1u);
}

TEST(Histogram, KeepsTheMaximumExactly) {
  Histogram histogram;
  histogram.Record(uint64_t{1} << 50);
  EXPECT_EQ(histogram.Max(), uint64_t{1} << 50);
  EXPECT_EQ(histogram.Quantile(0.5), uint64_t{1} << 50);
}

TEST(Histogram, MergesAndCopies) {
  Histogram a;
  Histogram b;
  a.Record(10);
  b.Record(1000);
  b.Record(20);
  a.Merge(b);
  EXPECT_EQ(a.Count(), 3u);
  EXPECT_EQ(a.Max(), 1000u);
  EXPECT_EQ(a.Quantile(0.3), 10u);
  Histogram copy = a;
  EXPECT_EQ(copy.Sum(), 1030u);
  copy.Clear();
  EXPECT_EQ(copy.Count(), 0u);
  EXPECT_EQ(copy.Quantile(0.5), 0u);
  copy = a;
  EXPECT_EQ(copy.Count(), 3u);
}

}  // namespace
}  // namespace Atoll
