// Run: an isolate computes, another one gets the result, or the error.
#include <gmock/gmock.h>

#include "tests/messaging/port_fixture.h"

namespace Atoll {
namespace {

using ::testing::HasSubstr;

class RunTest : public PortTest {
 protected:
  struct Task {
    std::function<Result<Ref>(Isolate&)> compute;
    std::function<void(Isolate&, const Result<Ref>&)> done;
  };
  static Status Start(Isolate& isolate, Task& task, SpawnOptions options = {}) {
    return Atoll::Run(
        isolate, options,
        [](Isolate& child, void* data) { return static_cast<Task*>(data)->compute(child); },
        [](Isolate& parent, const Result<Ref>& result, void* data) {
          static_cast<Task*>(data)->done(parent, result);
        },
        &task);
  }
  /// Runs a task in an isolate, and waits until both have ended.
  void RunTask(Task& task) {
    SpawnOptions child;
    child.on_exit = exits.listener();
    Spawn([&](Isolate& isolate) {
      const Status status = Start(isolate, task, child);
      EXPECT_TRUE(status.ok()) << status.message();
    });
    exits.WaitFor(2);
  }
};

TEST_F(RunTest, TheResultArrives) {
  int calls = 0;
  Task task;
  task.compute = [&](Isolate& isolate) -> Result<Ref> {
    MakeList(isolate, 0, 4, 1000);
    return isolate.field(0);
  };
  task.done = [&](Isolate&, const Result<Ref>& result) {
    ++calls;
    ASSERT_TRUE(result.ok()) << result.status().message();
    ExpectList(ObjectOf(result.value()), 4, 1000);
  };
  RunTask(task);
  EXPECT_EQ(calls, 1);
}

TEST_F(RunTest, TheErrorArrives) {
  int calls = 0;
  Task task;
  task.compute = [&](Isolate&) -> Result<Ref> {
    return Status(StatusCode::kUnsupported, "no such function");
  };
  task.done = [&](Isolate&, const Result<Ref>& result) {
    ++calls;
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.status().code(), StatusCode::kUnsupported);
    EXPECT_EQ(result.status().message(), "no such function");
  };
  RunTask(task);
  EXPECT_EQ(calls, 1);
}

TEST_F(RunTest, SoDoesThatItWasKilled) {
  int calls = 0;
  Task task;
  task.compute = [&](Isolate& isolate) -> Result<Ref> {
    group().Kill(isolate.id());
    while (isolate.Poll()) {
    }
    isolate.Exit();
    return Status(StatusCode::kCancelled, "nobody hears of it");
  };
  task.done = [&](Isolate&, const Result<Ref>& result) {
    ++calls;
    ASSERT_FALSE(result.ok());
    EXPECT_THAT(result.status().message(), HasSubstr("was killed"));
  };
  RunTask(task);
  EXPECT_EQ(calls, 1);
}

TEST_F(RunTest, SoDoesThatItCouldNotBeInitialized) {
  client.initialize = [](Isolate& isolate) {
    return std::string_view(isolate.name()) == "bad"
               ? Status(StatusCode::kResourceExhausted, "no room for bad ones")
               : Status::Ok();
  };
  int calls = 0;
  Task task;
  task.compute = [&](Isolate&) -> Result<Ref> {
    ADD_FAILURE();
    return Ref{};
  };
  task.done = [&](Isolate&, const Result<Ref>& result) {
    ++calls;
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.status().message(), "no room for bad ones");
  };
  SpawnOptions child;
  child.name = "bad";
  child.on_exit = exits.listener();
  Spawn([&](Isolate& isolate) { EXPECT_TRUE(Start(isolate, task, child).ok()); });
  exits.WaitFor(2);
  EXPECT_EQ(calls, 1);
}

TEST_F(RunTest, WithoutItsCallerTheResultIsFreed) {
  Event called_off;
  Task task;
  task.compute = [&](Isolate& isolate) -> Result<Ref> {
    called_off.Wait(isolate);
    MakeList(isolate, 0, 4, 1000);
    return isolate.field(0);
  };
  task.done = [&](Isolate&, const Result<Ref>&) { ADD_FAILURE() << "its isolate has ended"; };
  SpawnOptions child;
  child.on_exit = exits.listener();
  RunIsolate([&](Isolate& isolate) {
    EXPECT_TRUE(Start(isolate, task, child).ok());
    isolate.Exit();
  });
  called_off.Set();
  exits.WaitFor(2);
}

}  // namespace
}  // namespace Atoll
