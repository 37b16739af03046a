// Objects that the group owns: where they come from, and what may be done with them.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>

#include "tests/gc/shared_fixture.h"

namespace Atoll {
namespace {

using platform::faults::Request;
using ::testing::AllOf;
using ::testing::HasSubstr;

TEST_F(SharedSpaceTest, ObjectsAreZeroedAlignedApartAndTheGroups) {
  options().stress.poison = true;  // so that zeroes are not there by chance
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  HeldByGroup roots;
  heap().AddGroupRoots(&roots);
  SharedAllocator allocator(heap().state().shared);
  std::mt19937_64 random(1);
  for (int round = 0; round < 3; ++round) {
    std::vector<std::pair<uintptr_t, size_t>> objects;
    for (size_t i = 0; i < 3'000; ++i) {
      const size_t length = random() % (i % 100 == 0 ? 100'000 : i % 10 == 0 ? 8'000 : 150);
      const ObjectPtr object = New(allocator, *frozen().bytes, length);
      ASSERT_TRUE(object);
      ASSERT_EQ(object.address() % kGranule, 0u);
      ASSERT_EQ(mutator.TagOf(object.address()), tag::kShared);
      ASSERT_EQ(LoadFlags(object.address()), 0);
      ASSERT_TRUE(IsThere(object));
      const auto* bytes = reinterpret_cast<unsigned char*>(object.address() + kElements);
      ASSERT_TRUE(std::all_of(bytes, bytes + length, [](unsigned char byte) { return byte == 0; }));
      std::memset(reinterpret_cast<void*>(object.address() + kElements), 0xA5, length);
      objects.emplace_back(object.address(), mutator.SizeOf(object));
      if (i % 3 == 0) roots.words.push_back(object.address());
    }
    std::sort(objects.begin(), objects.end());
    for (size_t i = 1; i < objects.size(); ++i) {
      ASSERT_LE(objects[i - 1].first + objects[i - 1].second, objects[i].first);
    }
    ExpectValid();
    const HeapStats stats = heap().stats();
    EXPECT_EQ(stats.mapped_bytes, stats.free_bytes + stats.region_bytes + stats.shared_bytes);
    Group();
    ExpectValid();
  }
  for (const Word word : roots.words) {
    const ObjectPtr object(word);
    const auto* bytes = reinterpret_cast<unsigned char*>(object.address() + kElements);
    ASSERT_TRUE(std::all_of(bytes, bytes + mutator.LengthOf(object),
                            [](unsigned char byte) { return byte == 0xA5; }));
  }
  heap().RemoveGroupRoots(&roots);
}

TEST_F(SharedSpaceTest, ALimitRefusesAndACollectionMakesRoom) {
  options().limit_bytes = 8 << 20;
  TestRegion region(heap());
  region.Enter();
  SharedAllocator allocator(heap().state().shared);
  for (const size_t length : {size_t{16}, size_t{1'000}, size_t{100'000}}) {
    SCOPED_TRACE(length);
    size_t bytes = 0;
    while (New(allocator, *frozen().bytes, length)) bytes += length;
    EXPECT_GE(bytes, size_t{4} << 20);
    EXPECT_LE(heap().stats().mapped_bytes - heap().stats().free_bytes, size_t{8} << 20);
    ExpectValid();
    EXPECT_FALSE(New(allocator, *frozen().bytes, size_t{1} << 40));
    ExpectValid();
    Group();
    EXPECT_EQ(SharedBytes(), 0u);
    EXPECT_TRUE(New(allocator, *frozen().bytes, length));
  }
  EXPECT_TRUE(violations().empty());
}

TEST_F(SharedSpaceTest, TheSystemsRefusalIsAnOrdinaryZero) {
  TestRegion region(heap());
  region.Enter();
  SharedAllocator allocator(heap().state().shared);
  platform::faults::FailNth(Request::kCommit, 1, true);
  EXPECT_FALSE(New(allocator, *frozen().bytes, 64 << 20));
  platform::faults::Reset();
  ExpectValid();
  EXPECT_TRUE(New(allocator, *frozen().bytes, 64 << 20));
}

TEST_F(SharedSpaceTest, LinesOfTheDeadAreAllocatedIntoAgain) {
  TestRegion region(heap());
  region.Enter();
  HeldByGroup roots;
  heap().AddGroupRoots(&roots);
  constexpr size_t kPairs = 20'000;  // 20 blocks
  constexpr size_t kEvery = 64;      // one line in sixteen stays in use
  {
    SharedAllocator allocator(heap().state().shared);
    for (size_t i = 0; i < kPairs; ++i) {
      const ObjectPtr pair = NewSharedPair(allocator, i);
      if (i % kEvery == 0) roots.words.push_back(pair.address());
    }
  }
  const size_t before = SharedBytes();
  Group();
  EXPECT_EQ(SharedBytes(), before) << "some object of each block is alive";
  SharedAllocator allocator(heap().state().shared);
  for (size_t i = 0; i < kPairs / 10 * 9; ++i) {
    const ObjectPtr pair = NewSharedPair(allocator, i);
    ASSERT_EQ(std::count(roots.words.begin(), roots.words.end(), pair.address()), 0);
  }
  EXPECT_EQ(SharedBytes(), before);
  for (size_t i = 0; i < roots.words.size(); ++i) {
    ASSERT_EQ(IdAt(ObjectPtr(roots.words[i])), i * kEvery);
  }
  ExpectValid();
  heap().RemoveGroupRoots(&roots);
}

TEST_F(SharedSpaceTest, WhatAnAllocatorHadAtHandIsFoundWhileItLivesAndAfterwards) {
  TestRegion region(heap());
  region.Enter();
  HeldByGroup roots;
  heap().AddGroupRoots(&roots);
  auto first = std::make_unique<SharedAllocator>(heap().state().shared);
  SharedAllocator second(heap().state().shared);
  roots.words.push_back(NewSharedPair(*first, 1).address());
  roots.words.push_back(New(second, *frozen().bytes, 5'000).address());
  EXPECT_EQ(SharedBytes(), 2 * kBlockSize);
  ExpectValid();
  Group();
  EXPECT_TRUE(IsThere(roots.words[0]));
  EXPECT_TRUE(IsThere(roots.words[1]));
  first.reset();
  NewSharedPair(second, 2);
  EXPECT_EQ(SharedBytes(), 2 * kBlockSize) << "the first one's block is used on";
  ExpectValid();
  heap().RemoveGroupRoots(&roots);
}

TEST_F(SharedSpaceTest, SharedObjectsAreNeverWritten) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  SharedAllocator allocator(heap().state().shared);
  const ObjectPtr pair = NewSharedPair(allocator, 1);
  Link(mutator, pair, kA, pair);
  ASSERT_EQ(violations().size(), 1u);
  EXPECT_EQ(violations()[0].kind, Violation::Kind::kStoreIntoShared);
  EXPECT_FALSE(Load(pair, kA));
  const ObjectPtr bytes = New(allocator, *frozen().bytes, 100);
  const Status shrunk = mutator.ShrinkInPlace(bytes, 50);
  EXPECT_EQ(shrunk.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(shrunk.message(), AllOf(HasSubstr("FrozenBytes"), HasSubstr("shared")));
  EXPECT_EQ(mutator.LengthOf(bytes), 100u);
  const Status changed = mutator.ChangeType(pair, *types().pair);
  EXPECT_EQ(changed.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(changed.message(), AllOf(HasSubstr("FrozenPair"), HasSubstr("shared")));
  EXPECT_EQ(&mutator.TypeOf(pair), frozen().pair);
  // But for the identity hash, which all regions agree about.
  const uint32_t hash = mutator.IdentityHash(pair);
  mutator.EnterNative();
  TestRegion other(heap());
  EXPECT_EQ(other.Enter().IdentityHash(pair), hash);
}

TEST_F(SharedSpaceTest, WhatAnotherMutatorStoresOverStaysWhileAScopeIsOpen) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  const std::unique_ptr<Mutator> other = region.region().AttachMutator("other").value();
  SharedAllocator allocator(heap().state().shared);
  region.SetRoot(0, NewPair(mutator, 1));
  const ObjectPtr raw = NewSharedPair(allocator, 5);
  Link(mutator, region.RootObject(0), kA, raw);
  {
    const NoCollectScope scope(mutator);
    mutator.EnterNative();
    other->LeaveNative();
    Link(*other, region.RootObject(0), kA, ObjectPtr());
    ASSERT_TRUE(other->Detach().ok());
    mutator.LeaveNative();
    Group();
    ASSERT_TRUE(IsThere(raw));
    EXPECT_EQ(IdAt(raw), 5u);
    ExpectValid();
  }
  Group();
  EXPECT_FALSE(IsThere(raw));
  ExpectValid();
}

TEST_F(SharedSpaceTest, TheLogSaysWhatWasFoundAndFreed) {
  std::vector<std::string> lines;
  options().gc_log = [](const char* line, void* data) {
    static_cast<std::vector<std::string>*>(data)->emplace_back(line);
  };
  options().gc_log_data = &lines;
  TestRegion region(heap());
  region.Enter();
  SharedAllocator allocator(heap().state().shared);
  region.SetRoot(0, NewSharedList(allocator, 1, 100));
  New(allocator, *frozen().bytes, 3 * kBlockSize);
  Group();
  ASSERT_FALSE(lines.empty());
  const nlohmann::json line = nlohmann::json::parse(lines.back(), nullptr, false);
  EXPECT_EQ(line.value("event", ""), "group");
  EXPECT_EQ(line.value("shared_objects", 0), 100);
  EXPECT_EQ(line.value("shared_live_bytes", size_t{0}), 100 * sizeof(PairObject));
  EXPECT_EQ(line.value("shared_freed_blocks", 0), 4);
  EXPECT_EQ(line.value("shared_bytes", size_t{0}), kBlockSize);
  EXPECT_EQ(SharedBytes(), kBlockSize);
}

}  // namespace
}  // namespace Atoll
