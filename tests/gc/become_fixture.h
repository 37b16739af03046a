// Objects that become others, in a stop of their own; words are read inside it.
#ifndef ATOLL_TESTS_GC_BECOME_FIXTURE_H_
#define ATOLL_TESTS_GC_BECOME_FIXTURE_H_

#include <string>
#include <vector>

#include "atoll/become.h"
#include "gc/become.h"
#include "tests/gc/shared_fixture.h"

namespace Atoll {

class BecomeTest : public SharedSpaceTest {
 protected:
  // Where the words are read from, inside the stop.
  using Words = std::vector<const Word*>;
  static std::vector<Ref> Read(const Words& words) {
    std::vector<Ref> refs;
    for (const Word* word : words) refs.push_back(Ref{*word});
    return refs;
  }
  Status DoBecome(const Words& before, const Words& after,
                  SafepointLevel level = SafepointLevel::kReload) {
    Status result;
    const Status stopped =
        heap().safepoints().RunWithMutatorsStopped(level, "test", [&](const StoppedScope& scope) {
          result = Become(heap(), scope, Read(before), Read(after));
        });
    EXPECT_TRUE(stopped.ok()) << stopped.message();
    return result;
  }
  void ExpectBecomes(const Words& before, const Words& after) {
    const Status status = DoBecome(before, after);
    EXPECT_TRUE(status.ok()) << status.message();
    ExpectValid();
  }
  // An old pair and a large old array, in roots 2 and 3, that refer to an old pair in root 0; in
  // root 1 a young pair. Their ids are 3, 1 and 2.
  void MakeOldHolders(TestRegion& region) {
    Mutator& mutator = region.mutator();
    region.SetRoot(0, NewPair(mutator, 1));
    region.SetRoot(2, NewPair(mutator, 3));
    region.SetRoot(3, mutator.AllocateArray(*types().array, kHolders));
    Link(mutator, region.RootObject(2), kA, region.RootObject(0));
    for (size_t i = 0; i < kHolders; i += 3) {
      Link(mutator, region.RootObject(3), ElementAt(i), region.RootObject(0));
    }
    AgeTo(region, Age::kOld);
    region.SetRoot(1, NewPair(mutator, 2));
    ASSERT_TRUE(IsYoung(mutator, region.RootObject(1)));
    ASSERT_FALSE(IsYoung(mutator, region.RootObject(2)));
  }
  // They refer to the pair of this id now.
  void ExpectHeld(TestRegion& region, uint64_t id) {
    EXPECT_EQ(IdAt(Load(region.RootObject(2), kA)), id);
    for (size_t i = 0; i < kHolders; i += 3) {
      ASSERT_EQ(Load(region.RootObject(3), ElementAt(i)), Load(region.RootObject(2), kA));
    }
  }
  static constexpr size_t kHolders = 20'000;
  // An error, and nothing has been changed.
  void ExpectRefused(const Words& before, const Words& after, StatusCode code,
                     const ::testing::Matcher<const std::string&>& message) {
    const std::vector<Ref> before_words = Read(before);
    const std::vector<Ref> after_words = Read(after);
    const Status status = DoBecome(before, after);
    EXPECT_EQ(status.code(), code) << status.message();
    EXPECT_THAT(status.message(), message);
    EXPECT_EQ(Read(before), before_words);
    EXPECT_EQ(Read(after), after_words);
    ExpectValid();
  }
  // What Check says after a rewriting that leaves places out.
  Status CheckWithout(uint32_t left_out, const Words& before, const Words& after) {
    Status result;
    const Status stopped = heap().safepoints().RunWithMutatorsStopped(
        SafepointLevel::kReload, "test", [&](const StoppedScope& scope) {
          const std::vector<Ref> from = Read(before);
          const std::vector<Ref> to = Read(after);
          platform::MutexLock regions(heap().state().regions_mutex);
          BecomeRun run(heap().state(), scope);
          result = run.Prepare(from, to);
          EXPECT_TRUE(result.ok()) << result.message();
          run.NoteForCheck();
          run.Rewrite(BecomeRun::kAllPlaces & ~left_out);
          result = run.Check();
        });
    EXPECT_TRUE(stopped.ok()) << stopped.message();
    return result;
  }
};

}  // namespace Atoll

#endif  // ATOLL_TESTS_GC_BECOME_FIXTURE_H_
