// Where is the memory? Every block has one owner (invariant I4), and free memory goes back.
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <deque>
#include <set>
#include <thread>
#include <vector>

#include "heap/group_allocator.h"
#include "heap/heap_state.h"
#include "heap/huge_page_policy.h"
#include "heap/object_model.h"
#include "heap/old_allocator.h"
#include "heap/region_state.h"
#include "safepoint/platform.h"
#include "tests/heap/heap_fixture.h"
#include "tests/heap/stressed.h"

namespace Atoll {
namespace {

class Blocks : public HeapTest {
 protected:
  void ExpectConserved() {
    const HeapStats stats = heap().stats();
    EXPECT_EQ(stats.mapped_bytes,
              stats.free_bytes + stats.region_bytes + stats.program_bytes + stats.shared_bytes);
    ExpectValid();
  }
};

TEST_F(Blocks, AreConservedThroughEverything) {
  ExpectConserved();
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  MakeList(region, 0, 1, 30'000);
  ExpectConserved();
  Minor(region);
  ExpectConserved();
  region.SetRoot(1, mutator.AllocateArray(*types().array, 500'000));
  region.SetRoot(2, mutator.AllocateArray(*types().bytes, 3'000'000));
  ExpectConserved();
  ASSERT_TRUE(heap().AllocateProgram(*types().bytes, 100'000));
  ExpectConserved();
  Major(region);
  ExpectConserved();
  region.Root(1) = 0;
  Group();
  ExpectConserved();
  mutator.EnterNative();
  {
    TestRegion other(heap());
    other.Enter();
    MakeList(other, 0, 1, 10'000);
    ExpectConserved();
    other.Leave();
    ASSERT_TRUE(region.region().Adopt(other.region()).ok());
    ExpectConserved();
  }
  mutator.LeaveNative();
  Major(region);
  ExpectConserved();
  region.Leave();
  region.EndRegion();
  ExpectConserved();
  EXPECT_EQ(heap().stats().region_bytes, 0u);
}

/// Objects whose scan is put off for lack of memory cover their lines after their block was filed.
TEST_F(Blocks, ARecyclableBlockThatHasFilledSinceIsPassedOver) {
  TestRegion region(heap());
  RegionState& state = region.region().state();
  ASSERT_NE(state.OwnPart(), nullptr);
  const AddressSpace& space = *state.heap.space;
  const BlockIndex block = state.TakeBlocks(1, BlockPool::Allowance::kLimit);
  ASSERT_NE(block, kNoBlock);
  space.info(block).space = Space::kOld;
  space.set_tag(block, state.own->old_tag());
  MarkBornOld(space, space.AddressOf(block), kLineSize);
  state.FileOldBlock(block);
  ASSERT_EQ(state.own->recyclable.block_count(), 1u);
  std::fill_n(space.covers(block), kCoverWordsPerBlock, ~uint64_t{0});

  OldAllocator allocator;
  const uintptr_t first = allocator.Allocate(state, 32, OldAllocator::Source::kHolesAndFresh);
  const uintptr_t second = allocator.Allocate(state, 32, OldAllocator::Source::kHolesAndFresh);
  ASSERT_TRUE(space.Contains(first));
  EXPECT_NE(space.BlockOf(first), block);
  EXPECT_EQ(second, first + 32);
  allocator.Retire(state);
}

TEST_F(Blocks, FreeMemoryGoesBackToTheSystem) {
  options().decay_nanos = 1;
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  region.SetRoot(0, mutator.AllocateArray(*types().bytes, 100 << 20));
  EXPECT_GE(heap().stats().mapped_bytes, 100u << 20);
  region.Root(0) = 0;
  Major(region);
  // A collection gives back no more than it can in passing.
  size_t mapped = heap().stats().mapped_bytes;
  EXPECT_GE(mapped, 80u << 20);
  for (int i = 0; i < 3; ++i) {
    Major(region);
    const size_t now = heap().stats().mapped_bytes;
    EXPECT_LT(now, mapped);
    EXPECT_LE(mapped - now, BlockPool::kDecayInPassingChunks * kChunkSize);
    mapped = now;
  }
  heap().ReturnFreeMemory();
  EXPECT_LE(heap().stats().mapped_bytes, 20u << 20);
  ExpectConserved();
}

TEST_F(Blocks, AHeapsOffHeapMemoryIsCountedAndFreed) {
  GroupAllocator allocator;
  EXPECT_EQ(allocator.bytes(), 0u);
  std::vector<std::pair<void*, size_t>> held;
  for (size_t bytes : {1, 8, 100, 4096, 1'000'000}) {
    void* memory = allocator.Allocate(bytes);
    ASSERT_NE(memory, nullptr);
    std::memset(memory, 1, bytes);
    held.emplace_back(memory, bytes);
  }
  auto* zeroed = static_cast<unsigned char*>(allocator.AllocateZeroed(10'000));
  ASSERT_NE(zeroed, nullptr);
  for (size_t i = 0; i < 10'000; ++i) ASSERT_EQ(zeroed[i], 0);
  EXPECT_EQ(allocator.bytes(), 1u + 8 + 100 + 4096 + 1'000'000 + 10'000);
  allocator.Free(zeroed, 10'000);
  for (auto [memory, bytes] : held) allocator.Free(memory, bytes);
  EXPECT_EQ(allocator.bytes(), 0u);
  allocator.Free(nullptr, 10);
  EXPECT_EQ(allocator.bytes(), 0u);
}

TEST_F(Blocks, AGroupAllocatorIsRefusedLikeAnyOther) {
  GroupAllocator allocator;
  platform::faults::FailNth(platform::faults::Request::kRaw, 2, false);
  void* first = allocator.Allocate(16);
  EXPECT_NE(first, nullptr);
  EXPECT_EQ(allocator.Allocate(16), nullptr);
  EXPECT_EQ(allocator.bytes(), 16u);
  void* third = allocator.AllocateZeroed(16);
  EXPECT_NE(third, nullptr);
  platform::faults::Reset();
  allocator.Free(first, 16);
  allocator.Free(third, 16);
}

TEST_F(Blocks, GroupAllocatorsAreUsedByManyThreads) {
  GroupAllocator allocator;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::vector<unsigned char*> held;
      for (int i = 0; i < 1'000; ++i) {
        held.push_back(static_cast<unsigned char*>(allocator.Allocate(64)));
        std::memset(held.back(), t, 64);
      }
      for (unsigned char* memory : held) {
        for (int i = 0; i < 64; ++i) ASSERT_EQ(memory[i], t);
        allocator.Free(memory, 64);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(allocator.bytes(), 0u);
}

TEST_F(Blocks, CachesOfThreadsPassMemoryFromOneToAnother) {
  GroupAllocator allocator;
  GroupAllocator other;
  constexpr size_t kBytes = 96;
  constexpr int kCount = 2'000;
  std::vector<unsigned char*> passed;
  {
    // Caches end on a thread that never used them.
    std::deque<GroupAllocator::Cache> caches;
    for (int t = 0; t < 3; ++t) caches.emplace_back(allocator);
    const auto on_thread = [](GroupAllocator::Cache& cache, auto body) {
      std::thread([&] {
        GroupAllocator::Cache::Use(&cache);
        body();
        GroupAllocator::Cache::Use(nullptr);
      }).join();
    };
    on_thread(caches[0], [&] {
      for (int i = 0; i < kCount; ++i) {
        passed.push_back(static_cast<unsigned char*>(allocator.Allocate(kBytes)));
        std::memset(passed.back(), i % 256, kBytes);
      }
      // Another's memory does not go through this one's cache.
      void* foreign = other.Allocate(kBytes);
      EXPECT_EQ(other.bytes(), kBytes);
      other.Free(foreign, kBytes);
    });
    EXPECT_EQ(allocator.bytes(), kCount * kBytes);
    on_thread(caches[1], [&] {
      for (int i = 0; i < kCount; i += 2) {
        for (size_t at = 0; at < kBytes; ++at) ASSERT_EQ(passed[i][at], i % 256);
        allocator.Free(passed[i], kBytes);
      }
      caches[1].Flush();
    });
    EXPECT_EQ(allocator.bytes(), kCount / 2 * kBytes);
    on_thread(caches[2], [&] {
      std::set<void*> fresh;  // nothing is handed out twice
      for (int i = 1; i < kCount; i += 2) fresh.insert(passed[i]);
      for (int i = 0; i < kCount; i += 2) {
        passed[i] = static_cast<unsigned char*>(allocator.Allocate(kBytes));
        EXPECT_TRUE(fresh.insert(passed[i]).second);
      }
    });
  }
  EXPECT_EQ(allocator.bytes(), kCount * kBytes);
  for (unsigned char* memory : passed) allocator.Free(memory, kBytes);
  EXPECT_EQ(allocator.bytes(), 0u);
  EXPECT_EQ(other.bytes(), 0u);
}

TEST_F(Blocks, CollectionsLeaveNoOffHeapMemoryBehind) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  region.SetRoot(0, mutator.AllocateArray(*types().array, 100'000));
  Major(region);
  Major(region);
  const size_t before = heap().state().allocator.bytes();
  for (int round = 0; round < (IsStressed(heap()) ? 2 : 10); ++round) {
    for (size_t i = 0; i < 100'000; ++i) {
      Link(mutator, region.RootObject(0), ElementAt(i), NewPair(mutator, i));
    }
    Major(region);
    Major(region);
  }
  EXPECT_LE(heap().state().allocator.bytes(), before + 64 * 1024);
}

TEST_F(Blocks, TwoHeapsShareTheReservationAndNothingElse) {
  std::unique_ptr<Heap> other = CreateHeap({}).value();
  TestTypes other_types(*other);
  TestRegion region(heap());
  region.Enter();
  MakeList(region, 0, 1, 10'000);
  region.mutator().EnterNative();
  {
    TestRegion foreign(*other);
    Mutator& mutator = foreign.Enter();
    for (int i = 0; i < 100'000; ++i) ASSERT_TRUE(mutator.Allocate(*other_types.pair));
    Major(foreign);
    EXPECT_TRUE(other->CollectAll().ok());
    EXPECT_TRUE(other->Verify().ok());
  }
  region.mutator().LeaveNative();
  EXPECT_EQ(region.mutator().stops_asked(), 0u);
  other.reset();
  ExpectList(region.RootObject(0), 1, 10'000);
  ExpectConserved();
}

TEST_F(Blocks, FreeMemoryGoesBackWithoutACollection) {
  constexpr uint64_t kDecayNanos = 200'000'000;
  options().decay_nanos = kDecayNanos;
  EXPECT_EQ(heap().ReturnFreeMemory(), UINT64_MAX) << "none is free";
  {
    TestRegion region(heap());
    Mutator& mutator = region.Enter();
    ASSERT_TRUE(mutator.AllocateArray(*types().bytes, 100 << 20));
  }
  EXPECT_GE(heap().stats().mapped_bytes, 100u << 20);
  uint64_t wait = 0;
  while ((wait = heap().ReturnFreeMemory()) != UINT64_MAX) {
    ASSERT_LE(wait, kDecayNanos + kDecayNanos / 4);
    platform::YieldThread();
  }
  EXPECT_EQ(heap().stats().mapped_bytes, 0u);
  ExpectConserved();
}

TEST_F(Blocks, InitialMemoryIsTouchedAtFirstAndKept) {
  constexpr size_t kInitial = 3 * kChunkSize;
  options().initial_bytes = kInitial - 1;  // whole chunks
  options().decay_nanos = 1'000'000;
  HeapState& state = heap().state();
  EXPECT_EQ(heap().stats().mapped_bytes, kInitial);
  size_t untouched = 0;
  state.pool.ForEachFree([&](BlockIndex block) {
    unsigned char resident[kBlockSize / 4096] = {};
    ASSERT_EQ(mincore(reinterpret_cast<void*>(state.space->AddressOf(block)), kBlockSize, resident),
              0);
    for (const unsigned char page : resident) untouched += (page & 1) == 0 ? 1 : 0;
  });
  EXPECT_EQ(untouched, 0u);
  EXPECT_EQ(heap().ReturnFreeMemory(), UINT64_MAX) << "all that is free is kept";
  {
    TestRegion region(heap());
    Mutator& mutator = region.Enter();
    for (int i = 0; i < 1000; ++i) ASSERT_TRUE(NewPair(mutator, i));
    EXPECT_EQ(heap().stats().mapped_bytes, kInitial) << "it is used first";
    ASSERT_TRUE(mutator.AllocateArray(*types().bytes, 10 * kChunkSize));
    EXPECT_GT(heap().stats().mapped_bytes, kInitial);
  }
  while (heap().ReturnFreeMemory() != UINT64_MAX) platform::YieldThread();
  EXPECT_EQ(heap().stats().mapped_bytes, kInitial);
  state.pool.ReturnFreeChunks();
  EXPECT_EQ(heap().stats().mapped_bytes, kInitial);
  ExpectConserved();
}

TEST(InitialMemory, OverTheLimitOrRefusedNamesTheHeapAndTheWayOut) {
  HeapOptions options;
  options.name = "small";
  options.limit_bytes = kChunkSize;
  options.initial_bytes = kChunkSize + 1;
  auto over = CreateHeap(options);
  ASSERT_FALSE(over.ok());
  EXPECT_EQ(over.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(over.status().message().find("small"), std::string::npos);
  EXPECT_NE(over.status().message().find("limit_bytes, 2097152"), std::string::npos);
  options.initial_bytes = kChunkSize;
  platform::faults::FailNth(platform::faults::Request::kCommit, 1, false);
  auto refused = CreateHeap(options);
  platform::faults::Reset();
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), StatusCode::kResourceExhausted);
  EXPECT_NE(refused.status().message().find("initial_bytes"), std::string::npos);
  EXPECT_TRUE(CreateHeap(options).ok());
}

TEST_F(Blocks, WithoutPartIdsNoMutatorIsAttached) {
  heap();
  auto region = heap().CreateRegion({.name = "one too many"});
  ASSERT_TRUE(region.ok());
  platform::faults::FailNth(platform::faults::Request::kPartId, 1, true);
  const auto mutator = region.value()->AttachMutator("mutator");
  platform::faults::Reset();
  ASSERT_FALSE(mutator.ok());
  EXPECT_EQ(mutator.status().code(), StatusCode::kResourceExhausted);
  EXPECT_NE(mutator.status().message().find("one too many"), std::string::npos);
  EXPECT_TRUE(region.value()->AttachMutator("mutator").ok());
}

TEST(HugePagePolicy, FollowsWhatTheSystemHasAtHand) {
  EXPECT_FALSE(HugePagePolicy::Matters(HugePagePolicy::kFromBytes - 1));
  EXPECT_TRUE(HugePagePolicy::Matters(HugePagePolicy::kFromBytes));
  constexpr uint64_t kSmall = 1000;
  constexpr uint64_t kFast = HugePagePolicy::kSlowFactor * kSmall;
  HugePagePolicy policy;
  const auto small_ones = [&policy] {
    uint32_t count = 0;
    while (!policy.Wants()) ++count;
    return count;
  };
  // None before it is known what small pages cost.
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(policy.Wants());
  policy.NoteSmallPages(kSmall);
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(policy.Wants());
    policy.NoteHugePage(kFast);
  }
  // One slow one may have been interrupted.
  for (int i = 0; i < 100; ++i) {
    policy.NoteHugePage(kFast + 1);
    EXPECT_TRUE(policy.Wants());
    policy.NoteHugePage(kFast);
    EXPECT_TRUE(policy.Wants());
  }
  // Each time that more are slow more small ones follow, up to a bound.
  policy.NoteHugePage(kFast + 1);
  uint32_t expected = HugePagePolicy::kFirstPause;
  for (int i = 0; i < 12; ++i) {
    policy.NoteHugePage(kFast + 1);
    EXPECT_EQ(small_ones(), expected);
    expected = std::min(2 * expected, HugePagePolicy::kLongestPause);
  }
  // A fast one, and all is as at first.
  policy.NoteHugePage(kFast);
  policy.NoteHugePage(kFast + 1);
  EXPECT_EQ(small_ones(), 0u);
  policy.NoteHugePage(kFast + 1);
  EXPECT_EQ(small_ones(), HugePagePolicy::kFirstPause);
  // Where small pages have become dearer, huge ones may be, too.
  policy.NoteSmallPages(2 * kSmall);
  policy.NoteHugePage(2 * kFast);
  EXPECT_EQ(small_ones(), 0u);
}

// What a thread has just freed is in its processor's caches: it gets that again, and no other does.
TEST(BlockPool, ThreadsTakeFromChunksOfTheirOwn) {
  constexpr int kThreads = 3;
  constexpr int kRounds = 20;
  auto heap = CreateHeap({});
  ASSERT_TRUE(heap.ok());
  BlockPool& pool = heap.value()->state().pool;
  std::vector<std::set<BlockIndex>> chunks(kThreads);
  std::barrier turn(kThreads);
  std::vector<platform::Thread> threads;
  for (auto& mine : chunks) {
    threads.emplace_back("taker", [&pool, &mine, &turn] {
      for (int round = 0; round < kRounds; ++round) {
        std::vector<BlockIndex> blocks;
        for (int i = 0; i < 8; ++i) {
          blocks.push_back(pool.Take(1, BlockPool::Allowance::kLimit));
          mine.insert(blocks.back() / kBlocksPerChunk);
          turn.arrive_and_wait();
        }
        for (const BlockIndex block : blocks) pool.Give(block, 1);
      }
    });
  }
  for (auto& thread : threads) thread.Join();
  for (int i = 0; i < kThreads; ++i) {
    EXPECT_EQ(chunks[i].size(), 1u);
    for (int k = 0; k < i; ++k) EXPECT_NE(chunks[i], chunks[k]);
  }
}

TEST_F(Blocks, ThreadsThatComeAndGoShareAChunk) {
  std::vector<std::unique_ptr<Region>> regions(20);
  heap();
  for (auto& region : regions) {
    region = heap().CreateRegion({}).value();
    platform::Thread thread("guest", [&] {
      const std::unique_ptr<Mutator> mutator = region->AttachMutator("guest").value();
      {
        const ManagedScope managed(*mutator);
        EXPECT_TRUE(NewPair(*mutator, 1));
      }
      EXPECT_TRUE(mutator->Detach().ok());
    });
    thread.Join();
  }
  EXPECT_EQ(heap().stats().region_bytes, regions.size() * kBlockSize);
  EXPECT_EQ(heap().stats().mapped_bytes, kChunkSize);
}

TEST(BlockPool, WhereTheSystemHasNoMoreAThreadTakesFromAnothersChunk) {
  auto heap = CreateHeap({});
  ASSERT_TRUE(heap.ok());
  BlockPool& pool = heap.value()->state().pool;
  std::vector<BlockIndex> blocks{pool.Take(1, BlockPool::Allowance::kLimit)};
  ASSERT_NE(blocks.back(), kNoBlock);
  const size_t free = pool.free_blocks();
  platform::faults::FailNth(platform::faults::Request::kCommit, 1, true);
  platform::Thread other("other", [&] {
    for (;;) {
      const BlockIndex block = pool.Take(1, BlockPool::Allowance::kLimit);
      if (block == kNoBlock) return;
      blocks.push_back(block);
    }
  });
  other.Join();
  platform::faults::Reset();
  EXPECT_EQ(blocks.size(), 1 + free);
  EXPECT_EQ(pool.free_blocks(), 0u);
  for (const BlockIndex block : blocks) pool.Give(block, 1);
}

// The pool asks the system for chunks without its lock: those that ask at the same time get no
// more than the limit between them.
TEST(BlockPool, TheLimitHoldsAmongThoseWhoAskAtOnce) {
  constexpr size_t kChunks = 3;
  constexpr int kThreads = 4;
  HeapOptions options;
  options.limit_bytes = kChunks * kChunkSize;
  for (int round = 0; round < 20; ++round) {
    auto heap = CreateHeap(options);
    ASSERT_TRUE(heap.ok());
    BlockPool& pool = heap.value()->state().pool;
    std::atomic<size_t> taken{pool.used_bytes() / kBlockSize};
    std::vector<std::vector<BlockIndex>> blocks(kThreads);
    std::vector<platform::Thread> threads;
    for (auto& mine : blocks) {
      threads.emplace_back("taker", [&] {
        for (;;) {
          const size_t count = mine.size() % 5 == 4 ? kBlocksPerChunk : 1;
          const BlockIndex block = pool.Take(count, BlockPool::Allowance::kLimit);
          if (block == kNoBlock) break;
          mine.push_back(block);
          taken += count;
        }
      });
    }
    for (auto& thread : threads) thread.Join();
    EXPECT_LE(taken.load() * kBlockSize, options.limit_bytes);
    EXPECT_EQ(pool.used_bytes(), taken.load() * kBlockSize);
    for (const auto& mine : blocks) {
      for (size_t i = 0; i < mine.size(); ++i) pool.Give(mine[i], i % 5 == 4 ? kBlocksPerChunk : 1);
    }
  }
}

}  // namespace
}  // namespace Atoll
