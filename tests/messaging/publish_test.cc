// Publish and StoreShared: values that all isolates use, and what cannot be one.
#include <cstring>
#include <thread>

#include "heap/region_state.h"
#include "tests/messaging/messaging_fixture.h"

namespace Atoll {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class PublishTest : public MessagingTest {
 protected:
  void SetUp() override {
    TypeInfo info;
    info.layout = Layout::kFixed;
    info.fixed_size = sizeof(PairObject);
    info.ref_offsets = {kA, kB};
    info.flags.deeply_immutable = true;
    info.name = "FrozenPair";
    with_identity_ = heap().RegisterType(info).value();
    info.name = "Value";
    info.flags.identity_free = true;
    value_ = heap().RegisterType(info).value();
    info = TypeInfo();
    info.name = "FrozenBytes";
    info.fixed_size = kElements;
    info.element_size = 1;
    info.length_offset = 8;
    info.flags.deeply_immutable = true;
    bytes_ = heap().RegisterType(info).value();
  }
  ObjectPtr New(Isolate& isolate, const Type& type, uint64_t id) {
    const ObjectPtr object = isolate.mutator().Allocate(type);
    IdAt(object) = id;
    return object;
  }
  /// A list of values linked by `a`, in a field.
  void MakeValues(Isolate& isolate, size_t field, uint64_t first, size_t count) {
    SetField(isolate, field, Ref{});
    for (size_t i = count; i-- > 0;) {
      const ObjectPtr object = New(isolate, *value_, first + i);
      StoreInitial(isolate.mutator(), object, SlotAt(object, kA), isolate.field(field));
      SetField(isolate, field, RefOf(object));
    }
  }
  void MakeLarge(Isolate& isolate, size_t field) {
    SetField(isolate, field, RefOf(isolate.mutator().AllocateArray(*bytes_, 50'000)));
  }
  static Ref MustPublish(Isolate& isolate, Ref root) {
    auto published = Publish(isolate, root);
    EXPECT_TRUE(published.ok()) << published.status().message();
    return published.ok() ? published.value() : Ref{};
  }
  static bool IsShared(Isolate& isolate, Ref ref) {
    return (isolate.mutator().TagOf(ref.word) & tag::kShared) != 0;
  }
  ObjectPtr NewProgram() { return heap().AllocateProgram(*types().array, 4); }

  const Type* value_ = nullptr;
  const Type* with_identity_ = nullptr;
  const Type* bytes_ = nullptr;
};

TEST_F(PublishTest, SmallValuesAreCopiedAndLargeOnesStayWhereTheyAre) {
  RunIsolate([&](Isolate& isolate) {
    EXPECT_EQ(MustPublish(isolate, Immediate(5)), Immediate(5));
    for (const size_t count : {1u, 100u, 3'000u}) {
      MakeValues(isolate, 0, 1, count);
      MakeLarge(isolate, 1);
      const Ref large = isolate.field(1);
      ObjectPtr head = ObjectOf(isolate.field(0));
      StoreInitial(isolate.mutator(), head, SlotAt(head, kB), large);
      SetField(isolate, 2, MustPublish(isolate, isolate.field(0)));
      EXPECT_NE(isolate.field(2), isolate.field(0));
      EXPECT_TRUE(IsShared(isolate, isolate.field(2)));
      ExpectList(ObjectOf(isolate.field(2)), 1, count);
      EXPECT_EQ(Load(ObjectOf(isolate.field(2)), kB), ObjectOf(large));
      EXPECT_TRUE(IsShared(isolate, large));
      EXPECT_EQ(MustPublish(isolate, isolate.field(2)), isolate.field(2)) << "shared already";
      MakeLarge(isolate, 1);
      EXPECT_EQ(MustPublish(isolate, isolate.field(1)), isolate.field(1));
      EXPECT_TRUE(IsShared(isolate, isolate.field(1)));
      SetField(isolate, 0, Ref{});
      SetField(isolate, 1, Ref{});
      {
        NativeScope native(isolate.mutator());
        CollectAll();
        ExpectValid();
      }
      ExpectList(ObjectOf(isolate.field(2)), 1, count);
    }
  });
}

TEST_F(PublishTest, SmallValuesLieSideBySide) {
  constexpr size_t kValues = 2'000;
  RunIsolate([&](Isolate& isolate) {
    Mutator& mutator = isolate.mutator();
    SetField(isolate, 0, RefOf(mutator.AllocateArray(*types().array, kValues)));
    for (int round = 0; round < 3; ++round) {  // the room of the dead is used again
      for (size_t i = 0; i < kValues; ++i) {
        const Ref value = MustPublish(isolate, RefOf(New(isolate, *value_, i)));
        const ObjectPtr array = ObjectOf(isolate.field(0));
        Store(mutator, array, SlotAt(array, ElementAt(i)), value);
      }
      for (size_t i = 0; i < kValues; ++i) {
        ASSERT_EQ(IdAt(Load(ObjectOf(isolate.field(0)), ElementAt(i))), i);
      }
      NativeScope native(mutator);
      CollectAll();
      ExpectValid();
      EXPECT_LE(heap().stats().shared_bytes, 2 * kValues * sizeof(PairObject) + 4 * kBlockSize);
    }
  });
}

TEST_F(PublishTest, WhatChangesOrHasAnIdentityIsRefused) {
  RunIsolate([&](Isolate& isolate) {
    Mutator& mutator = isolate.mutator();
    const auto refused = [&](Ref root) {
      auto published = Publish(isolate, root);
      EXPECT_EQ(published.status().code(), StatusCode::kInvalidArgument);
      return published.status().message();
    };
    MakeLarge(isolate, 1);
    MakeValues(isolate, 0, 1, 2);
    ObjectPtr head = ObjectOf(isolate.field(0));
    StoreInitial(mutator, head, SlotAt(head, kB), isolate.field(1));
    SetField(isolate, 2, RefOf(NewPair(isolate, 1)));
    const ObjectPtr last = Load(ObjectOf(isolate.field(0)), kA);
    StoreInitial(mutator, last, SlotAt(last, kB), isolate.field(2));
    EXPECT_THAT(
        refused(isolate.field(0)),
        AllOf(HasSubstr("type \"Pair\" cannot be published"), HasSubstr("not deeply immutable"),
              HasSubstr("root -> \"Value\" slot 0 -> \"Value\" slot 1 -> \"Pair\"")));
    SetField(isolate, 2, RefOf(New(isolate, *with_identity_, 1)));
    const ObjectPtr now_last = Load(ObjectOf(isolate.field(0)), kA);
    StoreInitial(mutator, now_last, SlotAt(now_last, kB), isolate.field(2));
    EXPECT_THAT(refused(isolate.field(0)),
                AllOf(HasSubstr("\"FrozenPair\""), HasSubstr("it has an identity")));
    EXPECT_FALSE(IsShared(isolate, isolate.field(1))) << "nothing has changed";
    ASSERT_TRUE(mutator.Pin(ObjectOf(isolate.field(1))).ok());
    EXPECT_THAT(refused(isolate.field(1)), HasSubstr("\"FrozenBytes\""));
  });
  EXPECT_EQ(heap().stats().shared_bytes, 0u);
}

TEST_F(PublishTest, StoreSharedTakesProgramObjectsAlone) {
  const ObjectPtr constants = NewProgram();
  RunIsolate([&](Isolate& isolate) {
    Mutator& mutator = isolate.mutator();
    MakeValues(isolate, 0, 1, 3);
    auto stored =
        StoreShared(isolate, constants, SlotAt(constants, ElementAt(1)), isolate.field(0));
    ASSERT_TRUE(stored.ok()) << stored.status().message();
    EXPECT_EQ(RefOf(Load(constants, ElementAt(1))), stored.value());
    const ObjectPtr pair = NewPair(isolate, 1);
    SetField(isolate, 1, RefOf(pair));
    auto own = StoreShared(isolate, pair, SlotAt(pair, kA), Immediate(1));
    EXPECT_THAT(own.status().message(), HasSubstr("Program objects"));
    auto shared =
        StoreShared(isolate, ObjectOf(stored.value()), SlotAt(ObjectOf(stored.value()), kA), Ref{});
    EXPECT_EQ(shared.status().code(), StatusCode::kInvalidArgument);
    auto outside = StoreShared(isolate, constants, SlotAt(constants, ElementAt(4)), Immediate(1));
    EXPECT_THAT(outside.status().message(), HasSubstr("outside its object"));
    auto mutable_value =
        StoreShared(isolate, constants, SlotAt(constants, ElementAt(1)), isolate.field(1));
    EXPECT_THAT(mutable_value.status().message(), HasSubstr("not deeply immutable"));
    EXPECT_EQ(RefOf(Load(constants, ElementAt(1))), stored.value()) << "the old value stays";
    EXPECT_TRUE(mutator.Collect(Mutator::Collection::kMajor).ok());
  });
  for (int i = 0; i < 2; ++i) {
    CollectAll();
    ExpectValid();
    ExpectList(Load(constants, ElementAt(1)), 1, 3);
  }
  SlotAt(constants, ElementAt(1)).StoreRaw(Ref{});
}

// A cache of the group: isolates fill it and read it at the same time, while it is collected.
TEST_F(PublishTest, ACacheThatAllIsolatesUse) {
  constexpr size_t kIsolates = 4;
  constexpr size_t kRounds = ATOLL_TSAN || ATOLL_ASAN ? 500 : 4'000;
  constexpr size_t kSlots = 4;
  const ObjectPtr cache = NewProgram();
  std::atomic<size_t> left{kIsolates};
  for (size_t n = 0; n < kIsolates; ++n) {
    Spawn([&, n](Isolate& isolate) {
      for (size_t i = 0; i < kRounds; ++i) {
        const Slot slot = SlotAt(cache, ElementAt((i + n) % kSlots));
        const Ref found = slot.LoadAcquire();
        if (found.word != 0) {
          const ObjectPtr head = ObjectOf(found);
          ExpectList(head, IdAt(head), IdAt(head) % 50 + 1);
        }
        MakeValues(isolate, 0, i, i % 50 + 1);
        auto stored = StoreShared(isolate, cache, slot, isolate.field(0));
        ASSERT_TRUE(stored.ok()) << stored.status().message();
        ExpectList(ObjectOf(stored.value()), i, i % 50 + 1);
        isolate.Poll();
      }
      --left;
    });
  }
  while (left.load() != 0) {
    CollectAll();
    ExpectValid();
  }
  exits.WaitFor(kIsolates);
  for (size_t i = 0; i < kSlots; ++i) SlotAt(cache, ElementAt(i)).StoreRaw(Ref{});
}

}  // namespace
}  // namespace Atoll
