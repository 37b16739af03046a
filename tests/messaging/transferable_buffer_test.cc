// Bytes that move with a message: who has them, and that they are freed once.
#include "atoll/transferable_buffer.h"

#include <cstring>

#include "heap/region_state.h"
#include "tests/messaging/messaging_fixture.h"

namespace Atoll {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class TransferableBufferTest : public MessagingTest {
 protected:
  static constexpr size_t kLength = 3'000'000;

  void SetUp() override { type_ = TransferableBuffer::RegisterType(heap()).value(); }

  /// Bytes of the embedder's, and how often they were freed.
  struct Owned {
    std::vector<std::byte> bytes = std::vector<std::byte>(kLength, std::byte{7});
    std::atomic<int> freed{0};
  };
  static void FreeOwned(void* bytes, size_t length, void* context) {
    auto* owned = static_cast<Owned*>(context);
    EXPECT_EQ(bytes, owned->bytes.data());
    EXPECT_EQ(length, owned->bytes.size());
    ++owned->freed;
  }
  ObjectPtr New(Isolate& isolate, Owned& owned) {
    auto buffer = TransferableBuffer::Adopt(isolate.mutator(), *type_, owned.bytes.data(), kLength,
                                            FreeOwned, &owned);
    EXPECT_TRUE(buffer.ok()) << buffer.status().message();
    return buffer.value();
  }
  /// A list in field 0, and a buffer that its first two objects refer to; that one is in field 1.
  void MakeGraph(Isolate& isolate, Owned& owned, size_t count = 2) {
    MakeList(isolate, 0, 1, count);
    SetField(isolate, 1, RefOf(New(isolate, owned)));
    const ObjectPtr head = ObjectOf(isolate.field(0));
    Link(isolate.mutator(), head, kB, ObjectOf(isolate.field(1)));
    Link(isolate.mutator(), Load(head, kA), kB, ObjectOf(isolate.field(1)));
  }
  static size_t ExternalOf(Isolate& isolate) {
    return isolate.mutator().region().stats().external_bytes;
  }
  static void ExpectAttached(ObjectPtr buffer, const Owned& owned) {
    EXPECT_FALSE(TransferableBuffer::IsDetached(buffer));
    EXPECT_EQ(TransferableBuffer::BytesOf(buffer).data(), owned.bytes.data());
    EXPECT_EQ(TransferableBuffer::BytesOf(buffer).size(), kLength);
    EXPECT_EQ(owned.freed, 0);
  }
  static void ExpectDetached(ObjectPtr buffer) {
    EXPECT_TRUE(TransferableBuffer::IsDetached(buffer));
    EXPECT_EQ(TransferableBuffer::BytesOf(buffer).data(), nullptr);
    EXPECT_TRUE(TransferableBuffer::BytesOf(buffer).empty());
  }
  const Type& type() const { return *type_; }

 private:
  const Type* type_ = nullptr;
};

TEST_F(TransferableBufferTest, AllocatedBytesAreZeroedAndCounted) {
  RunIsolate([&](Isolate& isolate) {
    Mutator& mutator = isolate.mutator();
    auto buffer = TransferableBuffer::Allocate(mutator, type(), kLength);
    ASSERT_TRUE(buffer.ok()) << buffer.status().message();
    SetField(isolate, 0, RefOf(buffer.value()));
    const std::span<std::byte> bytes = TransferableBuffer::BytesOf(buffer.value());
    ASSERT_EQ(bytes.size(), kLength);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(bytes.data()) % 16, 0u);
    for (size_t i = 0; i < kLength; i += 999) ASSERT_EQ(bytes[i], std::byte{0});
    std::memset(bytes.data(), 9, bytes.size());
    EXPECT_EQ(ExternalOf(isolate), kLength);
    for (const auto kind : {Mutator::Collection::kMinor, Mutator::Collection::kMajor}) {
      ASSERT_TRUE(mutator.Collect(kind).ok());
      EXPECT_EQ(TransferableBuffer::BytesOf(ObjectOf(isolate.field(0))).data(), bytes.data());
    }
    auto empty = TransferableBuffer::Allocate(mutator, type(), 0);
    ASSERT_TRUE(empty.ok());
    EXPECT_FALSE(TransferableBuffer::IsDetached(empty.value()));
    SetField(isolate, 0, Ref{});
    ASSERT_TRUE(mutator.Collect(Mutator::Collection::kMajor).ok());
    EXPECT_EQ(ExternalOf(isolate), 0u);
  });
}

