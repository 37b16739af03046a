// One isolate's collections ask nothing of another.
#include "tests/isolate/isolate_fixture.h"

namespace Atoll {
namespace {

class BystanderTest : public IsolateTest {};

TEST_F(BystanderTest, IsNeverAskedToStop) {
  constexpr uint64_t kCollections = 20;
  options.heap.nursery_bytes = 256 << 10;
  options.heap.max_nursery_bytes = 256 << 10;
  Event watching;
  Event collected;
  Spawn([&](Isolate& isolate) {
    Mutator& mutator = isolate.mutator();
    const uint64_t stops = mutator.stops_asked();
    const uint64_t group_stops = heap().safepoints().group_stops();
    MakeList(isolate, 0, 0, 10);
    watching.Set();
    uint64_t polls = 0;
    while (!collected.happened()) {
      ASSERT_TRUE(isolate.Poll());
      const ObjectPtr head = ObjectOf(isolate.field(0));
      Link(mutator, head, kB, Load(head, kA));
      if (++polls % 100 != 0) continue;
      LinkNew(mutator, kB, NewPair(isolate, polls), [&] { return ObjectOf(isolate.field(0)); });
    }
    EXPECT_EQ(mutator.stops_asked(), stops);
    EXPECT_EQ(heap().safepoints().group_stops(), group_stops);
    ExpectList(ObjectOf(isolate.field(0)), 0, 10);
  });
  watching.Wait();
  RunIsolate([&](Isolate& isolate) {
    const auto stats = [&] { return isolate.mutator().region().stats(); };
    for (uint64_t round = 0; stats().minors < kCollections || stats().majors < kCollections;
         ++round) {
      MakeList(isolate, round % 4, 0, 5000);
      EXPECT_TRUE(isolate.mutator().Collect(Mutator::Collection::kMinor).ok());
      EXPECT_TRUE(isolate.mutator().Collect(Mutator::Collection::kMajor).ok());
    }
  });
  collected.Set();
  exits.WaitFor(2);
}

}  // namespace
}  // namespace Atoll
