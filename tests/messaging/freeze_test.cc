// Freeze: copies that all isolates share.
#include <gmock/gmock.h>

#include "tests/messaging/port_fixture.h"

namespace Atoll {
namespace {

using ::testing::HasSubstr;

class FreezeTest : public PortTest {
 protected:
  Ref MustFreeze(Isolate& isolate, Ref root) {
    auto frozen = Freeze(isolate, root);
    EXPECT_TRUE(frozen.ok()) << frozen.status().message();
    return frozen.ok() ? frozen.value() : Ref{};
  }
  bool IsShared(Isolate& isolate, Ref ref) {
    return (isolate.mutator().TagOf(ObjectOf(ref).address()) & tag::kShared) != 0;
  }
};

TEST_F(FreezeTest, ACopyIsSharedAndTheOldOnesStay) {
  RunIsolate([&](Isolate& isolate) {
    MakeList(isolate, 0, 1, 3000);
    const uint32_t hash = isolate.mutator().IdentityHash(ObjectOf(isolate.field(0)));
    SetField(isolate, 1, MustFreeze(isolate, isolate.field(0)));
    EXPECT_TRUE(IsShared(isolate, isolate.field(1)));
    EXPECT_FALSE(IsShared(isolate, isolate.field(0)));
    EXPECT_EQ(isolate.mutator().IdentityHash(ObjectOf(isolate.field(1))), hash);
    EXPECT_EQ(MustFreeze(isolate, isolate.field(1)), isolate.field(1)) << "frozen already";
    for (int i = 0; i < 2; ++i) {
      ExpectList(ObjectOf(isolate.field(0)), 1, 3000);
      ExpectList(ObjectOf(isolate.field(1)), 1, 3000);
      EXPECT_TRUE(isolate.mutator().Collect(Mutator::Collection::kMajor).ok());
    }
    NativeScope native(isolate.mutator());
    ExpectValid();
  });
}

TEST_F(FreezeTest, LargeObjectsAndArraysToo) {
  RunIsolate([&](Isolate& isolate) {
    Mutator& mutator = isolate.mutator();
    SetField(isolate, 0, RefOf(mutator.AllocateArray(*types().array, 5000)));
    for (size_t i = 0; i < 5000; i += 7) {
      const ObjectPtr pair = NewPair(isolate, i);
      Link(mutator, ObjectOf(isolate.field(0)), kElements + i * sizeof(Word), pair);
    }
    SetField(isolate, 1, MustFreeze(isolate, isolate.field(0)));
    SetField(isolate, 0, Ref{});
    {
      NativeScope native(mutator);
      CollectAll();
      ExpectValid();
    }
    for (size_t i = 0; i < 5000; ++i) {
      const ObjectPtr pair = Load(ObjectOf(isolate.field(1)), kElements + i * sizeof(Word));
      EXPECT_EQ(static_cast<bool>(pair), i % 7 == 0);
      if (pair) {
        EXPECT_EQ(IdAt(pair), i);
      }
    }
  });
}

TEST_F(FreezeTest, SentItIsTheSameObject) {
  HeldPort port;
  std::atomic<Word> sent{0};
  std::atomic<int> got{0};
  SpawnReceiver(port, [&](Isolate& isolate, Ref message) {
    EXPECT_EQ(message.word, sent.load());
    SetField(isolate, 0, message);
    ExpectList(ObjectOf(message), 1, 1000);
    if (++got == 3) port.Close();
  });
  Spawn([&](Isolate& isolate) {
    MakeList(isolate, 0, 1, 1000);
    SetField(isolate, 0, MustFreeze(isolate, isolate.field(0)));
    sent = isolate.field(0).word;
    for (int i = 0; i < 3; ++i) ExpectSent(isolate, port, isolate.field(0));
  });
  exits.WaitFor(2);
}

TEST_F(FreezeTest, OnlyMessagesAndParkedIsolatesHoldIt) {
  HeldPort port;
  Event parked;
  client.leave = [&](Isolate& isolate) {
    if (isolate.field(1).word != 0) parked.Set();
  };
  options.resident_isolates = 0;
  const IsolateId receiver = SpawnReceiver(port, [&](Isolate& isolate, Ref message) {
    if (message == Immediate(1)) {
      ExpectList(ObjectOf(isolate.field(1)), 1, 1000);
      return port.Close();
    }
    SetField(isolate, 1, message);
  });
  ASSERT_TRUE(group().Pause(receiver));
  RunIsolate([&](Isolate& isolate) {
    MakeList(isolate, 0, 1, 1000);
    ExpectSent(isolate, port, MustFreeze(isolate, isolate.field(0)));
  });
  CollectAll();
  ExpectValid();
  ASSERT_TRUE(group().Resume(receiver));
  parked.Wait();
  CollectAll();
  ExpectValid();
  EXPECT_GT(heap().stats().shared_bytes, 0u);
  EXPECT_EQ(SendImmediate(group(), port.to(), Immediate(1)), SendStatus::kDelivered);
  exits.WaitFor(2);
  CollectAll();
  EXPECT_EQ(heap().stats().shared_bytes, 0u);
}

TEST_F(FreezeTest, WeakReferencesAreRefused) {
  RunIsolate([&](Isolate& isolate) {
    MakeList(isolate, 0, 1, 2);
    const ObjectPtr weak = isolate.mutator().Allocate(*types().weak);
    Link(isolate.mutator(), ObjectOf(isolate.field(0)), kB, weak);
    auto frozen = Freeze(isolate, isolate.field(0));
    ASSERT_FALSE(frozen.ok());
    EXPECT_THAT(frozen.status().message(), HasSubstr("\"Weak\""));
    EXPECT_THAT(frozen.status().message(), HasSubstr("root -> \"Pair\" slot 1 -> \"Weak\""));
  });
  EXPECT_EQ(heap().stats().shared_bytes, 0u);
}

}  // namespace
}  // namespace Atoll
