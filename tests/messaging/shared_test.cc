// Shared objects pass as they are, and live as long as anything refers to them: also a message
// under way, and an isolate that is parked.
#include "heap/flip_to_shared.h"
#include "tests/messaging/messaging_fixture.h"

namespace Atoll {
namespace {

class SharedTest : public MessagingTest {
 protected:
  static constexpr size_t kLength = 40'000;

  void SetUp() override {
    TypeInfo info;
    info.name = "FrozenBytes";
    info.fixed_size = kElements;
    info.element_size = 1;
    info.length_offset = 8;
    info.flags.deeply_immutable = true;
    frozen_ = heap().RegisterType(info).value();
  }
  /// Stores a shared object to a field.
  void MakeShared(Isolate& isolate, size_t field, int fill) {
    const ObjectPtr bytes = isolate.mutator().AllocateArray(*frozen_, kLength);
    ASSERT_TRUE(bytes);
    std::memset(reinterpret_cast<void*>(bytes.address() + kElements), fill, kLength);
    SetField(isolate, field, RefOf(bytes));
    const Status status = FlipToShared(isolate.mutator(), bytes);
    ASSERT_TRUE(status.ok()) << status.message();
  }
  static void ExpectShared(Isolate& isolate, Ref ref, int fill) {
    const ObjectPtr bytes = ObjectOf(ref);
    ASSERT_TRUE(bytes);
    EXPECT_NE(isolate.mutator().TagOf(bytes.address()) & tag::kShared, 0u);
    for (size_t i = 0; i < kLength; i += 997) {
      ASSERT_EQ(*reinterpret_cast<char*>(bytes.address() + kElements + i), fill);
    }
  }
  size_t SharedBytes() { return heap().stats().shared_bytes; }

