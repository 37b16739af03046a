// Objects of every age, and collections of every kind.
#ifndef ATOLL_TESTS_GC_GC_FIXTURE_H_
#define ATOLL_TESTS_GC_GC_FIXTURE_H_

#include <array>
#include <set>

#include "tests/heap/heap_fixture.h"

namespace Atoll {

/// How many minor collections an object has survived: none, one, or enough to be old.
enum class Age : uint8_t { kYoung, kSurvivor, kOld };
inline constexpr std::array kAges{Age::kYoung, Age::kSurvivor, Age::kOld};
inline const char* ToString(Age age) {
  constexpr const char* kNames[] = {"young", "survivor", "old"};
  return kNames[static_cast<size_t>(age)];
}

enum class Kind : uint8_t { kMinor, kMajor, kGroup };
inline constexpr std::array kKinds{Kind::kMinor, Kind::kMajor, Kind::kGroup};
inline const char* ToString(Kind kind) {
  constexpr const char* kNames[] = {"minor", "major", "group"};
  return kNames[static_cast<size_t>(kind)];
}

class GcTest : public HeapTest {
 protected:
  void Run(TestRegion& region, Kind kind) {
    switch (kind) {
      case Kind::kMinor:
        return Minor(region);
      case Kind::kMajor:
        return Major(region);
      case Kind::kGroup:
        return Group();
    }
  }
  /// A minor collection with so much garbage about that little survives: else it would be worth
  /// promoting everything at once.
  void MinorAmongGarbage(TestRegion& region) {
    for (int i = 0; i < 2'000; ++i) NewPair(region.mutator(), 0);
    Minor(region);
  }
  /// Ages all that the region's roots reach, and nothing else of the test's.
  void AgeTo(TestRegion& region, Age age) {
    for (int i = 0; i < static_cast<int>(age); ++i) MinorAmongGarbage(region);
  }
  /// Moves the words of the source's first `count` roots to the receiver's roots from `at` on.
  static void Adopt(TestRegion& receiver, TestRegion& source, size_t at, size_t count) {
    source.Leave();
    if (receiver.has_mutator()) receiver.mutator().MakeCurrent();
    const Status status = receiver.region().Adopt(source.region());
    ASSERT_TRUE(status.ok()) << status.message();
    for (size_t i = 0; i < count; ++i) receiver.Root(at + i) = source.Root(i);
    source.ClearRoots();
  }
  /// An array in root 0 of `count` pairs, of which every `keep`-th stays after Thin.
  void MakeMany(TestRegion& region, size_t count) {
    Mutator& mutator = region.mutator();
    region.SetRoot(0, mutator.AllocateArray(*types().array, count));
    for (size_t i = 0; i < count; ++i) {
      const ObjectPtr pair = NewPair(mutator, i);
      Link(mutator, region.RootObject(0), ElementAt(i), pair);
    }
  }
  static void Thin(TestRegion& region, size_t count, size_t keep) {
    for (size_t i = 0; i < count; ++i) {
      if (i % keep != 0) Link(region.mutator(), region.RootObject(0), ElementAt(i), ObjectPtr());
    }
  }
  static void ExpectThinned(TestRegion& region, size_t count, size_t keep) {
    for (size_t i = 0; i < count; i += keep) {
      const ObjectPtr pair = Load(region.RootObject(0), ElementAt(i));
      ASSERT_TRUE(pair);
      ASSERT_EQ(IdAt(pair), i);
    }
  }
  static size_t BlocksOf(TestRegion& region, size_t count, size_t keep) {
    std::set<uintptr_t> blocks;
    for (size_t i = 0; i < count; i += keep) {
      blocks.insert(Load(region.RootObject(0), ElementAt(i)).address() >> kBlockShift);
    }
    return blocks.size();
  }
  /// Whether an object that nothing strong refers to is still there after a collection.
  static bool OutlivesUnreachable(Age age, Kind kind) {
    return age == Age::kOld && kind == Kind::kMinor;
  }
};

}  // namespace Atoll

#endif  // ATOLL_TESTS_GC_GC_FIXTURE_H_
