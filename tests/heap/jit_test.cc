// Do the inline paths that a code generator emits from JitDescriptor agree with the C++ ones? They
// are carried out here by hand, word by word.
#include "atoll/jit.h"

#include <thread>

#include "tests/heap/heap_fixture.h"

namespace Atoll {
namespace {

class Jit : public HeapTest {
 protected:
  const JitDescriptor& jit() { return JitDescriptor::Get(); }

  template <typename T = uint64_t>
  static T& Field(const void* base, size_t offset) {
    return *reinterpret_cast<T*>(reinterpret_cast<uintptr_t>(base) + offset);
  }

  ObjectPtr Allocate(Mutator& mutator, const Type& type) {
    const size_t size = Field<uint32_t>(&type, jit().type_inline_size);
    uint64_t& top = Field(&mutator, jit().top);
    if (Field(&mutator, jit().limit) - top < size) {
      const size_t fixed_size = Field<uint32_t>(&type, jit().type_fixed_size);
      return ObjectPtr(jit().allocate_slow(&mutator, &type, fixed_size));
    }
    const uintptr_t object = top;
    top += size;
    for (size_t at = 0; at < size; at += 8) Field(nullptr, object + at) = 0;
    Field(nullptr, object) = Field(&type, jit().type_header_word);
    return ObjectPtr(object);
  }
  uint32_t TagOf(Mutator& mutator, uintptr_t address) {
    const uint64_t tags = Field(&mutator, jit().tags);
    return Field<uint32_t>(nullptr, tags + 4 * (address >> jit().block_shift));
  }
  void StoreSlot(Mutator& mutator, ObjectPtr object, size_t offset, Word value) {
    const uint32_t young = Field<uint32_t>(&mutator, jit().young_tag);
    const uint32_t object_tag = TagOf(mutator, object.address());
    const uintptr_t slot = object.address() + offset;
    if (object_tag != young) {
      if ((object_tag & jit().tag_shared) != 0) {
        return jit().store_into_shared_slow(&mutator, object.address(), slot, value);
      }
      const bool in_reservation =
          value - Field(&mutator, jit().base) < Field(&mutator, jit().reservation_size);
      if (value % 8 == 0 && in_reservation && TagOf(mutator, value) == young &&
          (Field<uint8_t>(nullptr, object.address()) & jit().flag_remembered) == 0) {
        jit().remember_slow(&mutator, object.address(), slot);
      }
    }
    Field(nullptr, slot) = value;
  }
};

TEST_F(Jit, ConstantsAreTheLayouts) {
  EXPECT_EQ(jit().version, 3u);
  EXPECT_EQ(size_t{1} << jit().block_shift, kBlockSize);
  EXPECT_EQ(jit().header_size, kHeaderSize);
  EXPECT_EQ(jit().granule, kGranule);
  EXPECT_EQ(jit().large_object_threshold, kLargeObjectThreshold);
  EXPECT_EQ(jit().tag_shared, tag::kShared);
  EXPECT_EQ(jit().flag_remembered, header::kRemembered);
  EXPECT_EQ(&JitDescriptor::Get(), &jit());
}

TEST_F(Jit, AllocationsInterleaveWithTheInlineOnes) {
  options().nursery_bytes = 128 * 1024;
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  for (size_t i = 0; i < 50'000; ++i) {
    const ObjectPtr object = i % 2 == 0 ? Allocate(mutator, *types().pair) : NewPair(mutator, i);
    ASSERT_TRUE(object);
    ASSERT_EQ(&mutator.TypeOf(object), types().pair);
    ASSERT_EQ(SlotAt(object, kA).Load().word, 0u);
    IdAt(object) = i;
    // By hand too, so that what is young and what is old meets the barrier.
    StoreSlot(mutator, object, kA, i % 100 == 0 ? 0 : region.Root(0));
    region.SetRoot(0, object);
  }
  uint64_t expected = 49'999;
  size_t count = 0;
  for (ObjectPtr at = region.RootObject(0); at; at = Load(at, kA)) {
    ASSERT_EQ(IdAt(at), expected--);
    ++count;
  }
  EXPECT_EQ(count, 100u);
  EXPECT_GE(region.region().stats().minors, 5u);
  ExpectValid();
}

TEST_F(Jit, NonMovingTypesTakeTheSlowPath) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  NewPair(mutator, 1);
  region.SetRoot(0, Allocate(mutator, *types().still));
  const ObjectPtr born = region.RootObject(0);
  EXPECT_FALSE(IsYoung(mutator, born));
  Minor(region);
  Major(region);
  EXPECT_EQ(region.RootObject(0), born);
}

TEST_F(Jit, ArraysOfTheSlowPath) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  const ObjectPtr array(jit().allocate_array_slow(&mutator, types().array, 20));
  ASSERT_TRUE(array);
  EXPECT_EQ(mutator.LengthOf(array), 20u);
}

TEST_F(Jit, TheBarrierRemembersAndRefuses) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  region.SetRoot(0, NewPair(mutator, 1));
  region.SetRoot(1, mutator.AllocateArray(*types().array, 5'000));
  Major(region);
  EXPECT_EQ(TagOf(mutator, region.RootObject(0).address()),
            mutator.TagOf(region.RootObject(0).address()));
  const Word young = Allocate(mutator, *types().pair).address();
  EXPECT_EQ(TagOf(mutator, young), mutator.young_tag());
  StoreSlot(mutator, region.RootObject(0), kA, young);
  StoreSlot(mutator, region.RootObject(1), ElementAt(4'000), young);
  ExpectValid();
  Minor(region);
  EXPECT_EQ(Load(region.RootObject(0), kA), Load(region.RootObject(1), ElementAt(4'000)));
  const ObjectPtr program = heap().AllocateProgram(*types().pair);
  StoreSlot(mutator, program, kA, region.Root(0));
  EXPECT_EQ(violations().size(), 1u);
  EXPECT_EQ(SlotAt(program, kA).Load().word, 0u);
}

TEST_F(Jit, ThePollWordIsSetWhenSomebodyAsks) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  EXPECT_EQ(Field<uint32_t>(&mutator, jit().poll_word), 0u);
  mutator.RequestPoll(1);
  EXPECT_NE(Field<uint32_t>(&mutator, jit().poll_word), 0u);
  jit().poll_slow(&mutator);
  EXPECT_EQ(Field<uint32_t>(&mutator, jit().poll_word), 0u);
  EXPECT_EQ(Field<uint32_t>(&mutator, jit().state), static_cast<uint32_t>(MutatorState::kManaged));
  mutator.EnterNative();
  EXPECT_EQ(Field<uint32_t>(&mutator, jit().state), static_cast<uint32_t>(MutatorState::kNative));
  mutator.LeaveNative();
}

TEST_F(Jit, HandlesAreBumped) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  HandleScope scope(mutator);
  EXPECT_EQ(Field(&mutator, jit().handle_next), Field(&mutator, jit().handle_limit));
  LocalRef first(mutator, Ref{76});
  const uint64_t before = Field(&mutator, jit().handle_next);
  ASSERT_LT(before, Field(&mutator, jit().handle_limit));
  LocalRef local(mutator, Ref{77});
  EXPECT_EQ(Field(&mutator, jit().handle_next), before + 8);
  EXPECT_EQ(Field(nullptr, before), 77u);
}

}  // namespace
}  // namespace Atoll
