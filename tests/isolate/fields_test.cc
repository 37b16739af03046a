// The program says which static fields there are; each isolate has its own values.
#include <cstring>
#include <set>

#include "heap/flip_to_shared.h"
#include "isolate/own_fields.h"
#include "tests/isolate/isolate_fixture.h"

namespace Atoll {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class FieldsTest : public IsolateTest {
 protected:
  size_t AddField(Ref initial) {
    Result<size_t> index = group().program().AddField(initial);
    EXPECT_TRUE(index.ok()) << index.status().message();
    return index.ok() ? index.value() : SIZE_MAX;
  }
  /// Fields 0 .. count - 1, each with its index as a value.
  void AddNumbered(size_t count) {
    std::vector<Ref> values;
    for (size_t i = 0; i < count; ++i) values.push_back(Immediate(i));
    Result<size_t> first = group().program().AddFields(values);
    ASSERT_TRUE(first.ok()) << first.status().message();
    EXPECT_EQ(first.value(), 0u);
  }
};

TEST_F(FieldsTest, AnIsolateReadsInitialValuesAndWritesItsOwn) {
  AddNumbered(10'000);
  EXPECT_EQ(group().program().field_count(), 10'000u);
  const auto write_and_read = [](Isolate& isolate) {
    for (size_t i = 0; i < 10'000; i += 7) SetField(isolate, i, Immediate(1'000'000 + i));
    for (size_t i = 0; i < 10'000; ++i) {
      ASSERT_EQ(ValueOf(isolate.field(i)), i % 7 == 0 ? 1'000'000 + i : i);
    }
    EXPECT_EQ(isolate.field(10'000), Ref{});
  };
  RunIsolate(write_and_read);
  RunIsolate([](Isolate& isolate) {
    for (size_t i = 0; i < 10'000; ++i) ASSERT_EQ(ValueOf(isolate.field(i)), i);
  });
  RunIsolate(write_and_read);
  EXPECT_EQ(ValueOf(group().program().InitialField(7)), 7u);
}

TEST_F(FieldsTest, TheFirstWriteTakesMemoryForItsNeighboursAlone) {
  AddNumbered(100'000);
  RunIsolate([this](Isolate& isolate) {
    GroupAllocator& allocator = heap().state().allocator;
    const size_t before = allocator.bytes();
    for (size_t i = 0; i < 100'000; ++i) ASSERT_EQ(ValueOf(isolate.field(i)), i);
    EXPECT_EQ(allocator.bytes(), before);
    SetField(isolate, 99'999, Immediate(1));
    const size_t after_one = allocator.bytes();
    EXPECT_LT(after_one - before, 1'024u);
    for (size_t i = 99'968; i < 99'999; ++i) SetField(isolate, i, Immediate(2));
    EXPECT_EQ(allocator.bytes(), after_one);
    EXPECT_EQ(ValueOf(isolate.field(99'967)), 99'967u);
  });
}

TEST_F(FieldsTest, AFieldAddedLaterShowsItsInitialValueBesideOnesWritten) {
  for (const size_t written : {0u, 64u}) {
    const size_t base = group().program().field_count();
    ASSERT_EQ(base, written);
    AddField(Immediate(10));
    Event has_written;
    Event has_added;
    const IsolateId id = Spawn([&](Isolate& isolate) {
      SetField(isolate, base, Immediate(11));
      // Before the program has it: the isolate's own value stands.
      SetField(isolate, base + 2, Immediate(12));
      has_written.Set();
      has_added.Wait(isolate);
      EXPECT_EQ(ValueOf(isolate.field(base)), 11u);
      EXPECT_EQ(ValueOf(isolate.field(base + 1)), 101u);
      EXPECT_EQ(ValueOf(isolate.field(base + 2)), 12u);
      EXPECT_EQ(ValueOf(isolate.field(base + 3)), 103u);
      EXPECT_EQ(isolate.field(base + 64), Ref{});
    });
    has_written.Wait();
    for (size_t i = 1; i < 64; ++i) EXPECT_EQ(AddField(Immediate(100 + i)), base + i);
    has_added.Set();
    EXPECT_EQ(exits.WaitFor(id).reason, ExitReason::kReturned);
  }
}

TEST_F(FieldsTest, OwnValuesAreRootsWhereverTheyAre) {
  AddNumbered(5'000);
  RunIsolate([this](Isolate& isolate) {
    for (size_t i = 0; i < 5'000; i += 50) SetField(isolate, i, RefOf(NewPair(isolate, i)));
    for (const auto kind : {Mutator::Collection::kMinor, Mutator::Collection::kMajor}) {
      ASSERT_TRUE(isolate.mutator().Collect(kind).ok());
      ExpectValid();
      for (size_t i = 0; i < 5'000; ++i) {
        if (i % 50 == 0) {
          ASSERT_EQ(IdAt(ObjectOf(isolate.field(i))), i);
        } else {
          ASSERT_EQ(ValueOf(isolate.field(i)), i);
        }
      }
    }
  });
}

TEST_F(FieldsTest, AnInitialValueSetLaterIsSeenByAllThatHaveNotWritten) {
  AddNumbered(100);
  Event is_read;
  Event is_set;
  const IsolateId id = Spawn([&](Isolate& isolate) {
    SetField(isolate, 1, Immediate(11));
    EXPECT_EQ(ValueOf(isolate.field(0)), 0u);
    is_read.Set();
    is_set.Wait(isolate);
    EXPECT_EQ(ValueOf(isolate.field(0)), 20u);
    EXPECT_EQ(ValueOf(isolate.field(1)), 11u);
    EXPECT_EQ(ValueOf(isolate.field(99)), 22u);
    SetField(isolate, 0, Immediate(10));
    EXPECT_EQ(ValueOf(isolate.field(0)), 10u);
  });
  is_read.Wait();
  Program& program = group().program();
  EXPECT_TRUE(program.SetInitialField(0, Immediate(20)).ok());
  EXPECT_TRUE(program.SetInitialField(1, Immediate(21)).ok());
  EXPECT_TRUE(program.SetInitialField(99, Immediate(22)).ok());
  is_set.Set();
  EXPECT_EQ(exits.WaitFor(id).reason, ExitReason::kReturned);
  RunIsolate([](Isolate& isolate) { EXPECT_EQ(ValueOf(isolate.field(1)), 21u); });

  EXPECT_THAT(program.SetInitialField(100, Immediate(1)).message(),
              HasSubstr("field 100 of 100 is given an initial value, but has not been added"));
  RunIsolate([&](Isolate& isolate) {
    const Status status = program.SetInitialField(0, RefOf(NewPair(isolate, 1)));
    EXPECT_THAT(status.message(), HasSubstr("the initial value of field 0 refers to a private"));
  });
  EXPECT_EQ(ValueOf(program.InitialField(0)), 20u);
}

TEST_F(FieldsTest, APrivateInitialValueIsRefused) {
  AddNumbered(3);
  RunIsolate([this](Isolate& isolate) {
    const Ref values[] = {Immediate(1), RefOf(NewPair(isolate, 1))};
    Result<size_t> added = isolate.group().program().AddFields(values);
    ASSERT_FALSE(added.ok());
    EXPECT_EQ(added.status().code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(added.status().message(),
                AllOf(HasSubstr("test-group"), HasSubstr("field 1 of 2"), HasSubstr("freeze")));
  });
  EXPECT_EQ(group().program().field_count(), 3u);
}

TEST_F(FieldsTest, FieldsThatThereIsNoMemoryForAreRefusedWhole) {
  AddNumbered(3);
  const std::vector<Ref> values(1'000, Immediate(1));
  // Four segments are missing; what one attempt has got stays for the next.
  for (const uint64_t n : {1, 2, 2, 2}) {
    platform::faults::FailNth(platform::faults::Request::kRaw, n, true);
    Result<size_t> added = group().program().AddFields(values);
    platform::faults::Reset();
    ASSERT_FALSE(added.ok());
    EXPECT_EQ(added.status().code(), StatusCode::kResourceExhausted);
    EXPECT_EQ(group().program().field_count(), 3u);
    EXPECT_EQ(group().program().InitialField(3), Ref{});
  }
  EXPECT_TRUE(group().program().AddFields(values).ok());
  EXPECT_EQ(ValueOf(group().program().InitialField(1'002)), 1u);
}

TEST_F(FieldsTest, AWriteThatThereIsNoMemoryForChangesNothing) {
  AddNumbered(1'000);
  RunIsolate([](Isolate& isolate) {
    // The table of the first ones (which stays), that of the further ones, its entries, the chunk.
    for (const uint64_t n : {1, 2, 2, 3, 1}) {
      platform::faults::FailNth(platform::faults::Request::kRaw, n, true);
      EXPECT_EQ(isolate.SetField(500, Immediate(1)).code(), StatusCode::kResourceExhausted);
      platform::faults::Reset();
      EXPECT_EQ(ValueOf(isolate.field(500)), 500u);
    }
    SetField(isolate, 500, Immediate(1));
    EXPECT_EQ(ValueOf(isolate.field(500)), 1u);
  });
}

TEST_F(FieldsTest, ALoaderAddsWhileIsolatesReadAndWrite) {
  constexpr size_t kFields = 20'000;
  constexpr int kReaders = 3;
  std::atomic<bool> done{false};
  for (int reader = 0; reader < kReaders; ++reader) {
    Spawn([&, reader](Isolate& isolate) {
      size_t own = 0;
      while (!done.load()) {
        const size_t count = isolate.group().program().field_count();
        for (size_t i = 0; i < count; i += 1 + i / 8) {
          const uint64_t value = ValueOf(isolate.field(i));
          ASSERT_TRUE(value == i || value == 100'000 + i) << i << ": " << value;
        }
        if (count > own) {
          own = count - 1 + static_cast<size_t>(reader);
          SetField(isolate, own, Immediate(100'000 + own));
        }
        if (!isolate.Poll()) return;
      }
    });
  }
  for (size_t i = 0; i < kFields; ++i) ASSERT_EQ(AddField(Immediate(i)), i);
  done.store(true);
  exits.WaitFor(kReaders);
}

TEST_F(FieldsTest, OwnFieldsFindEveryChunkAsTheyGrow) {
  GroupAllocator allocator;
  OwnFields* fields = OwnFields::New(allocator);
  ASSERT_NE(fields, nullptr);
  // Numbers that meet in the table.
  std::vector<size_t> indices;
  for (size_t i = 0; i < 200; ++i) indices.push_back(i * 64 * (i % 3 == 0 ? 1'024 : 1) + i % 64);
  for (const size_t index : indices) {
    OwnFields::Chunk* chunk = fields->FindOrMake(index, allocator);
    ASSERT_NE(chunk, nullptr);
    chunk->values[index % 64] = index;
    chunk->written |= uint64_t{1} << (index % 64);
  }
  for (const size_t index : indices) {
    const OwnFields::Chunk* chunk = fields->Find(index);
    ASSERT_NE(chunk, nullptr);
    EXPECT_EQ(chunk->values[index % 64], index);
  }
  EXPECT_EQ(fields->Find(64 * 1'000'003), nullptr);
  size_t visited = 0;
  fields->ForEach([&](Slot) { ++visited; });
  EXPECT_EQ(visited, std::set<size_t>(indices.begin(), indices.end()).size());
  OwnFields::Delete(fields, allocator);
  EXPECT_EQ(allocator.bytes(), 0u);
}

// Not in the fixture's group: the shared object stays as long as the program.
TEST(SharedFields, AnInitialValueKeepsASharedObjectAlive) {
  TestClient client;
  GroupOptions options;
  options.client = &client;
  options.workers = 1;
  options.heap.violation_handler = [](const Violation& violation, void*) {
    ADD_FAILURE() << violation.message;
  };
  auto group = std::move(IsolateGroup::Create(options)).value();
  TypeInfo info;
  info.name = "FrozenBytes";
  info.fixed_size = kElements;
  info.element_size = 1;
  info.length_offset = 8;
  info.flags.deeply_immutable = true;
  const Type& frozen = *group->heap().RegisterType(info).value();
  constexpr size_t kBytes = 50'000;
  {
    auto entered = EnteredIsolate::Enter(*group, {});
    ASSERT_TRUE(entered.ok()) << entered.status().message();
    Mutator& mutator = entered.value()->isolate().mutator();
    for (const unsigned char value : {1, 2}) {
      const ObjectPtr object = mutator.AllocateArray(frozen, kBytes);
      ASSERT_TRUE(object);
      std::memset(reinterpret_cast<void*>(object.address() + kElements), value, kBytes);
      ASSERT_TRUE(FlipToShared(mutator, object).ok());
      if (value == 1) {
        Result<size_t> added = group->program().AddField(RefOf(object));
        ASSERT_TRUE(added.ok()) << added.status().message();
      }
    }
  }
  const size_t before = group->heap().stats().shared_bytes;
  ASSERT_TRUE(group->heap().CollectAll().ok());
  const size_t after = group->heap().stats().shared_bytes;
  EXPECT_LT(after, before) << "the one that nothing refers to";
  EXPECT_GE(after, kBytes);
  const ObjectPtr kept = ObjectOf(group->program().InitialField(0));
  EXPECT_EQ(*reinterpret_cast<unsigned char*>(kept.address() + kElements + kBytes - 1), 1);
  EXPECT_TRUE(group->heap().Verify().ok());
}

}  // namespace
}  // namespace Atoll
