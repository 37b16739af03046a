// A group of isolates whose code is a test's lambdas, and which must leave nothing behind.
#ifndef ATOLL_TESTS_ISOLATE_ISOLATE_FIXTURE_H_
#define ATOLL_TESTS_ISOLATE_ISOLATE_FIXTURE_H_

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "atoll/isolate.h"
#include "heap/heap_state.h"
#include "isolate/group_state.h"
#include "tests/heap/heap_fixture.h"

namespace Atoll {

/// Happens once, and then has happened.
class Event {
 public:
  void Set() {
    std::lock_guard lock(mutex_);
    happened_ = true;
    condition_.notify_all();
  }
  /// On a thread of the test's.
  void Wait() {
    std::unique_lock lock(mutex_);
    condition_.wait(lock, [this] { return happened_; });
  }
  /// In an isolate's turn.
  void Wait(Isolate& isolate) {
    NativeScope native(isolate.mutator());
    Wait();
  }
  bool happened() const {
    std::lock_guard lock(mutex_);
    return happened_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable condition_;
  bool happened_ = false;
};

/// Polls until `condition()` holds, or the isolate is killed: false.
template <typename Condition>
bool PollUntil(Isolate& isolate, Condition condition) {
  while (!condition()) {
    if (!isolate.Poll()) return false;
    platform::YieldThread();
  }
  return true;
}

/// Collects what listeners are told. Thread-safe.
class ExitLog {
 public:
  ExitListener listener() {
    return {[](void* data, const ExitInfo& info) { static_cast<ExitLog*>(data)->Add(info); }, this};
  }
  /// Waits until there are that many.
  std::vector<ExitInfo> WaitFor(size_t count) {
    std::unique_lock lock(mutex_);
    condition_.wait(lock, [&] { return infos_.size() >= count; });
    return infos_;
  }
  /// Waits for the one of `isolate`.
  ExitInfo WaitFor(IsolateId isolate) {
    std::unique_lock lock(mutex_);
    for (;;) {
      for (const ExitInfo& info : infos_) {
        if (info.isolate == isolate) return info;
      }
      condition_.wait(lock);
    }
  }
  size_t count() const {
    std::lock_guard lock(mutex_);
    return infos_.size();
  }

 private:
  void Add(const ExitInfo& info) {
    EXPECT_EQ(Isolate::Current(), nullptr) << "listeners are called in no isolate";
    std::lock_guard lock(mutex_);
    infos_.push_back(info);
    condition_.notify_all();
  }

  mutable std::mutex mutex_;
  std::condition_variable condition_;
  std::vector<ExitInfo> infos_;
};

/// Does what a test has set, and registers the test types.
class TestClient : public GroupClient {
 public:
  Status CreateGroup(IsolateGroup& group) override {
    if (!create_error.ok()) return create_error;
    types = std::make_unique<TestTypes>(group.heap());
    return Status::Ok();
  }
  Status InitializeIsolate(Isolate& isolate) override {
    return initialize ? initialize(isolate) : Status::Ok();
  }
  void ShutdownIsolate(Isolate& isolate) override {
    if (shutdown) shutdown(isolate);
  }
  void CleanupIsolate(IsolateId isolate, void* data) override {
    if (cleanup) cleanup(isolate, data);
  }
  void CleanupGroup() override {
    if (cleanup_group) cleanup_group();
  }
  void OnEnter(Isolate& isolate) override {
    if (enter) enter(isolate);
  }
  void OnLeave(Isolate& isolate) override {
    if (leave) leave(isolate);
  }
  void VisitRoots(Isolate& isolate, RootVisitor& visitor) override {
    if (visit_roots) visit_roots(isolate, visitor);
  }

  Status create_error;
  std::unique_ptr<TestTypes> types;
  std::function<Status(Isolate&)> initialize;
  std::function<void(Isolate&)> shutdown;
  std::function<void(IsolateId, void*)> cleanup;
  std::function<void()> cleanup_group;
  std::function<void(Isolate&)> enter;
  std::function<void(Isolate&)> leave;
  std::function<void(Isolate&, RootVisitor&)> visit_roots;
};

/// A group with a client and isolates that run lambdas; at its end nothing may be left of them.
class GroupUnderTest {
 public:
  using Body = std::function<void(Isolate&)>;

  GroupUnderTest() {
    options.name = "test-group";
    options.client = &client;
    options.workers = 2;
    options.heap.seed = 1;
    options.heap.workers = 2;
    options.heap.violation_handler = [](const Violation& violation, void*) {
      ADD_FAILURE() << violation.message;
    };
  }
  ~GroupUnderTest() { End(); }

  IsolateGroup& group() {
    std::lock_guard lock(mutex_);
    if (group_ == nullptr) {
      auto made = IsolateGroup::Create(options);
      EXPECT_TRUE(made.ok()) << made.status().message();
      group_ = std::move(made).value();
      bytes_at_start_ = group_->heap().state().allocator.bytes() - group_->program().native_bytes();
      blocks_at_start_ = BlocksWithoutProgram();
    }
    return *group_;
  }
  Heap& heap() { return group().heap(); }
  const TestTypes& types() {
    group();
    return *client.types;
  }

