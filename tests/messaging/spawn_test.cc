// Spawn with a message: an isolate begins with a copy of what its parent gives it.
#include <gmock/gmock.h>

#include <atomic>

#include "atoll/transferable_buffer.h"
#include "tests/messaging/port_fixture.h"

namespace Atoll {
namespace {

using ::testing::HasSubstr;

class SpawnTest : public PortTest {
 protected:
  using Handler = std::function<void(Isolate&, Ref)>;
  static Result<IsolateId> Start(Isolate& parent, Handler& handler, Ref message,
                                 SpawnOptions options = {}) {
    return Atoll::Spawn(
        parent, options, message,
        [](Isolate& child, Ref received, void* data) {
          (*static_cast<Handler*>(data))(child, received);
        },
        &handler);
  }
};

TEST_F(SpawnTest, TheMessageArrivesAsACopy) {
  int calls = 0;
  Ref received_list;
  Handler handler = [&](Isolate& child, Ref message) {
    ++calls;
    EXPECT_EQ(Isolate::Current(), &child);
    ExpectList(ObjectOf(message), 4, 1000);
    received_list = message;
  };
  SpawnOptions options;
  options.on_exit = exits.listener();
  Spawn([&](Isolate& isolate) {
    MakeList(isolate, 0, 4, 1000);
    const auto spawned = Start(isolate, handler, isolate.field(0), options);
    EXPECT_TRUE(spawned.ok()) << spawned.status().message();
    ExpectList(ObjectOf(isolate.field(0)), 4, 1000);
  });
  exits.WaitFor(2);
  EXPECT_EQ(calls, 1);
  EXPECT_NE(received_list.word, 0u);
}

TEST_F(SpawnTest, TheIsolateEndsAfterTheMessageUnlessItOpensAPort) {
  Handler handler = [](Isolate&, Ref message) { EXPECT_EQ(message.word, 0u); };
  SpawnOptions options;
  options.on_exit = exits.listener();
  Spawn([&](Isolate& isolate) { ASSERT_TRUE(Start(isolate, handler, Ref{}, options).ok()); });
  for (const ExitInfo& info : exits.WaitFor(2)) EXPECT_EQ(info.reason, ExitReason::kReturned);
}

TEST_F(SpawnTest, AnUnsendableMessageSpawnsNothing) {
  Handler handler = [](Isolate&, Ref) { ADD_FAILURE() << "it was not to be spawned"; };
  SpawnOptions options;
  options.on_exit = exits.listener();
  TypeInfo info;
  info.name = "Socket";
  info.fixed_size = 2 * sizeof(Word);
  info.flags.unsendable = true;
  const Type* socket = heap().RegisterType(info).value();
  Spawn([&](Isolate& isolate) {
    const ObjectPtr object = isolate.mutator().Allocate(*socket);
    ASSERT_TRUE(object);
    const auto spawned = Start(isolate, handler, RefOf(object), options);
    ASSERT_FALSE(spawned.ok());
    EXPECT_THAT(spawned.status().message(), HasSubstr("\"Socket\""));
  });
  EXPECT_EQ(exits.WaitFor(1).size(), 1u);
}

TEST_F(SpawnTest, ABufferMovesToTheChild) {
  const Type* type = TransferableBuffer::RegisterType(heap()).value();
  std::atomic<size_t> received{0};
  Handler handler = [&](Isolate&, Ref message) {
    received = TransferableBuffer::BytesOf(ObjectOf(message)).size();
  };
  SpawnOptions options;
  options.on_exit = exits.listener();
  Spawn([&](Isolate& isolate) {
    SetField(isolate, 0,
             RefOf(TransferableBuffer::Allocate(isolate.mutator(), *type, 100).value()));
    ASSERT_TRUE(Start(isolate, handler, isolate.field(0), options).ok());
    EXPECT_TRUE(TransferableBuffer::IsDetached(ObjectOf(isolate.field(0))));
  });
  exits.WaitFor(2);
  EXPECT_EQ(received, 100u);
}

TEST_F(SpawnTest, ManyAtOnce) {
  constexpr int kIsolates = 1000;
  std::atomic<int> calls{0};
  Handler handler = [&](Isolate&, Ref message) {
    ExpectList(ObjectOf(message), 3, 10);
    ++calls;
  };
  SpawnOptions options;
  options.on_exit = exits.listener();
  Spawn([&](Isolate& isolate) {
    for (int i = 0; i < kIsolates; ++i) {
      MakeList(isolate, 0, 3, 10);
      ASSERT_TRUE(Start(isolate, handler, isolate.field(0), options).ok());
    }
  });
  exits.WaitFor(kIsolates + 1);
  EXPECT_EQ(calls, kIsolates);
}

}  // namespace
}  // namespace Atoll