// Reached twice: one buffer arrives. By itself, with little, with much.
TEST_F(TransferableBufferTest, TheBytesMoveWithTheMessage) {
  constexpr size_t kCounts[] = {0, 2, 3'000};
  std::deque<Owned> owned(std::size(kCounts));
  size_t handled = 0;
  const Receiver receiver = SpawnReceiver([&](Isolate& isolate, Ref message) {
    const size_t count = kCounts[handled];
    const ObjectPtr buffer = count == 0 ? ObjectOf(message) : Load(ObjectOf(message), kB);
    EXPECT_EQ(&isolate.mutator().TypeOf(buffer), &type());
    ExpectAttached(buffer, owned[handled]);
    EXPECT_EQ(ExternalOf(isolate), kLength);
    if (count != 0) {
      EXPECT_EQ(Load(Load(ObjectOf(message), kA), kB), buffer);
    }
    SetField(isolate, 0, RefOf(buffer));
    EXPECT_TRUE(isolate.mutator().Collect(Mutator::Collection::kMajor).ok());
    ExpectAttached(ObjectOf(isolate.field(0)), owned[handled]);
    SetField(isolate, 0, Ref{});
    EXPECT_TRUE(isolate.mutator().Collect(Mutator::Collection::kMajor).ok());
    EXPECT_EQ(owned[handled].freed, 1) << "by the collection that found it dead";
    EXPECT_EQ(ExternalOf(isolate), 0u);
    if (++handled == std::size(kCounts)) isolate.Exit();
  });
  RunIsolate([&](Isolate& isolate) {
    for (size_t i = 0; i < std::size(kCounts); ++i) {
      MakeGraph(isolate, owned[i], std::max<size_t>(kCounts[i], 2));
      EXPECT_EQ(ExternalOf(isolate), kLength);
      ExpectSent(isolate, receiver.to(), isolate.field(kCounts[i] == 0 ? 1 : 0));
      ExpectDetached(ObjectOf(isolate.field(1)));
      EXPECT_EQ(ExternalOf(isolate), 0u);
      EXPECT_TRUE(isolate.mutator().Collect(Mutator::Collection::kMajor).ok());
      ExpectDetached(ObjectOf(isolate.field(1)));
      EXPECT_EQ(Load(ObjectOf(isolate.field(0)), kB), ObjectOf(isolate.field(1)));
    }
  });
  exits.WaitFor(receiver.id);
  EXPECT_EQ(handled, std::size(kCounts));
  for (const Owned& one : owned) EXPECT_EQ(one.freed, 1);
}

TEST_F(TransferableBufferTest, DetachedItArrivesDetached) {
  Owned owned;
  int handled = 0;
  TestPort* port = nullptr;
  RunIsolate([&](Isolate& isolate) {
    port = &Open(isolate, [&](Isolate&, Ref message) {
      if (++handled == 1) {
        ExpectAttached(ObjectOf(message), owned);
      } else {
        ExpectDetached(ObjectOf(message));
        port->port.Close();
      }
    });
    SetField(isolate, 1, RefOf(New(isolate, owned)));
    for (int i = 0; i < 2; ++i) ExpectSent(isolate, port->to, isolate.field(1));
  });
  EXPECT_EQ(handled, 2);
  EXPECT_EQ(owned.freed, 1);
}

TEST_F(TransferableBufferTest, ASendThatIsRefusedLeavesItAttached) {
  const Receiver closed = SpawnReceiver([](Isolate&, Ref) { ADD_FAILURE(); });
  const Receiver bounded =
      SpawnReceiver([](Isolate&, Ref) { ADD_FAILURE(); }, {.max_bytes = kLength});
  TypeInfo info;
  info.name = "Socket";
  info.layout = Layout::kFixed;
  info.fixed_size = sizeof(PairObject);
  info.ref_offsets = {kA, kB};
  info.flags.unsendable = true;
  const Type* socket = heap().RegisterType(info).value();
  KillAndWait(closed.id);
  Owned owned;
  RunIsolate([&](Isolate& isolate) {
    Mutator& mutator = isolate.mutator();
    MakeGraph(isolate, owned);
    EXPECT_EQ(Send(isolate, closed.to(), isolate.field(0)), SendStatus::kClosed);
    ExpectAttached(ObjectOf(isolate.field(1)), owned);
    const Status quota =
        ExpectNotSent(isolate, bounded.to(), isolate.field(0), SendStatus::kOverQuota);
    EXPECT_THAT(quota.message(), HasSubstr("it takes 30")) << "the bytes count";
    ExpectAttached(ObjectOf(isolate.field(1)), owned);
    SetField(isolate, 2, RefOf(mutator.Allocate(*socket)));
    Link(mutator, Load(ObjectOf(isolate.field(0)), kA), kA, ObjectOf(isolate.field(2)));
    EXPECT_EQ(Send(isolate, bounded.to(), isolate.field(0)), SendStatus::kRefused);
    ExpectAttached(ObjectOf(isolate.field(1)), owned);
    EXPECT_EQ(ExternalOf(isolate), kLength);
    // A finalizer of another kind would run twice, or in the wrong isolate.
    ASSERT_TRUE(
        mutator
            .AddFinalizer(
                ObjectOf(isolate.field(1)), FinalizerKind::kThreadAffine, [](void*) {}, nullptr)
            .ok());
    const Status finalizer =
        ExpectNotSent(isolate, bounded.to(), isolate.field(1), SendStatus::kRefused);
    EXPECT_THAT(finalizer.message(), HasSubstr("it has a finalizer"));
    ExpectAttached(ObjectOf(isolate.field(1)), owned);
  });
  EXPECT_EQ(owned.freed, 1) << "by the end of the isolate";
  KillAndWait(bounded.id);
}

TEST_F(TransferableBufferTest, FreezeRefusesItByName) {
  Owned owned;
  RunIsolate([&](Isolate& isolate) {
    MakeGraph(isolate, owned);
    auto frozen = Freeze(isolate, isolate.field(0));
    ASSERT_FALSE(frozen.ok());
    EXPECT_THAT(frozen.status().message(),
                AllOf(HasSubstr("\"TransferableBuffer\""), HasSubstr("one isolate at a time"),
                      HasSubstr("root -> \"Pair\" slot 1")));
    ExpectAttached(ObjectOf(isolate.field(1)), owned);
  });
  EXPECT_EQ(owned.freed, 1);
}

// Its isolate is killed; its port is closed before it comes; the group is shut down.
TEST_F(TransferableBufferTest, AMessageThatNobodyGetsFreesThem) {
  Owned of_killed;
  Owned of_closed;
  Owned of_group;
  const Receiver killed = SpawnReceiver([](Isolate&, Ref) { ADD_FAILURE(); });
  const Receiver last = SpawnReceiver([](Isolate&, Ref) { ADD_FAILURE(); });
  ASSERT_TRUE(group().Pause(killed.id));
  ASSERT_TRUE(group().Pause(last.id));
  RunIsolate([&](Isolate& isolate) {
    MakeGraph(isolate, of_killed);
    ExpectSent(isolate, killed.to(), isolate.field(0));
    MakeGraph(isolate, of_group);
    ExpectSent(isolate, last.to(), isolate.field(1));
    TestPort& own = Open(isolate, [](Isolate&, Ref) { ADD_FAILURE(); });
    MakeGraph(isolate, of_closed, 3'000);
    ExpectSent(isolate, own.to, isolate.field(0));
    own.port.Close();
    EXPECT_EQ(of_closed.freed, 0) << "its turn has not come";
  });
  CollectAll();
  ExpectValid();
  EXPECT_EQ(of_killed.freed, 0);
  EXPECT_EQ(heap().stats().external_bytes, 2 * kLength);
  KillAndWait(killed.id);
  EXPECT_EQ(of_killed.freed, 1);
  EXPECT_EQ(of_closed.freed, 1);
  EXPECT_EQ(of_group.freed, 0);
  End();
  EXPECT_EQ(of_group.freed, 1);
}

TEST_F(TransferableBufferTest, SendAndExitHandsThemOver) {
  for (const bool is_large : {false, true}) {
    Owned owned;
    const Receiver receiver = SpawnReceiver([&](Isolate& isolate, Ref message) {
      ExpectAttached(Load(ObjectOf(message), kB), owned);
      EXPECT_EQ(ExternalOf(isolate), kLength);
      isolate.Exit();
    });
    const ExitInfo info = RunIsolate([&](Isolate& isolate) {
      MakeGraph(isolate, owned, is_large ? 3'000 : 2);
      auto ticket = PrepareExit(isolate, receiver.to(), isolate.field(0));
      ASSERT_TRUE(ticket.ok()) << ticket.status().message();
      ExpectAttached(ObjectOf(isolate.field(1)), owned);
      EXPECT_TRUE(ticket.value().Commit().ok());
    });
    EXPECT_EQ(info.reason, ExitReason::kHandedOver);
    exits.WaitFor(receiver.id);
    group().WaitUntilEmpty();
    EXPECT_EQ(owned.freed, 1);
  }
}

TEST_F(TransferableBufferTest, HandedOverToNobodyTheyAreFreed) {
  for (const bool is_closed_first : {false, true}) {
    Owned owned;
    const Receiver receiver = SpawnReceiver([](Isolate&, Ref) { ADD_FAILURE(); });
    ASSERT_TRUE(group().Pause(receiver.id));
    RunIsolate([&](Isolate& isolate) {
      MakeGraph(isolate, owned, 3'000);
      auto ticket = PrepareExit(isolate, receiver.to(), isolate.field(0));
      ASSERT_TRUE(ticket.ok()) << ticket.status().message();
      EXPECT_TRUE(ticket.value().Commit().ok());
      if (!is_closed_first) return;
      NativeScope native(isolate.mutator());
      KillAndWait(receiver.id);
    });
    ExpectValid();
    EXPECT_EQ(owned.freed, is_closed_first ? 1 : 0);
    if (!is_closed_first) KillAndWait(receiver.id);
    EXPECT_EQ(owned.freed, 1);
    EXPECT_EQ(heap().stats().external_bytes, 0u);
  }
}

TEST_F(TransferableBufferTest, LimitsRefuseWhatIsAllocated) {
  constexpr size_t kLimit = size_t{16} << 20;
  RunIsolate(
      [&](Isolate& isolate) {
        Mutator& mutator = isolate.mutator();
        for (int i = 0; i < 20; ++i) {  // garbage makes room for the next
          auto buffer = TransferableBuffer::Allocate(mutator, type(), kLimit / 3);
          ASSERT_TRUE(buffer.ok()) << buffer.status().message();
          SetField(isolate, 0, RefOf(buffer.value()));
        }
        for (const size_t length : {kLimit, SIZE_MAX - 8}) {
          auto refused = TransferableBuffer::Allocate(mutator, type(), length);
          EXPECT_EQ(refused.status().code(), StatusCode::kResourceExhausted);
          EXPECT_THAT(refused.status().message(),
                      AllOf(HasSubstr("\"TransferableBuffer\""), HasSubstr("raise the limit")));
        }
      },
      {.limit_bytes = kLimit});
}

// A receiver that allocates nothing collects all the same: what it was given counts.
TEST_F(TransferableBufferTest, WhoeverIsGivenMuchCollects) {
  constexpr size_t kBuffers = 60;
  constexpr size_t kGiven = kBuffers * kLength;
  size_t handled = 0;
  size_t most = 0;
  const Receiver receiver = SpawnReceiver([&](Isolate& isolate, Ref message) {
    EXPECT_EQ(TransferableBuffer::BytesOf(ObjectOf(message)).size(), kLength);
    most = std::max(most, ExternalOf(isolate));
    isolate.Poll();
    if (++handled == kBuffers) isolate.Exit();
  });
  RunIsolate([&](Isolate& isolate) {
    for (size_t i = 0; i < kBuffers; ++i) {
      auto buffer = TransferableBuffer::Allocate(isolate.mutator(), type(), kLength);
      ASSERT_TRUE(buffer.ok()) << buffer.status().message();
      ExpectSent(isolate, receiver.to(), RefOf(buffer.value()));
    }
  });
  exits.WaitFor(receiver.id);
  EXPECT_EQ(handled, kBuffers);
  EXPECT_LT(most, kGiven) << "garbage was found before the end";
}

TEST_F(TransferableBufferTest, Misuse) {
  Owned owned;
  RunIsolate([&](Isolate& isolate) {
    Mutator& mutator = isolate.mutator();
    auto wrong_type = TransferableBuffer::Allocate(mutator, *types().pair, 10);
    EXPECT_EQ(wrong_type.status().code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(wrong_type.status().message(), HasSubstr("RegisterType"));
    auto nothing = TransferableBuffer::Adopt(mutator, type(), nullptr, 0, FreeOwned);
    EXPECT_EQ(nothing.status().code(), StatusCode::kInvalidArgument);
    auto no_free = TransferableBuffer::Adopt(mutator, type(), owned.bytes.data(), 1, nullptr);
    EXPECT_EQ(no_free.status().code(), StatusCode::kInvalidArgument);
  });
  TypeInfo info;
  info.name = "Contradiction";
  info.transfer = [](ObjectPtr, ObjectPtr) {};
  info.flags.deeply_immutable = true;
  EXPECT_THAT(heap().RegisterType(info).status().message(),
              AllOf(HasSubstr("\"Contradiction\""), HasSubstr("transfer")));
}

// Passed round while everything is collected again and again.
TEST_F(TransferableBufferTest, PassedRoundTheyStayWhole) {
  options.heap.stress.move_everything = true;
  options.resident_isolates = 1;
  constexpr size_t kIsolates = 5;
  constexpr int kHops = 2'000;
  Owned owned;
  int hops = 0;
  Event ended;
  std::vector<Receiver> ring(kIsolates);
  for (size_t i = 0; i < kIsolates; ++i) {
    ring[i] = SpawnReceiver([&, i](Isolate& isolate, Ref message) {
      SetField(isolate, 0, message);
      if (hops % 3 == 0) {
        EXPECT_TRUE(isolate.mutator().Collect(Mutator::Collection::kMinor).ok());
      }
      ExpectAttached(Load(ObjectOf(isolate.field(0)), kB), owned);
      if (++hops == kHops) return ended.Set();
      ExpectSent(isolate, ring[(i + 1) % kIsolates].to(), isolate.field(0));
      ExpectDetached(Load(ObjectOf(isolate.field(0)), kB));
      if (hops % 2 == 0) SetField(isolate, 0, Ref{});
    });
  }
  RunIsolate([&](Isolate& isolate) {
    MakeGraph(isolate, owned, 30);
    ExpectSent(isolate, ring[0].to(), isolate.field(0));
  });
  while (!ended.happened()) CollectAll();
  EXPECT_EQ(hops, kHops);
  EXPECT_EQ(owned.freed, 0);
  ExpectValid();
  End();
  EXPECT_EQ(owned.freed, 1);
}

}  // namespace
}  // namespace Atoll