  Result<IsolateId> TrySpawn(Body body, SpawnOptions spawn = {}) {
    IsolateGroup& target = group();
    if (spawn.on_exit.fn == nullptr) spawn.on_exit = exits.listener();
    spawn.entry = [](Isolate& isolate, void* data) { (*static_cast<Body*>(data))(isolate); };
    {
      std::lock_guard lock(mutex_);
      spawn.data = &bodies_.emplace_back(std::move(body));
    }
    return target.Spawn(spawn);
  }
  IsolateId Spawn(Body body, SpawnOptions spawn = {}) {
    Result<IsolateId> id = TrySpawn(std::move(body), spawn);
    EXPECT_TRUE(id.ok()) << id.status().message();
    return id.ok() ? id.value() : IsolateId{};
  }
  /// Runs `body` in an isolate of its own, to the isolate's end.
  ExitInfo RunIsolate(Body body, SpawnOptions spawn = {}) {
    spawn.on_exit = {};
    return exits.WaitFor(Spawn(std::move(body), spawn));
  }
  /// Kills the isolate and waits until it has gone.
  ExitInfo KillAndWait(IsolateId isolate) {
    ExitLog done;
    group().Kill(isolate, done.listener());
    return done.WaitFor(1).front();
  }

  void ExpectValid() {
    const Status status = heap().Verify();
    EXPECT_TRUE(status.ok()) << status.message();
  }
  void CollectAll() {
    const Status status = heap().CollectAll();
    EXPECT_TRUE(status.ok()) << status.message();
  }

  /// Ends all isolates, and the group; what they had must have been given back.
  void End() {
    if (group_ == nullptr) return;
    group_->Shutdown();
    EXPECT_EQ(group_->isolate_count(), 0u);
    if (before_end) before_end();
    before_end = nullptr;
    GroupState& state = group_->state();
    state.monitor.Stop();
    state.scheduler.Stop();
    // What has not been needed since the last time is given back: so it takes two.
    state.Trim();
    state.Trim();
    ExpectValid();
    CollectAll();
    EXPECT_EQ(state.heap->stats().regions, 0u);
    EXPECT_EQ(state.heap->stats().region_bytes, 0u);
    EXPECT_EQ(state.heap->stats().external_bytes, 0u);
    EXPECT_EQ(state.heap->stats().shared_bytes, 0u);
    EXPECT_EQ(BlocksWithoutProgram(), blocks_at_start_);
    EXPECT_EQ(state.heap->state().allocator.bytes() - state.program.native_bytes(),
              bytes_at_start_);
    group_.reset();
    bodies_.clear();
  }

  TestClient client;
  GroupOptions options;
  ExitLog exits;
  /// Called when all isolates have ended.
  std::function<void()> before_end;

 private:
  size_t BlocksWithoutProgram() {
    return group_->heap().state().pool.used_bytes() - group_->heap().stats().program_bytes;
  }

  std::mutex mutex_;
  std::unique_ptr<IsolateGroup> group_;
  std::deque<Body> bodies_;
  size_t bytes_at_start_ = 0;
  size_t blocks_at_start_ = 0;
};

class IsolateTest : public ::testing::Test, protected GroupUnderTest {
 protected:
  void TearDown() override { End(); }

  static ObjectPtr NewPair(Isolate& isolate, const TestTypes& types, uint64_t id) {
    const ObjectPtr object = isolate.mutator().Allocate(*types.pair);
    EXPECT_TRUE(object) << isolate.mutator().last_error().message();
    IdAt(object) = id;
    return object;
  }
  ObjectPtr NewPair(Isolate& isolate, uint64_t id) { return NewPair(isolate, *client.types, id); }
  /// Stores to a field, which must work.
  static void SetField(Isolate& isolate, size_t index, Ref value) {
    const Status status = isolate.SetField(index, value);
    EXPECT_TRUE(status.ok()) << status.message();
  }
  /// A list linked by `a`, ids first .. first + count - 1, in a field.
  void MakeList(Isolate& isolate, size_t field, uint64_t first, size_t count) {
    SetField(isolate, field, Ref{});
    for (size_t i = count; i-- > 0;) {
      const ObjectPtr object = NewPair(isolate, first + i);
      Link(isolate.mutator(), object, kA, ObjectOf(isolate.field(field)));
      SetField(isolate, field, RefOf(object));
    }
  }
  static void ExpectList(ObjectPtr head, uint64_t first, size_t count) {
    size_t seen = 0;
    for (ObjectPtr at = head; at; at = Load(at, kA)) {
      ASSERT_EQ(IdAt(at), first + seen);
      ++seen;
    }
    EXPECT_EQ(seen, count);
  }
};

/// An immediate of the test encoding.
inline Ref Immediate(uint64_t value) { return Ref{value << 3 | 1}; }
inline uint64_t ValueOf(Ref immediate) { return immediate.word >> 3; }

}  // namespace Atoll

#endif  // ATOLL_TESTS_ISOLATE_ISOLATE_FIXTURE_H_
