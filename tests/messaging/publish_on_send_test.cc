// Large immutable objects of a message become shared where they are, and only when it is certain to
// be sent.
#include <cstring>

#include "heap/region_state.h"
#include "tests/messaging/messaging_fixture.h"

namespace Atoll {
namespace {

using ::testing::HasSubstr;

class PublishOnSend : public MessagingTest {
 protected:
  static constexpr size_t kLength = 100'000;

  void SetUp() override {
    TypeInfo info;
    info.name = "FrozenBytes";
    info.fixed_size = kElements;
    info.element_size = 1;
    info.length_offset = 8;
    info.flags.deeply_immutable = true;
    bytes_ = heap().RegisterType(info).value();
    info.name = "FrozenArray";
    info.layout = Layout::kRefArray;
    info.element_size = sizeof(Word);
    array_ = heap().RegisterType(info).value();
  }
  /// A large immutable object in a field.
  void MakeLarge(Isolate& isolate, size_t field, int fill = 7, size_t length = kLength) {
    const ObjectPtr bytes = isolate.mutator().AllocateArray(*bytes_, length);
    ASSERT_TRUE(bytes) << isolate.mutator().last_error().message();
    std::memset(reinterpret_cast<void*>(bytes.address() + kElements), fill, length);
    SetField(isolate, field, RefOf(bytes));
  }
  /// An immutable array of references in a field, all to what is in another.
  void MakeArray(Isolate& isolate, size_t field, size_t length, size_t value) {
    const ObjectPtr array = isolate.mutator().AllocateArray(*array_, length);
    for (size_t i = 0; i < length; ++i) {
      StoreInitial(isolate.mutator(), array, SlotAt(array, ElementAt(i)), isolate.field(value));
    }
    SetField(isolate, field, RefOf(array));
  }
  static bool IsShared(Isolate& isolate, Ref ref) {
    return (isolate.mutator().TagOf(ref.word) & tag::kShared) != 0;
  }
  static void ExpectFilled(ObjectPtr bytes, int fill = 7) {
    for (size_t i = 0; i < kLength; i += 997) {
      ASSERT_EQ(*reinterpret_cast<char*>(bytes.address() + kElements + i), fill);
    }
  }
  size_t SharedBytes() { return heap().stats().shared_bytes; }
  const Type& array_type() const { return *array_; }

