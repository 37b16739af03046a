// The system refuses memory, at every request in turn: allocations may fail, nothing is lost, and
// when memory is to be had again all goes on.
#include <vector>

#include "safepoint/platform.h"
#include "tests/heap/heap_fixture.h"
#include "tests/heap/stressed.h"

namespace Atoll {
namespace {

using platform::faults::Request;
using ::testing::HasSubstr;

class Refusal : public HeapTest {
 protected:
  Refusal() {
    options().nursery_bytes = 256 * 1024;
    options().decay_nanos = 1;  // memory goes back at once, so that it is asked for again
  }
  ~Refusal() override { platform::faults::Reset(); }

  static constexpr size_t kListLength = 15'000;
  static constexpr size_t kArrayLength = 20'000;
  static constexpr int kRefusals = 50;  // in a row: each is a collection, and more show no more

  /// What could be allocated, and so must be there.
  struct Made {
    std::vector<uint64_t> list;  // ids, first to last
    std::vector<bool> elements = std::vector<bool>(kArrayLength);
    bool array = false;
  };

  /// Builds and collects; keeps whatever could be allocated.
  void Scenario(TestRegion& region) {
    made_ = Made();
    Mutator& mutator = region.mutator();
    if (const ObjectPtr first = NewPair(mutator, 0)) {
      region.SetRoot(0, first);
      made_.list.push_back(0);
    }
    int refused = 0;
    for (size_t i = 1; i <= kListLength && refused < kRefusals; ++i) {
      const ObjectPtr pair = NewPair(mutator, i);
      if (!pair) {
        EXPECT_EQ(mutator.last_error().code(), StatusCode::kResourceExhausted);
        ++refused;
        continue;
      }
      refused = 0;
      Link(mutator, pair, kA, region.RootObject(0));
      region.SetRoot(0, pair);
      made_.list.push_back(i);
    }
    Minor(region);
    region.SetRoot(1, mutator.AllocateArray(*types().array, kArrayLength));
    made_.array = static_cast<bool>(region.RootObject(1));
    if (made_.array) {
      if (!IsYoung(mutator, region.RootObject(1))) return;
      Major(region);
      refused = 0;
      for (size_t i = 0; i < kArrayLength && refused < kRefusals; i += 2) {
        const ObjectPtr pair = NewPair(mutator, i);
        refused = pair ? 0 : refused + 1;
        if (!pair) continue;
        Link(mutator, region.RootObject(1), ElementAt(i), pair);
        made_.elements[i] = true;
      }
      Minor(region);
    }
    // Ephemerons and weak references, so that their lists need memory too.
    for (size_t i = 0; i < 2'000; ++i) {
      const ObjectPtr ephemeron = mutator.Allocate(*types().ephemeron);
      if (!ephemeron || !region.RootObject(1)) break;
      Link(mutator, ephemeron, 8, region.RootObject(0));
      Link(mutator, ephemeron, 16, region.RootObject(0));
      Link(mutator, region.RootObject(1), ElementAt(i * 2 + 1), ephemeron);
      made_.elements[i * 2 + 1] = true;
    }
    Minor(region);
    Major(region);
    Group();
  }

  void ExpectIntact(TestRegion& region) {
    auto expected = made_.list.rbegin();
    for (ObjectPtr at = region.RootObject(0); at; at = Load(at, kA), ++expected) {
      ASSERT_NE(expected, made_.list.rend());
      ASSERT_EQ(IdAt(at), *expected);
    }
    ASSERT_EQ(expected, made_.list.rend()) << "the list has lost its end";
    ASSERT_EQ(static_cast<bool>(region.RootObject(1)), made_.array);
    if (!made_.array) return;
    for (size_t i = 0; i < kArrayLength; ++i) {
      const ObjectPtr element = Load(region.RootObject(1), ElementAt(i));
      ASSERT_EQ(static_cast<bool>(element), made_.elements[i]) << "element " << i;
      if (!element) continue;
      if (i % 2 == 0) {
        ASSERT_EQ(IdAt(element), i);
      } else {
        ASSERT_TRUE(Load(element, 8));
        ASSERT_EQ(Load(element, 8), Load(element, 16));
      }
    }
  }

  uint64_t RequestsOf(Request request) {
    TestRegion region(heap());
    region.Enter();
    platform::faults::FailNth(request, UINT64_MAX, false);
    Scenario(region);
    const uint64_t count = platform::faults::Count(request);
    platform::faults::Reset();
    return count;
  }

