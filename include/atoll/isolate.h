// Layer: isolate
#ifndef ATOLL_ISOLATE_H_
#define ATOLL_ISOLATE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "atoll/heap.h"
#include "atoll/status.h"

/// Isolates: programs that share one heap and nothing else. An isolate owns what it allocates, is
/// collected by itself, and is spoken to by messages (atoll/messaging.h). A group holds the heap
/// that its isolates share, and a scheduler that runs them on a few threads.
///
/// An isolate runs in *turns*: when something has come into its inbox, a worker thread runs it
/// until that has been handled. Between turns it takes no thread, and, when it holds little, no
/// memory of its own on the heap: it is *parked*, packed off the heap, until its next turn.

namespace Atoll {

class Isolate;
class IsolateGroup;
class OwnFields;
class Program;
struct GroupState;

/// Names an isolate, also after it has ended. A value; never used again for another isolate.
struct IsolateId {
  uint32_t index = 0;
  uint64_t generation = 0;  ///< 0: no isolate
  friend bool operator==(const IsolateId&, const IsolateId&) = default;
};

/// How an isolate ended.
enum class ExitReason : uint8_t {
  kReturned,    ///< nothing was left that could wake it, or it called Exit
  kKilled,      ///< by Kill, or by the shutdown of its group
  kFailed,      ///< it could not be initialized, or called Fail; the Status says why
  kHandedOver,  ///< it sent all that it owned to another isolate
  kGone,        ///< it had ended before; how is not known any more
};
const char* ToString(ExitReason reason);

struct ExitInfo {
  IsolateId isolate;
  ExitReason reason = ExitReason::kReturned;
  Status error;  ///< of kFailed
};

/// What the virtual machine that embeds a group does for it. All of it is optional.
///
/// The calls about one isolate come one after the other, though from different threads. Those that
/// say *managed* may use the isolate's mutator as its own code may.
class GroupClient {
 public:
  virtual ~GroupClient() = default;

  /// The group has its heap and no isolate yet: register types here. An error ends Create.
  virtual Status CreateGroup(IsolateGroup& group);
  /// Managed, in the isolate's first turn, before its entry. An error ends the isolate (kFailed),
  /// without ShutdownIsolate; CleanupIsolate is called.
  virtual Status InitializeIsolate(Isolate& isolate);
  /// Managed, current: the isolate is about to end, and has all that it owns. Not after a
  /// hand-over.
  virtual void ShutdownIsolate(Isolate& isolate);
  /// On any thread, in no isolate: the isolate is gone; `data` is what Isolate::set_data left.
  virtual void CleanupIsolate(IsolateId isolate, void* data);
  /// All isolates are gone, the heap still stands.
  virtual void CleanupGroup();

  /// Managed, current: around each turn.
  virtual void OnEnter(Isolate& isolate);
  virtual void OnLeave(Isolate& isolate);

  /// Visits the isolate's roots, those apart that it holds in fields, handles and Persistents: in
  /// collections, under RegionClient::VisitRoots' rules, and when the isolate is parked and
  /// unparked: then in the same order, since it is the order that says which root is which.
  virtual void VisitRoots(Isolate& isolate, RootVisitor& visitor);
};

/// Called once, when the isolate has ended, on any thread, in no isolate.
struct ExitListener {
  void (*fn)(void* data, const ExitInfo& info) = nullptr;
  void* data = nullptr;
};

struct SpawnOptions {
  /// The isolate's first turn. It goes on living while something holds it, see Isolate::Hold.
  void (*entry)(Isolate& isolate, void* data) = nullptr;
  void* data = nullptr;
  const char* name = "isolate";  ///< a string literal, or one that outlives the group
  size_t limit_bytes = 0;        ///< of its region; 0: only the heap's limit
  ExitListener on_exit = {};
};

struct GroupOptions {
  const char* name = "group";  ///< as SpawnOptions::name
  HeapOptions heap = {};
  GroupClient* client = nullptr;  ///< null: one that does nothing. Outlives the group.
  /// Threads that run isolates at the same time. 0: one per processor. More are started while
  /// isolates are in native state or wait.
  int workers = 0;
  /// Isolates per worker that may keep memory on the heap between turns although they could be
  /// parked.
  uint32_t resident_isolates = 512;
  /// Isolates with more live bytes than this are not parked; at most 8 KiB.
  size_t park_bytes = 4096;
};

/// An isolate in one of its turns. Used by the thread that runs the turn alone, and only during it:
/// what should be known of an isolate later is its id.
class Isolate {
 public:
  Isolate(const Isolate&) = delete;
  Isolate& operator=(const Isolate&) = delete;

  /// The isolate whose turn this thread runs; null if none.
  static Isolate* Current() { return current_; }

  IsolateId id() const;
  const char* name() const { return name_; }
  IsolateGroup& group() const;
  /// Managed when a turn's functions are called, and when they return. Another one in each turn.
  Mutator& mutator() const { return *mutator_; }

  /// The embedder's own.
  void* data() const { return data_; }
  void set_data(void* data) { data_ = data; }

  /// A poll of the mutator, and whether the isolate shall go on: false when it was killed; then the
  /// turn's functions return as soon as they can. To be called where code polls.
  ATOLL_ALWAYS_INLINE bool Poll() {
    mutator_->Poll();
    return !IsKilled();
  }
  bool IsKilled() const;

  /// Ends the isolate when the function that runs has returned; what is in its inbox is discarded.
  void Exit();
  /// The same, with an error for those who listen (ExitReason::kFailed).
  void Fail(Status error);

