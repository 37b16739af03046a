// Copying from a region whose other mutators go on: they store, publish, pin and flip meanwhile.
#include <atomic>
#include <random>
#include <thread>

#include "heap/flip_to_shared.h"
#include "heap/shared_allocator.h"
#include "tests/isolate/graph_fixture.h"

namespace Atoll {
namespace {

class SharedSource : public GraphTest {
 protected:
  static constexpr size_t kElementCount = ATOLL_TSAN ? 1'500 : 3'000;
  static constexpr size_t kFrozenLength = 20'000;

  const Type& Frozen(const std::string& name, Layout layout, uint32_t size, uint32_t element) {
    TypeInfo info;
    info.name = name;
    info.layout = layout;
    info.fixed_size = size;
    info.element_size = element;
    info.length_offset = element == 0 ? 0 : 16;
    info.flags.deeply_immutable = true;
    return *heap().RegisterType(info).value();
  }
};

TEST_F(SharedSource, CopiesAreWholeWhateverTheOthersDo) {
  const Type& frozen = Frozen("Frozen", Layout::kLeaf, 16, 0);             // { header, id }
  const Type& frozen_bytes = Frozen("FrozenBytes", Layout::kLeaf, 24, 1);  // { header, id, length }
  TestRegion source(heap());
  Mutator& mutator = source.Enter();
  source.SetRoot(0, mutator.AllocateArray(*types().array, kElementCount));
  for (size_t i = 0; i < kElementCount; ++i) {
    LinkNew(mutator, ElementAt(i), NewPair(mutator, i), [&] { return source.RootObject(0); });
  }
  std::atomic<bool> done{false};
  std::atomic<size_t> flips{0};
  std::atomic<size_t> collections{0};
  std::thread storing([&] {
    std::mt19937_64 random(1);
    const std::unique_ptr<Mutator> other = source.region().AttachMutator("other").value();
    {
      SharedAllocator allocator(heap().state().shared);
      other->LeaveNative();
      for (size_t n = 0; !done.load(); ++n) {
        const size_t i = random() % kElementCount;
        ObjectPtr object;
        if (n % 64 == 0) {
          object = other->AllocateArray(frozen_bytes, kFrozenLength);
        } else if (n % 2 == 0) {
          object = NewPair(*other, i);
        } else {
          object = ObjectPtr(allocator.Allocate(frozen.fixed_size));
          *reinterpret_cast<Word*>(object.address()) = frozen.header_word;
        }
        IdAt(object) = i;
        const ObjectPtr array = source.RootObject(0);
        Exchange(*other, array, SlotAt(array, ElementAt(i)), RefOf(object));  // publishes it
        const ObjectPtr element = Load(array, ElementAt(random() % kElementCount));
        if (&other->TypeOf(element) == &frozen_bytes) {
          if (n % 4 == 0) {
            if (FlipToShared(*other, element).ok()) ++flips;
          } else if (other->Pin(element).ok()) {
            other->Poll();
            EXPECT_TRUE(other->Unpin(element).ok());
          }
        }
        if (n % 16 == 0) NativeScope native(*other);
        other->Poll();
      }
      other->EnterNative();
    }
    ASSERT_TRUE(other->Detach().ok());
  });
  std::thread collecting([&] {
    while (!done.load()) {
      EXPECT_TRUE(heap().CollectAll().ok());
      ++collections;
      const Status status = heap().Verify();
      EXPECT_TRUE(status.ok()) << status.message();
    }
  });
  TestRegion receiver(heap());
  const std::unique_ptr<Region> region = heap().CreateRegion({.name = "message"}).value();
  const std::unique_ptr<Mutator> destination = region->AttachMutator("message").value();
  auto copy_again_and_again = [&] {
    for (int round = 0; round < 16 || flips.load() < 10 || collections.load() < 10; ++round) {
      if (round % 4 == 3) {
        ASSERT_TRUE(heap().CollectAll().ok());
      }
      // Stops are answered, and the copy stays where it is until it has been compared.
      NoCollectScope scope(mutator);
      Ref copied;
      const bool publishes = round % 2 == 0;
      const Status status = copier().CopyInto(mutator, Ref{source.Root(0)}, *destination, &copied,
                                              {.publishes = publishes});
      ASSERT_TRUE(status.ok()) << status.message();
      if (!copier().Commit(mutator)) {
        EXPECT_TRUE(publishes);
        ASSERT_TRUE(region->Clear().ok());
        continue;
      }
      ASSERT_TRUE(receiver.region().Adopt(*region).ok());
      receiver.Root(0) = copied.word;
      mutator.Poll();
      for (size_t i = 0; i < kElementCount; ++i) {
        ASSERT_EQ(IdAt(Load(receiver.RootObject(0), ElementAt(i))), i);
      }
    }
  };
  copy_again_and_again();
  done.store(true);
  {
    NativeScope native(mutator);
    storing.join();
    collecting.join();
  }
  ExpectValid();
}

}  // namespace
}  // namespace Atoll
