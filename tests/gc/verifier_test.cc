// Does the verifier see each invariant broken, and say where? Each test breaks one behind the
// barrier's back, asks, and mends it.
#include "gc/verifier.h"

#include <array>
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "heap/heap_state.h"
#include "heap/region_state.h"
#include "safepoint/platform.h"
#include "tests/gc/gc_fixture.h"
#include "tests/heap/stressed.h"

namespace Atoll {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;

class Verifier : public GcTest {
 protected:
  /// Of the broken heap: the verifier's message.
  std::string MessageOfBrokenHeap() {
    const Status status = heap().Verify();
    EXPECT_EQ(status.code(), StatusCode::kInvariantViolated) << status.message();
    return status.message();
  }
  static std::string Hex(uintptr_t address) {
    char text[32];
    std::snprintf(text, sizeof(text), "%zx", static_cast<size_t>(address));
    return text;
  }
};

TEST_F(Verifier, AcceptsASoundHeap) {
  TestRegion region(heap());
  region.Enter();
  MakeList(region, 0, 1, 10'000);
  ExpectValid();
  Minor(region);
  ExpectValid();
  MakeList(region, 1, 1, 10'000);
  Link(region.mutator(), region.RootObject(0), kB, region.RootObject(1));
  ExpectValid();
}

TEST_F(Verifier, NamesObjectAndSlotOfAMissingBarrier) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  region.SetRoot(0, NewPair(mutator, 1));
  region.SetRoot(1, mutator.AllocateArray(*types().array, 5'000));
  Major(region);
  const ObjectPtr young = NewPair(mutator, 2);
  const ObjectPtr old = region.RootObject(0);
  SlotAt(old, kB).StoreRaw(RefOf(young));
  EXPECT_THAT(MessageOfBrokenHeap(),
              AllOf(HasSubstr("Pair"), HasSubstr(Hex(old.address())), HasSubstr("24"),
                    HasSubstr("root"), ContainsRegex("barrier|remembered")));
  SlotAt(old, kB).StoreRaw(Ref{});
  ExpectValid();
  // In a large array too.
  const ObjectPtr array = region.RootObject(1);
  SlotAt(array, ElementAt(4'000)).StoreRaw(RefOf(young));
  EXPECT_THAT(MessageOfBrokenHeap(),
              AllOf(HasSubstr("Array"), HasSubstr(Hex(array.address())), HasSubstr("root")));
  SlotAt(array, ElementAt(4'000)).StoreRaw(Ref{});
  ExpectValid();
}

TEST_F(Verifier, ShowsThePathFromARoot) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  MakeList(region, 0, 1, 3);
  Major(region);
  const ObjectPtr third = Load(Load(region.RootObject(0), kA), kA);
  SlotAt(third, kB).StoreRaw(RefOf(NewPair(mutator, 9)));
  // Every object on the way is in the message.
  EXPECT_THAT(MessageOfBrokenHeap(), AllOf(HasSubstr(Hex(region.RootObject(0).address())),
                                           HasSubstr(Hex(Load(region.RootObject(0), kA).address())),
                                           HasSubstr(Hex(third.address()))));
  SlotAt(third, kB).StoreRaw(Ref{});
  ExpectValid();
}

TEST_F(Verifier, FindsAReferenceIntoAnotherRegion) {
  RegionOptions named;
  named.name = "island";
  TestRegion other(heap(), named);
  other.Enter();
  other.SetRoot(0, NewPair(other.mutator(), 1));
  const ObjectPtr foreign = other.RootObject(0);
  other.Leave();
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  region.SetRoot(0, NewPair(mutator, 2));
  SlotAt(region.RootObject(0), kA).StoreRaw(RefOf(foreign));
  EXPECT_THAT(MessageOfBrokenHeap(), AllOf(HasSubstr("Pair"), HasSubstr("island")));
  SlotAt(region.RootObject(0), kA).StoreRaw(Ref{});
  ExpectValid();
}

TEST_F(Verifier, FindsAPrivateValueInAProgramObject) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  const ObjectPtr program = heap().AllocateProgram(*types().array, 10);
  region.SetRoot(0, NewPair(mutator, 1));
  SlotAt(program, ElementAt(3)).StoreRaw(RefOf(region.RootObject(0)));
  EXPECT_THAT(MessageOfBrokenHeap(), AllOf(HasSubstr("I2"), HasSubstr("Program object \"Array\""),
                                           HasSubstr("Pair"), HasSubstr("the Program space")));
  SlotAt(program, ElementAt(3)).StoreRaw(Ref{});
  ExpectValid();
}

TEST_F(Verifier, FindsWhereProgramObjectsReferToNoObject) {
  options().decay_nanos = 1;
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  const ObjectPtr program = heap().AllocateProgram(*types().array, 10);
  const uintptr_t freed = mutator.AllocateArray(*types().bytes, 10 << 20).address();
  Major(region);
  while (heap().ReturnFreeMemory() != UINT64_MAX) platform::YieldThread();
  const struct {
    uintptr_t target;
    const char* what;
  } wrong[] = {{program.address() + 2 * kGranule, "no object starts"}, {freed, "free memory"}};
  for (const auto& [target, what] : wrong) {
    SlotAt(program, ElementAt(3)).StoreRaw(Ref{target});
    EXPECT_THAT(MessageOfBrokenHeap(), AllOf(HasSubstr("Program object \"Array\""),
                                             HasSubstr(Hex(target)), HasSubstr(what)));
  }
  SlotAt(program, ElementAt(3)).StoreRaw(Ref{});
  ExpectValid();
}

TEST_F(Verifier, FindsAReferenceToFreeMemory) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  region.SetRoot(0, NewPair(mutator, 1));
  Major(region);
  uintptr_t address = mutator.AllocateArray(*types().bytes, 1'000'000).address();
  Major(region);
  // The pair may have moved to where it began, if several workers collect.
  const AddressSpace& space = *heap().state().space;
  while (space.info(space.BlockOf(address)).space != Space::kFree) address += kBlockSize;
  SlotAt(region.RootObject(0), kA).StoreRaw(Ref{address});
  EXPECT_THAT(MessageOfBrokenHeap(), AllOf(HasSubstr("Pair"), HasSubstr(Hex(address))));
  SlotAt(region.RootObject(0), kA).StoreRaw(Ref{});
  ExpectValid();
}

TEST_F(Verifier, FindsAReferenceThatIsNotToAnObject) {
  for (const Age age : kAges) {
    SCOPED_TRACE(ToString(age));
    TestRegion region(heap());
    region.Enter();
    MakeList(region, 0, 1, 100);
    AgeTo(region, age);
    const ObjectPtr inside(Load(region.RootObject(0), kA).address() + 8);
    SlotAt(region.RootObject(0), kB).StoreRaw(RefOf(inside));
    EXPECT_THAT(MessageOfBrokenHeap(), HasSubstr("Pair"));
    SlotAt(region.RootObject(0), kB).StoreRaw(Ref{});
    ExpectValid();
  }
}

TEST_F(Verifier, FindsAHeaderThatIsNone) {
  TestRegion region(heap());
  region.Enter();
  MakeList(region, 0, 1, 10);
  const ObjectPtr victim = Load(region.RootObject(0), kA);
  Word& header_word = *reinterpret_cast<Word*>(victim.address());
  const Word before = header_word;
  header_word = Word{header::kMaxTypeId} << header::kTypeShift;
  EXPECT_FALSE(MessageOfBrokenHeap().empty());
  header_word = before;
  ExpectValid();
}

TEST_F(Verifier, FindsARootIntoAnotherRegion) {
  TestRegion other(heap());
  other.Enter();
  other.SetRoot(0, NewPair(other.mutator(), 1));
  other.Leave();
  RegionOptions named;
  named.name = "mainland";
  TestRegion region(heap(), named);
  Mutator& mutator = region.Enter();
  region.SetRoot(0, NewPair(mutator, 2));
  region.Root(1) = other.Root(0);
  EXPECT_THAT(MessageOfBrokenHeap(), HasSubstr("mainland"));
  ASSERT_FALSE(violations().empty());
  EXPECT_EQ(violations().back().kind, Violation::Kind::kForeignRoot);
  region.Root(1) = 0;
  ExpectValid();
}

TEST_F(Verifier, FindsARootIntoFreeMemory) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  const uintptr_t gone = mutator.AllocateArray(*types().bytes, 100'000).address();
  Major(region);
  region.Root(0) = gone;
  EXPECT_THAT(MessageOfBrokenHeap(), HasSubstr("root"));
  region.Root(0) = 0;
  ExpectValid();
}

TEST_F(Verifier, ARootThatIsAnImmediateOrAForeignWordIsFine) {
  TestRegion region(heap());
  region.Enter();
  uint64_t outside = 0;
  region.Root(0) = 7;
  region.Root(1) = reinterpret_cast<Word>(&outside);
  ExpectValid();
  Major(region);
  EXPECT_EQ(region.Root(1), reinterpret_cast<Word>(&outside));
  EXPECT_TRUE(violations().empty());
}

// Another thread gives memory back meanwhile: what is free and what is mapped are of one moment.
TEST_F(Verifier, BlocksAreConservedWhileMemoryGoesBack) {
  options().decay_nanos = 20'000;
  std::vector<std::unique_ptr<Region>> idle;  // their blocks are counted in between
  for (int i = 0; i < 2'000; ++i) idle.push_back(heap().CreateRegion({}).value());
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  const uint64_t rounds = IsVerified(heap()) ? 200 : 1'000;
  std::atomic<uint64_t> round{0};
  std::atomic<uint64_t> returned{0};
  std::thread returner([&] {
    for (uint64_t i = 1; i <= rounds; ++i) {
      while (round.load() < i) platform::SpinPause();
      // At another moment of each verification.
      const uint64_t until = platform::NowNanos() + i % 100 * 500;
      while (platform::NowNanos() < until) platform::SpinPause();
      heap().ReturnFreeMemory();
      returned.store(i);
    }
  });
  for (uint64_t i = 1; i <= rounds; ++i) {
    EXPECT_TRUE(mutator.AllocateArray(*types().bytes, 4 * kChunkSize));
    Major(region);
    round.store(i);
    ExpectValid();
    while (returned.load() < i) platform::YieldThread();
  }
  returner.join();
}

TEST_F(Verifier, FindsAMutatorThatIsFreeToRun) {
  const std::unique_ptr<Region> region = heap().CreateRegion({}).value();
  const std::unique_ptr<Mutator> other = region->AttachMutator("other").value();
  const std::unique_ptr<Mutator> own = region->AttachMutator("own").value();
  const ManagedScope managed(*own);
  const RegionState& state = region->state();
  const auto free_to_run = AllOf(HasSubstr("I5"), HasSubstr("\"other\""), HasSubstr("native"));
  EXPECT_THAT(VerifyStops(state, own.get()).message(), free_to_run);
  // A stop of somebody else does not count, nor one that has ended.
  const std::array<MutatorThread*, 1> set{other.get()};
  heap().safepoints().StopMutators(set, "test", [&](const StoppedScope&) {
    EXPECT_TRUE(VerifyStops(state, own.get()).ok());
    std::thread([&] { EXPECT_THAT(VerifyStops(state, own.get()).message(), free_to_run); }).join();
    EXPECT_THAT(VerifyStops(state, nullptr).message(), HasSubstr("\"own\""));
  });
  EXPECT_THAT(VerifyStops(state, own.get()).message(), free_to_run);
  const Status status = heap().safepoints().RunWithMutatorsStopped(
      SafepointLevel::kGC, "test",
      [&](const StoppedScope&) { EXPECT_TRUE(VerifyStops(state, own.get()).ok()); });
  EXPECT_TRUE(status.ok()) << status.message();
  ExpectValid();
  EXPECT_TRUE(other->Detach().ok());
}

TEST_F(Verifier, SeesHolesListedForObjectsOfAnotherKind) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  region.SetRoot(0, mutator.Allocate(*types().still));
  Major(region);
  const AddressSpace& space = *heap().state().space;
  Part& part = *region.region().state().own;
  const BlockIndex block = part.recyclable_non_moving.Pop(space);
  ASSERT_NE(block, kNoBlock);
  part.recyclable.Push(space, block);
  EXPECT_THAT(heap().Verify().message(), ::testing::HasSubstr("for objects of another kind"));
  part.recyclable.Remove(space, block);
  part.recyclable_non_moving.Push(space, block);
  ExpectValid();
}

TEST_F(Verifier, VerifyingBeforeCollectionsCatchesAMissingBarrierAtOnce) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  options().stress.verify = true;
  EXPECT_DEATH(
      {
        TestRegion region(heap());
        Mutator& mutator = region.Enter();
        region.SetRoot(0, NewPair(mutator, 1));
        Major(region);
        SlotAt(region.RootObject(0), kB).StoreRaw(RefOf(NewPair(mutator, 2)));
        Minor(region);
      },
      "Pair");
}

}  // namespace
}  // namespace Atoll