  void Sweep(Request request, bool all_after, uint64_t step) {
    const uint64_t requests = RequestsOf(request);
    ASSERT_GT(requests, 0u);
    if (IsStressed(heap())) step *= 16;
    for (uint64_t n = 1; n <= requests; n += step) {
      SCOPED_TRACE("request " + std::to_string(n) + " of " + std::to_string(requests));
      TestRegion region(heap());
      Mutator& mutator = region.Enter();
      platform::faults::FailNth(request, n, all_after);
      Scenario(region);
      ExpectValid();
      ExpectIntact(region);
      platform::faults::Reset();
      if (HasFailure()) return;
      // All is well again.
      MakeList(region, 2, 1, 5'000);
      for (const auto kind : {Mutator::Collection::kMinor, Mutator::Collection::kMajor}) {
        Collect(mutator, kind);
        ExpectValid();
        ExpectIntact(region);
        ExpectList(region.RootObject(2), 1, 5'000);
      }
      if (HasFailure()) return;
    }
  }

 private:
  Made made_;
};

// Each request is refused in builds without checks; others are given some of the requests.
constexpr uint64_t StepFor(uint64_t checked, uint64_t sanitized) {
  return ATOLL_TSAN || ATOLL_ASAN ? sanitized : ATOLL_CHECKS ? checked : 1;
}

TEST_F(Refusal, OfOneCommit) { Sweep(Request::kCommit, false, 1); }
TEST_F(Refusal, OfAllCommitsFromOneOn) { Sweep(Request::kCommit, true, 1); }
TEST_F(Refusal, OfOneRawAllocation) { Sweep(Request::kRaw, false, StepFor(1, 17)); }
TEST_F(Refusal, OfAllRawAllocationsFromOneOn) { Sweep(Request::kRaw, true, StepFor(3, 17)); }

class ParallelRefusal : public Refusal {
 protected:
  ParallelRefusal() {
    options().workers = 3;
    options().stress.parallel = true;
  }
};
TEST_F(ParallelRefusal, OfAllCommitsFromOneOn) { Sweep(Request::kCommit, true, 1); }
TEST_F(ParallelRefusal, OfOneRawAllocation) { Sweep(Request::kRaw, false, StepFor(7, 29)); }
TEST_F(ParallelRefusal, OfAllRawAllocationsFromOneOn) {
  Sweep(Request::kRaw, true, StepFor(13, 29));
}

TEST_F(Refusal, OfMemoryForAnAllocationIsAnOrdinaryNull) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  platform::faults::FailNth(Request::kCommit, 1, true);
  EXPECT_FALSE(mutator.AllocateArray(*types().bytes, 64 << 20));
  EXPECT_EQ(mutator.last_error().code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(mutator.last_error().message(), HasSubstr("the system refuses memory"));
  EXPECT_TRUE(region.near_limit_calls.empty()) << "no limit was in the way";
  EXPECT_FALSE(heap().AllocateProgram(*types().bytes, 64 << 20));
  platform::faults::Reset();
  EXPECT_TRUE(mutator.AllocateArray(*types().bytes, 64 << 20));
}

// With no heap alive the process has no reservation, so these make one.
class ReservationRefusal : public ::testing::Test {
 protected:
  ~ReservationRefusal() override { platform::faults::Reset(); }
};

TEST_F(ReservationRefusal, ASmallerOneIsTakenAndSaidSo) {
  platform::faults::FailNth(Request::kReserve, 1, false);
  HeapOptions options;
  options.reservation_bytes = size_t{16} << 30;
  ::testing::internal::CaptureStderr();
  Result<std::unique_ptr<Heap>> heap = CreateHeap(options);
  const std::string said = ::testing::internal::GetCapturedStderr();
  ASSERT_TRUE(heap.ok()) << heap.status().message();
  EXPECT_THAT(said, HasSubstr(std::to_string(8 << 10)));
  EXPECT_THAT(said, HasSubstr(std::to_string(16 << 10)));
  TestTypes types(*heap.value());
  TestRegion region(*heap.value());
  EXPECT_TRUE(region.Enter().Allocate(*types.pair));
}

TEST_F(ReservationRefusal, NoneAtAllIsAnError) {
  platform::faults::FailNth(Request::kReserve, 1, true);
  const Result<std::unique_ptr<Heap>> heap = CreateHeap({});
  ASSERT_FALSE(heap.ok());
  EXPECT_EQ(heap.status().code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(heap.status().message(), HasSubstr("reserve"));
  platform::faults::Reset();
  EXPECT_TRUE(CreateHeap({}).ok());
}

TEST_F(ReservationRefusal, OfSideTablesIsAnErrorOrASmallerHeap) {
  platform::faults::FailNth(Request::kMapZeroed, UINT64_MAX, false);
  ASSERT_TRUE(CreateHeap({}).ok());
  const uint64_t requests = platform::faults::Count(Request::kMapZeroed);
  ASSERT_GT(requests, 0u);
  for (uint64_t n = 1; n <= requests; ++n) {
    for (const bool all_after : {false, true}) {
      SCOPED_TRACE(n);
      platform::faults::FailNth(Request::kMapZeroed, n, all_after);
      ::testing::internal::CaptureStderr();
      const Result<std::unique_ptr<Heap>> heap = CreateHeap({});
      ::testing::internal::GetCapturedStderr();
      platform::faults::Reset();
      if (!heap.ok()) {
        EXPECT_EQ(heap.status().code(), StatusCode::kResourceExhausted);
        continue;
      }
      TestTypes types(*heap.value());
      TestRegion region(*heap.value());
      EXPECT_TRUE(region.Enter().Allocate(*types.pair));
    }
  }
}

TEST_F(ReservationRefusal, AReservationThatIsUsedUpRefusesLikeALimit) {
  HeapOptions options;
  options.reservation_bytes = size_t{1} << 30;
  options.limit_bytes = size_t{64} << 30;
  std::unique_ptr<Heap> heap = CreateHeap(options).value();
  TestTypes types(*heap);
  TestRegion region(*heap);
  Mutator& mutator = region.Enter();
  EXPECT_FALSE(mutator.AllocateArray(*types.bytes, size_t{2} << 30));
  EXPECT_EQ(mutator.last_error().code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(mutator.last_error().message(), HasSubstr("reservation_bytes"));
  EXPECT_TRUE(mutator.AllocateArray(*types.bytes, 1 << 20));
}

}  // namespace
}  // namespace Atoll
