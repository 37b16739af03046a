// Weak tables: words beside objects, for as long as these live.
#include "atoll/weak_table.h"

#include "heap/heap_state.h"
#include "heap/region_state.h"
#include "tests/heap/heap_fixture.h"

namespace Atoll {
namespace {

using ::testing::HasSubstr;
using ::testing::Optional;

class WeakTables : public HeapTest {
 protected:
  static size_t EntriesOf(TestRegion& region) {
    size_t entries = 0;
    region.region().state().ForEachPart(
        [&](Part& part) { entries += part.young_weak_entries.size() + part.weak_entries.size(); });
    return entries;
  }
};

TEST_F(WeakTables, KeepAWordPerObjectAndTable) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  const WeakTable one(heap());
  const WeakTable other(heap());
  const ObjectPtr a = NewPair(mutator, 1);
  const ObjectPtr b = NewPair(mutator, 2);
  EXPECT_EQ(one.Get(mutator, a), std::nullopt);
  ASSERT_TRUE(one.Put(mutator, a, 10).ok());
  ASSERT_TRUE(one.Put(mutator, b, 20).ok());
  ASSERT_TRUE(other.Put(mutator, a, 30).ok());
  ASSERT_TRUE(one.Put(mutator, a, 11).ok());
  EXPECT_THAT(one.Get(mutator, a), Optional(11u));
  EXPECT_THAT(one.Get(mutator, b), Optional(20u));
  EXPECT_THAT(other.Get(mutator, a), Optional(30u));
  EXPECT_TRUE(one.Remove(mutator, a));
  EXPECT_FALSE(one.Remove(mutator, a));
  EXPECT_EQ(one.Get(mutator, a), std::nullopt);
  EXPECT_THAT(other.Get(mutator, a), Optional(30u));
  EXPECT_EQ(EntriesOf(region), 2u);
}

TEST_F(WeakTables, FollowTheirKeysThroughEveryKindOfCollection) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  const WeakTable table(heap());
  constexpr size_t kCount = 5'000;
  MakeList(region, 0, 0, kCount);
  for (ObjectPtr at = region.RootObject(0); at; at = Load(at, kA)) {
    ASSERT_TRUE(table.Put(mutator, at, IdAt(at) + 100).ok());
  }
  const auto expect_all = [&] {
    ExpectValid();
    EXPECT_EQ(EntriesOf(region), kCount);
    for (ObjectPtr at = region.RootObject(0); at; at = Load(at, kA)) {
      ASSERT_THAT(table.Get(mutator, at), Optional(IdAt(at) + 100));
    }
  };
  expect_all();
  Minor(region);
  expect_all();
  Minor(region);
  expect_all();
  Major(region);
  expect_all();
  Group();
  expect_all();
}

TEST_F(WeakTables, LoseDeadKeysYoungOnesInAMinor) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  const WeakTable table(heap());
  MakeList(region, 0, 0, 10);
  MakeList(region, 1, 0, 10);
  for (const size_t root : {0, 1}) {
    for (ObjectPtr at = region.RootObject(root); at; at = Load(at, kA)) {
      ASSERT_TRUE(table.Put(mutator, at, 1).ok());
    }
  }
  region.Root(1) = 0;
  Minor(region);
  EXPECT_EQ(EntriesOf(region), 10u);
  Major(region);
  region.Root(0) = 0;
  Minor(region);
  EXPECT_EQ(EntriesOf(region), 10u) << "a minor does not know which old objects are dead";
  Major(region);
  EXPECT_EQ(EntriesOf(region), 0u);
  ExpectValid();
}

TEST_F(WeakTables, KeepTheWordsOfObjectsThatAGuardianBringsBack) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  const WeakTable table(heap());
  const ObjectPtr guarded = NewPair(mutator, 7);
  ASSERT_TRUE(table.Put(mutator, guarded, 70).ok());
  ASSERT_TRUE(mutator.AddFinalizer(guarded, FinalizerKind::kGuardian, nullptr, nullptr).ok());
  Minor(region);
  const ObjectPtr back = ObjectOf(region.region().NextGuarded());
  ASSERT_TRUE(back);
  EXPECT_THAT(table.Get(mutator, back), Optional(70u));
  Minor(region);
  EXPECT_EQ(EntriesOf(region), 0u);
}

TEST_F(WeakTables, GoWithAnAdoptedRegion) {
  const WeakTable table(heap());
  TestRegion source(heap());
  Mutator& builder = source.Enter();
  MakeList(source, 0, 0, 100);
  Major(source);
  MakeList(source, 1, 0, 100);
  for (const size_t root : {0, 1}) {
    for (ObjectPtr at = source.RootObject(root); at; at = Load(at, kA)) {
      ASSERT_TRUE(table.Put(builder, at, 1000 * root + IdAt(at)).ok());
    }
  }
  source.Leave();
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  ASSERT_TRUE(region.region().Adopt(source.region()).ok());
  for (const size_t root : {0, 1}) region.SetRoot(root, source.RootObject(root));
  source.ClearRoots();
  EXPECT_EQ(EntriesOf(source), 0u);
  for (int round = 0; round < 3; ++round) {
    ExpectValid();
    EXPECT_EQ(EntriesOf(region), 200u);
    for (const size_t root : {0, 1}) {
      for (ObjectPtr at = region.RootObject(root); at; at = Load(at, kA)) {
        ASSERT_THAT(table.Get(mutator, at), Optional(1000 * root + IdAt(at)));
      }
    }
    round == 0 ? Minor(region) : Major(region);
  }
  ASSERT_TRUE(table.Put(mutator, region.RootObject(1), 5).ok());
  EXPECT_EQ(EntriesOf(region), 200u) << "replaced where it was";
}

TEST_F(WeakTables, TakePrivateObjectsOnly) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  const WeakTable table(heap());
  const ObjectPtr shared = heap().AllocateProgram(*types().pair);
  const Status status = table.Put(mutator, shared, 1);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("shared"));
  uint64_t outside[4] = {};
  EXPECT_FALSE(table.Put(mutator, ObjectPtr(reinterpret_cast<uintptr_t>(outside)), 1).ok());
  EXPECT_EQ(table.Get(mutator, shared), std::nullopt);
  EXPECT_FALSE(table.Remove(mutator, shared));
  EXPECT_EQ(EntriesOf(region), 0u);
}

}  // namespace
}  // namespace Atoll