  /// Roots of the isolate by number: its static variables. Until the isolate has set one, it is
  /// what the program says (Program::AddFields), or else the zero word. O(1), however many the
  /// program has: setting one for the first time may take memory for its 64 neighbours. Error:
  /// kResourceExhausted.
  Ref field(size_t index) const {
    if (index < field_capacity_ && (fields_->written >> index & 1) != 0) {
      return Ref{fields_->values[index]};
    }
    return FieldSlow(index);
  }
  Status SetField(size_t index, Ref value) {
    if (index < field_capacity_ && (fields_->written >> index & 1) != 0) {
      fields_->values[index] = value.word;
      return {};
    }
    return SetFieldSlow(index, value);
  }

  /// An isolate ends when a turn ends and nothing holds it: each open port does, and each Hold.
  void Hold() { ++holds_; }
  void Unhold() { --holds_; }

 protected:
  Isolate(GroupState& group, const SpawnOptions& options) : group_(&group), name_(options.name) {}
  ~Isolate() = default;

  /// The isolate's own values of the first fields; of the further ones, if any has been set.
  struct FirstFields {
    uint64_t written;  // bit i: values[i] has been set
    OwnFields* further;
    Word values[];  // field_capacity_
  };
  static constexpr size_t kFirstFields = 64;
  static size_t FirstFieldsBytes(size_t capacity) {
    return sizeof(FirstFields) + capacity * sizeof(Word);
  }

  Ref FieldSlow(size_t index) const;
  Status SetFieldSlow(size_t index, Ref value);

  static constinit thread_local Isolate* current_;

  Mutator* mutator_ = nullptr;
  GroupState* const group_;
  void* data_ = nullptr;
  FirstFields* fields_ = nullptr;
  uint32_t field_capacity_ = 0;
  uint32_t holds_ = 0;
  const char* const name_;
};

/// Isolates that share a heap and a scheduler. Several may exist in a process. Thread-safe.
class IsolateGroup {
 public:
  /// Makes the heap, the client's group, and the workers. Errors: the heap's options, the client's.
  static Result<std::unique_ptr<IsolateGroup>> Create(const GroupOptions& options);
  /// Shutdown, and an end of the heap. Not from inside an isolate of the group.
  ~IsolateGroup();
  IsolateGroup(const IsolateGroup&) = delete;
  IsolateGroup& operator=(const IsolateGroup&) = delete;

  /// Starts an isolate; its entry runs in a turn of its own, soon. From inside an isolate of the
  /// group or from any other thread. Errors: no entry; the group shuts down; no memory. The
  /// listener and the client's CleanupIsolate are called exactly when a spawn has succeeded.
  /// Cost: some 100 ns; it takes no memory on the heap.
  Result<IsolateId> Spawn(const SpawnOptions& options);

  /// Ends the isolate at its next safepoint: a Poll, or the end of a turn's function; code in
  /// native state is not interrupted. `done` (if it has a function) is called when it has ended and
  /// been cleaned up, or now if it has already.
  void Kill(IsolateId isolate, ExitListener done = {});
  /// From its next turn on the isolate handles no messages until it is resumed; they stay in its
  /// inbox. It can be killed. False: it has ended.
  bool Pause(IsolateId isolate);
  bool Resume(IsolateId isolate);

  /// Calls the listener when the isolate has ended: with how, if it is alive still (and with the
  /// error, if it failed), else with kGone, now or soon.
  void AddExitListener(IsolateId isolate, ExitListener listener);

  /// Waits until the group has no isolate. Not from inside one.
  void WaitUntilEmpty();
  /// Refuses to spawn from now on, kills all isolates and waits until they are gone.
  void Shutdown();

  const char* name() const;
  Heap& heap() const;
  GroupClient& client() const;
  /// What its isolates share (atoll/program.h).
  Program& program() const;
  size_t isolate_count() const;
  GroupState& state() const { return *state_; }

 private:
  explicit IsolateGroup(std::unique_ptr<GroupState> state);
  std::unique_ptr<GroupState> state_;
  bool is_created_ = true;
};

/// An isolate on a thread of the embedder's: in one turn from the beginning to the end, managed,
/// but while it waits in Receive. It takes no worker. Made, used and destroyed on one thread, which
/// is in no other isolate then.
class EnteredIsolate {
 public:
  /// Makes an isolate and enters it. SpawnOptions::entry is not called, and may be null. Errors: as
  /// for Spawn, and of GroupClient::InitializeIsolate; the thread is in an isolate already.
  static Result<std::unique_ptr<EnteredIsolate>> Enter(IsolateGroup& group,
                                                       const SpawnOptions& options);
  /// Ends the isolate, and leaves it. No HandleScope is open.
  ~EnteredIsolate();
  EnteredIsolate(const EnteredIsolate&) = delete;
  EnteredIsolate& operator=(const EnteredIsolate&) = delete;

  Isolate& isolate() const;

  enum class Received : uint8_t {
    kHandled,   ///< at least one message was handled
    kTimedOut,  ///< none came in time
    kEnded,     ///< the isolate was killed, or called Exit or Fail: destroy it
  };
  static constexpr uint64_t kForever = UINT64_MAX;
  /// Handles the messages that wait (a bounded number of them), or waits for one; native meanwhile,
  /// so what is not in handles or roots may move.
  Received Receive(uint64_t timeout_nanos = kForever);

 private:
  struct Inside;
  explicit EnteredIsolate(std::unique_ptr<Inside> inside);
  std::unique_ptr<Inside> inside_;
};

}  // namespace Atoll

#endif  // ATOLL_ISOLATE_H_