 private:
  const Type* bytes_ = nullptr;
  const Type* array_ = nullptr;
};

// By itself, in one object, in an image, in a region of its own; reached twice.
TEST_F(PublishOnSend, TheObjectItselfArrives) {
  constexpr size_t kCounts[] = {0, 1, 50, 3'000};
  Word sent[std::size(kCounts)] = {};
  size_t handled = 0;
  const Receiver receiver = SpawnReceiver([&](Isolate& isolate, Ref message) {
    const size_t count = kCounts[handled];
    const Ref bytes = count == 0 ? message : RefOf(Load(ObjectOf(message), kB));
    EXPECT_EQ(bytes.word, sent[handled]) << "it is not copied";
    EXPECT_TRUE(IsShared(isolate, bytes));
    ExpectFilled(ObjectOf(bytes));
    if (count > 1) {
      ExpectList(ObjectOf(message), 1, count);
      EXPECT_EQ(Load(Load(ObjectOf(message), kA), kB), ObjectOf(bytes));
    }
    SetField(isolate, 0, message);
    EXPECT_TRUE(isolate.mutator().Collect(Mutator::Collection::kMajor).ok());
    if (++handled == std::size(kCounts)) isolate.Exit();
  });
  RunIsolate([&](Isolate& isolate) {
    Mutator& mutator = isolate.mutator();
    for (size_t i = 0; i < std::size(kCounts); ++i) {
      const size_t count = kCounts[i];
      MakeLarge(isolate, 1);
      sent[i] = isolate.field(1).word;
      const size_t before = mutator.region().stats().block_bytes;
      MakeList(isolate, 0, 1, count);
      if (count != 0) Link(mutator, ObjectOf(isolate.field(0)), kB, ObjectOf(isolate.field(1)));
      if (count > 1) {
        Link(mutator, Load(ObjectOf(isolate.field(0)), kA), kB, ObjectOf(isolate.field(1)));
      }
      ExpectSent(isolate, receiver.to(), isolate.field(count == 0 ? 1 : 0));
      EXPECT_TRUE(IsShared(isolate, isolate.field(1)));
      EXPECT_EQ(isolate.field(1).word, sent[i]);
      if (count == 0) {
        EXPECT_LE(mutator.region().stats().block_bytes + kLength, before);
      }
      EXPECT_TRUE(mutator.Collect(Mutator::Collection::kMajor).ok());
      ExpectFilled(ObjectOf(isolate.field(1)));
      NativeScope native(mutator);
      ExpectValid();
    }
  });
  EXPECT_EQ(exits.WaitFor(receiver.id).reason, ExitReason::kReturned);
  EXPECT_EQ(handled, std::size(kCounts));
  group().WaitUntilEmpty();
  CollectAll();
  EXPECT_EQ(SharedBytes(), 0u);
}

TEST_F(PublishOnSend, OnTheWayItIsKeptByTheMessageAlone) {
  size_t handled = 0;
  const Receiver receiver = SpawnReceiver([&](Isolate& isolate, Ref message) {
    ExpectFilled(handled == 0 ? ObjectOf(message) : Load(ObjectOf(message), kB));
    if (++handled == 3) isolate.Exit();
  });
  ASSERT_TRUE(group().Pause(receiver.id));
  RunIsolate([&](Isolate& isolate) {
    MakeLarge(isolate, 1);
    ExpectSent(isolate, receiver.to(), isolate.field(1));
    for (const size_t count : {20u, 3'000u}) {
      MakeLarge(isolate, 1);
      MakeList(isolate, 0, 1, count);
      Link(isolate.mutator(), ObjectOf(isolate.field(0)), kB, ObjectOf(isolate.field(1)));
      ExpectSent(isolate, receiver.to(), isolate.field(0));
    }
  });
  for (int i = 0; i < 2; ++i) {
    CollectAll();
    ExpectValid();
    EXPECT_GE(SharedBytes(), 3 * kLength);
  }
  ASSERT_TRUE(group().Resume(receiver.id));
  exits.WaitFor(receiver.id);
  EXPECT_EQ(handled, 3u);
}

TEST_F(PublishOnSend, ASendThatIsRefusedChangesNothing) {
  const Receiver closed = SpawnReceiver([](Isolate&, Ref) { ADD_FAILURE(); });
  const Receiver bounded = SpawnReceiver([](Isolate&, Ref) { ADD_FAILURE(); }, {.max_bytes = 64});
  TypeInfo info;
  info.name = "Socket";
  info.layout = Layout::kFixed;
  info.fixed_size = sizeof(PairObject);
  info.ref_offsets = {kA, kB};
  info.flags.unsendable = true;
  const Type* socket = heap().RegisterType(info).value();
  KillAndWait(closed.id);
  RunIsolate([&](Isolate& isolate) {
    Mutator& mutator = isolate.mutator();
    MakeLarge(isolate, 1);
    MakeList(isolate, 0, 1, 30);
    Link(mutator, ObjectOf(isolate.field(0)), kB, ObjectOf(isolate.field(1)));
    EXPECT_EQ(Send(isolate, closed.to(), isolate.field(0)), SendStatus::kClosed);
    EXPECT_EQ(Send(isolate, bounded.to(), isolate.field(0)), SendStatus::kOverQuota);
    SetField(isolate, 2, RefOf(mutator.Allocate(*socket)));
    Link(mutator, Load(ObjectOf(isolate.field(0)), kA), kB, ObjectOf(isolate.field(2)));
    const Status why = ExpectNotSent(isolate, bounded.to(), isolate.field(0), SendStatus::kRefused);
    EXPECT_THAT(why.message(), HasSubstr("\"Socket\""));
    EXPECT_FALSE(Freeze(isolate, isolate.field(0)).ok());
    EXPECT_FALSE(IsShared(isolate, isolate.field(1)));
    EXPECT_TRUE(mutator.Pin(ObjectOf(isolate.field(1))).ok()) << "it is private";
  });
  KillAndWait(bounded.id);
  EXPECT_EQ(SharedBytes(), 0u);
}

TEST_F(PublishOnSend, WhatCannotBeFlippedIsCopied) {
  Word original = 0;
  int handled = 0;
  const Receiver receiver = SpawnReceiver([&](Isolate& isolate, Ref message) {
    if (handled == 0) {
      EXPECT_NE(message.word, original);
    }
    EXPECT_FALSE(IsShared(isolate, message));
    if (++handled == 3) isolate.Exit();
  });
  RunIsolate([&](Isolate& isolate) {
    Mutator& mutator = isolate.mutator();
    MakeLarge(isolate, 1);
    original = isolate.field(1).word;
    ASSERT_TRUE(mutator.Pin(ObjectOf(isolate.field(1))).ok());
    ExpectSent(isolate, receiver.to(), isolate.field(1));
    EXPECT_FALSE(IsShared(isolate, isolate.field(1)));
    ASSERT_TRUE(mutator.Unpin(ObjectOf(isolate.field(1))).ok());
    ASSERT_TRUE(
        mutator.AddFinalizer(ObjectOf(isolate.field(1)), FinalizerKind::kGuardian, nullptr, nullptr)
            .ok());
    EXPECT_EQ(Send(isolate, receiver.to(), isolate.field(1)), SendStatus::kRefused);
    // Small ones are copied, and so are arrays that refer to them.
    MakeLarge(isolate, 2, 7, 100);
    ExpectSent(isolate, receiver.to(), isolate.field(2));
    MakeArray(isolate, 3, 2'000, 2);
    ExpectSent(isolate, receiver.to(), isolate.field(3));
    EXPECT_FALSE(IsShared(isolate, isolate.field(2)));
    EXPECT_FALSE(IsShared(isolate, isolate.field(3)));
  });
  exits.WaitFor(receiver.id);
  EXPECT_EQ(handled, 3);
}

TEST_F(PublishOnSend, AnArrayOfSharedReferencesIsFlippedToo) {
  const Receiver receiver = SpawnReceiver([&](Isolate& isolate, Ref message) {
    EXPECT_TRUE(IsShared(isolate, message));
    EXPECT_EQ(Load(ObjectOf(message), ElementAt(0)), Load(ObjectOf(message), ElementAt(19'999)));
    ExpectFilled(Load(ObjectOf(message), ElementAt(7)));
    isolate.Exit();
  });
  RunIsolate([&](Isolate& isolate) {
    MakeLarge(isolate, 1);
    auto frozen = Freeze(isolate, isolate.field(1));
    ASSERT_TRUE(frozen.ok()) << frozen.status().message();
    EXPECT_EQ(frozen.value(), isolate.field(1)) << "flipped, too";
    MakeArray(isolate, 0, 20'000, 1);
    ExpectSent(isolate, receiver.to(), isolate.field(0));
    EXPECT_TRUE(IsShared(isolate, isolate.field(0)));
  });
  exits.WaitFor(receiver.id);
}

TEST_F(PublishOnSend, FrozenCopiesReferToTheObjectItself) {
  RunIsolate([&](Isolate& isolate) {
    Mutator& mutator = isolate.mutator();
    MakeLarge(isolate, 1);
    MakeList(isolate, 0, 1, 3'000);
    Link(mutator, ObjectOf(isolate.field(0)), kB, ObjectOf(isolate.field(1)));
    Link(mutator, Load(ObjectOf(isolate.field(0)), kA), kB, ObjectOf(isolate.field(1)));
    auto frozen = Freeze(isolate, isolate.field(0));
    ASSERT_TRUE(frozen.ok()) << frozen.status().message();
    SetField(isolate, 2, frozen.value());
    EXPECT_EQ(Load(ObjectOf(isolate.field(2)), kB), ObjectOf(isolate.field(1)));
    SetField(isolate, 0, Ref{});
    SetField(isolate, 1, Ref{});
    NativeScope native(mutator);
    CollectAll();
    ExpectValid();
    EXPECT_GE(SharedBytes(), kLength);
  });
}

TEST_F(PublishOnSend, NeitherParkingNorATinyExitFlips) {
  options.resident_isolates = 0;
  Event parked;
  client.leave = [&](Isolate& isolate) {
    if (isolate.field(1).word != 0) parked.Set();
  };
  const Receiver receiver = SpawnReceiver([&](Isolate& isolate, Ref message) {
    if (message == Immediate(1)) {
      MakeLarge(isolate, 1);
      MakeList(isolate, 0, 1, 3);
      Link(isolate.mutator(), ObjectOf(isolate.field(0)), kB, ObjectOf(isolate.field(1)));
      return;
    }
    if (message == Immediate(2)) {
      EXPECT_FALSE(IsShared(isolate, isolate.field(1)));
      isolate.Exit();
    }
  });
  EXPECT_EQ(SendImmediate(group(), receiver.to(), Immediate(1)), SendStatus::kDelivered);
  parked.Wait();
  EXPECT_EQ(SendImmediate(group(), receiver.to(), Immediate(2)), SendStatus::kDelivered);
  exits.WaitFor(receiver.id);
  EXPECT_EQ(SharedBytes(), 0u);
  int handled = 0;
  const Receiver last = SpawnReceiver([&](Isolate& isolate, Ref message) {
    EXPECT_FALSE(IsShared(isolate, RefOf(Load(ObjectOf(message), kB))));
    ++handled;
    isolate.Exit();
  });
  RunIsolate([&](Isolate& isolate) {
    MakeLarge(isolate, 1);
    MakeList(isolate, 0, 1, 3);
    Link(isolate.mutator(), ObjectOf(isolate.field(0)), kB, ObjectOf(isolate.field(1)));
    auto ticket = PrepareExit(isolate, last.to(), isolate.field(0));
    ASSERT_TRUE(ticket.ok()) << ticket.status().message();
    EXPECT_FALSE(IsShared(isolate, isolate.field(1)));
    EXPECT_TRUE(ticket.value().Commit().ok());
  });
  exits.WaitFor(last.id);
  EXPECT_EQ(handled, 1);
}

}  // namespace
}  // namespace Atoll