 private:
  const Type* frozen_ = nullptr;
};

// By itself, in one object, in an image, in a part of its own: the receiver is paused, the sender
// gone.
TEST_F(SharedTest, OnTheWayTheyAreKept) {
  constexpr size_t kKinds = 4;
  Event blocked;
  Event go_on;
  uintptr_t sent[kKinds] = {};
  size_t handled = 0;
  const Receiver receiver = SpawnReceiver([&](Isolate& isolate, Ref message) {
    if (message == Immediate(1)) {
      blocked.Set();
      go_on.Wait(isolate);
      return;
    }
    Ref shared = message;
    if (handled != 0) shared = RefOf(Load(ObjectOf(message), kB));
    if (handled == 2) ExpectList(ObjectOf(message), 1, 50);
    if (handled == 3) ExpectList(ObjectOf(message), 1, 3'000);
    EXPECT_EQ(shared.word, sent[handled]) << "it is not copied";
    ExpectShared(isolate, shared, static_cast<int>(handled) + 1);
    if (++handled == kKinds) isolate.Exit();
  });
  EXPECT_EQ(SendImmediate(group(), receiver.to(), Immediate(1)), SendStatus::kDelivered);
  blocked.Wait();
  RunIsolate([&](Isolate& isolate) {
    for (size_t kind = 0; kind < kKinds; ++kind) {
      MakeShared(isolate, 1, static_cast<int>(kind) + 1);
      sent[kind] = isolate.field(1).word;
      const size_t counts[] = {0, 1, 50, 3'000};
      MakeList(isolate, 0, 1, counts[kind]);
      if (kind == 0) {
        ExpectSent(isolate, receiver.to(), isolate.field(1));
      } else {
        Link(isolate.mutator(), ObjectOf(isolate.field(0)), kB, ObjectOf(isolate.field(1)));
        ExpectSent(isolate, receiver.to(), isolate.field(0));
      }
    }
  });
  for (int i = 0; i < 3; ++i) {
    CollectAll();
    ExpectValid();
    EXPECT_GE(SharedBytes(), kKinds * kLength);
  }
  go_on.Set();
  EXPECT_EQ(exits.WaitFor(receiver.id).reason, ExitReason::kReturned);
  EXPECT_EQ(handled, kKinds);
  group().WaitUntilEmpty();
  CollectAll();
  EXPECT_EQ(SharedBytes(), 0u);
}

TEST_F(SharedTest, PausedBeforeTheyAreTaken) {
  size_t handled = 0;
  const Receiver receiver = SpawnReceiver([&](Isolate& isolate, Ref message) {
    ExpectShared(isolate, RefOf(Load(ObjectOf(message), kB)), 3);
    if (++handled == 20) isolate.Exit();
  });
  ASSERT_TRUE(group().Pause(receiver.id));
  RunIsolate([&](Isolate& isolate) {
    for (int i = 0; i < 20; ++i) {
      MakeShared(isolate, 1, 3);
      MakeList(isolate, 0, 1, 1 + static_cast<size_t>(i) * 20);
      Link(isolate.mutator(), ObjectOf(isolate.field(0)), kB, ObjectOf(isolate.field(1)));
      ExpectSent(isolate, receiver.to(), isolate.field(0));
      if (i % 5 == 0) CollectAll();
    }
  });
  CollectAll();
  ExpectValid();
  EXPECT_GE(SharedBytes(), 20 * kLength);
  ASSERT_TRUE(group().Resume(receiver.id));
  EXPECT_EQ(exits.WaitFor(receiver.id).reason, ExitReason::kReturned);
  EXPECT_EQ(handled, 20u);
}

TEST_F(SharedTest, ParkedIsolatesKeepThem) {
  options.resident_isolates = 0;
  for (const bool in_object : {false, true}) {
    size_t handled = 0;
    const Receiver receiver = SpawnReceiver([&, in_object](Isolate& isolate, Ref message) {
      if (handled++ == 0) {
        MakeShared(isolate, 5, 9);
        if (in_object) {
          SetField(isolate, 6, RefOf(NewPair(isolate, 1)));
          Link(isolate.mutator(), ObjectOf(isolate.field(6)), kA, ObjectOf(isolate.field(5)));
          SetField(isolate, 5, Ref{});
        }
      } else {
        ExpectShared(isolate,
                     in_object ? RefOf(Load(ObjectOf(isolate.field(6)), kA)) : isolate.field(5), 9);
      }
      if (message == Immediate(5)) isolate.Exit();
    });
    for (uint64_t i = 0; i <= 5; ++i) {
      ASSERT_EQ(SendImmediate(group(), receiver.to(), Immediate(i)), SendStatus::kDelivered);
      CollectAll();
      ExpectValid();
    }
    EXPECT_EQ(exits.WaitFor(receiver.id).reason, ExitReason::kReturned);
    EXPECT_EQ(handled, 6u);
    group().WaitUntilEmpty();
    CollectAll();
    EXPECT_EQ(SharedBytes(), 0u) << "and nobody does afterwards";
  }
}

// Passed round while group collections run: a reference is always in some hand.
TEST_F(SharedTest, PassedRoundWhileTheGroupIsCollected) {
  options.resident_isolates = 1;
  constexpr size_t kIsolates = 6;
  constexpr uint64_t kHops = 3'000;
  std::vector<Receiver> ring(kIsolates);
  uint64_t hops = 0;
  Event ended;
  for (size_t i = 0; i < kIsolates; ++i) {
    ring[i] = SpawnReceiver([&, i](Isolate& isolate, Ref message) {
      const Ref shared = RefOf(Load(ObjectOf(message), kB));
      ExpectShared(isolate, shared, 4);
      if (++hops == kHops) return ended.Set();
      SetField(isolate, 0, shared);
      MakeList(isolate, 1, 1, hops % 300 + 1);
      Link(isolate.mutator(), ObjectOf(isolate.field(1)), kB, ObjectOf(isolate.field(0)));
      ExpectSent(isolate, ring[(i + 1) % kIsolates].to(), isolate.field(1));
      // Not kept here: only the message has it now.
      SetField(isolate, 0, Ref{});
      SetField(isolate, 1, Ref{});
    });
  }
  RunIsolate([&](Isolate& isolate) {
    MakeShared(isolate, 0, 4);
    MakeList(isolate, 1, 1, 2);
    Link(isolate.mutator(), ObjectOf(isolate.field(1)), kB, ObjectOf(isolate.field(0)));
    ExpectSent(isolate, ring[0].to(), isolate.field(1));
  });
  while (!ended.happened()) CollectAll();
  EXPECT_EQ(hops, kHops);
  ExpectValid();
}

}  // namespace
}  // namespace Atoll
