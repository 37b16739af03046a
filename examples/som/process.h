// One isolate's run of SOM code: its stack, its ports, its errors, and the interpreter.
#ifndef SOM_PROCESS_H_
#define SOM_PROCESS_H_

#include <atoll/atoll.h>

#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "stack.h"
#include "universe.h"

namespace som {

/// A port that this isolate has opened, as SOM code uses it.
struct OpenPort {
  Process* process;
  Atoll::ReceivePort receive;
  Ref handler;             ///< a block; the zero word: there is none
  std::vector<Ref> queue;  ///< messages that nobody has taken yet, from `first` on
  size_t first = 0;

  bool has_messages() const { return first != queue.size(); }
  Ref Take() {
    const Ref message = queue[first++];
    if (first == queue.size()) {
      queue.clear();
      first = 0;
    }
    return message;
  }
};

/// What an isolate wants to know of another one's end.
struct Watch {
  Atoll::IsolateGroup& group;
  Process& process;  ///< used in its isolate's turns alone
  Atoll::ReceivePort notice;
  Atoll::SendPort notice_port;
  Atoll::ReceivePort result;  ///< of run:
  Atoll::SendPort told;       ///< of onEnd:
  bool is_run = false;
  Atoll::ExitInfo info;  ///< written before the notice is sent
};

/// Used by the turns of its isolate alone. Nothing here is recursive: a send, a primitive that
/// evaluates a block, an error, all push a frame and return to the one loop. So an isolate can stop
/// in the middle of anything, leave its thread, and go on in a later turn.
class Process {
 public:
  Process(Universe& universe, Atoll::Isolate& isolate) : universe_(universe), isolate_(&isolate) {}
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  static Process& Of(const Atoll::Isolate& isolate) {
    return *static_cast<Process*>(isolate.data());
  }

  Universe& universe() const { return universe_; }
  Atoll::Isolate& isolate() const { return *isolate_; }
  Atoll::Mutator& mutator() const { return isolate_->mutator(); }
  void VisitRoots(Atoll::RootVisitor& visitor);
  /// The end of a turn: what an idle isolate does not need goes.
  void LeaveTurn();

  // ---- Running

  /// Sends a message to what was pushed, receiver first, and runs until all is done, the isolate
  /// waits, or it ends. Handlers whose messages wait run afterwards.
  void Run(const Symbol* selector, int arity);
  void Push(Ref value) { *stack_.top++ = value; }
  /// Makes room to push so many values. False: an error has been raised or the isolate ends.
  bool Reserve(size_t values) { return stack_.Reserve(values, stack_limit_); }
  Stack& stack() { return stack_; }

  // ---- For primitives. Receiver and arguments are what is topmost on the stack, and there is room
  // ---- for kSpare more values; their results are what these return.

  static constexpr size_t kSpare = 4;

  /// Leaves a value in the place of receiver and arguments.
  static Outcome Return(Ref* values, Ref result) {
    values[0] = result;
    return Outcome::kValue;
  }
  /// The same for one that was allocated: the zero word means that there was no memory.
  Outcome ReturnNew(Ref* values, Ref result) {
    return ATOLL_LIKELY(result.word != 0) ? Return(values, result) : FailOfMemory();
  }
  /// The receiver gets error: with these words, before which stand class and selector.
  Outcome Fail(std::string words) {
    error_ = std::move(words);
    return Outcome::kFailed;
  }
  /// An allocation returned null: mutator().last_error() says why.
  Outcome FailOfMemory();
  /// The outcome of a primitive that moved what is on the stack.
  static Outcome Changed(Outcome outcome) {
    return outcome == Outcome::kValue ? Outcome::kFrame : outcome;
  }
  /// Sends to the receiver, which with its `arity` arguments is topmost on the stack. kValue: the
  /// result is topmost.
  Outcome Send(const Symbol* selector, int arity);
  /// The same for a method that has been looked up.
  Outcome Invoke(const Method* method, int arity);
  Outcome Evaluate(const Closure* closure, int arity);
  Outcome Restart();
  /// Ends the isolate, with an error that those hear who listen.
  Outcome Die(const std::string& words);
  Outcome Exit(int64_t code);
  void PrintStack(std::FILE* to) const;
  /// The same on standard error, as SOM code asks for it.
  void PrintStackTrace() {
    PrintStack(stderr);
    has_printed_stack_ = true;
  }
  /// A global's value; the zero word: it has none.
  Ref GlobalValue(uint32_t field) const { return isolate_->field(field); }

  Ref NewString(std::string_view text);
  Ref NewDouble(double value);
  /// Elements are nil. The zero word: no memory.
  Ref NewArray(size_t length);
  /// Of the class, which has a type.
  ObjectPtr Allocate(const Class& info) { return mutator().Allocate(*info.type); }
  /// A store into an object's slot. False: the object is frozen.
  ATOLL_ALWAYS_INLINE bool Store(Ref object, Ref* slot, Ref value) {
    Atoll::Mutator& mutator = this->mutator();
    if (ATOLL_UNLIKELY(IsFrozen(object))) return false;
    Atoll::Store<Atoll::PlainPointers>(mutator, PtrOf(object), Atoll::Slot(&slot->word), value);
    return true;
  }

  // ---- Isolates, see isolate_primitives.cc

  /// Null: no memory for it.
  OpenPort* NewPort();
  OpenPort* FindPort(const Atoll::SendPort& port);
  Outcome Receive(OpenPort& port);
  void ClosePort(OpenPort* port);
  static void OnMessage(Atoll::Isolate& isolate, Ref message, void* data);
  /// Waits for an answer of the virtual machine's own, which Resume gives.
  Outcome Wait() {
    waits_ = true;
    return Outcome::kStopped;
  }
  /// Goes on where Wait stopped: the topmost value becomes `result`, or, if there are words, the
  /// receiver that it is gets error:.
  void Resume(Ref result, const std::string& error = {});
  /// The isolate has handed over all that it owns.
  Outcome End() {
    has_ended_ = true;
    return Outcome::kStopped;
  }
  /// With its notice's port open, whose handler gets the Watch. Null: no memory for a port.
  std::shared_ptr<Watch> NewWatch(Atoll::MessageHandler on_notice);
  void RemoveWatch(const Watch* watch);
  /// An isolate ends when its code has, unless a handler or a Watch of it can run later.
  void EndIfNothingCanRun();
  /// Null: the class path has none.
  const Class* PortClass() const;
  bool IsFrozen(Ref value) const {
    return IsSmall(value) || (mutator().TagOf(value.word) & Atoll::tag::kShared) != 0;
  }
  void set_result_port(const Atoll::SendPort& port) { result_port_ = port; }
  void set_is_main() { is_main_ = true; }

 private:
  Outcome Interpret();
  /// False: the isolate was killed.
  bool Poll() {
    if (universe_.options().collect_at_polls) {
      fuel_ = 1;  // the next one polls as well
      (void)mutator().Collect(Atoll::Mutator::Collection::kMinor);
    }
    return isolate_->Poll();
  }
  void GoOn(Outcome outcome);
  void Finish();
  void RunHandlers();
  /// The argument of the error: that is being handled; empty: none is.
  std::string ErrorInHand() const;
  size_t IndexOf(const Ref* value) const { return static_cast<size_t>(value - stack_.values); }
  bool TryPushFrame(const Method* method, int arity);
  Outcome PushFrame(const Method* method, int arity);
  Outcome Dispatch(Outcome outcome, const Method* method, size_t receiver);
  Outcome DoesNotUnderstand(const Symbol* selector, int arity);
  Outcome UnknownGlobal(const Symbol* name);
  const Method* Miss(SendSite& site, uint32_t key);
  Outcome Raise(size_t receiver, const std::string& words);
  Outcome ReturnNonLocal(Ref value);
  Outcome StackOverflow(int arity);
  Ref MakeLiteralArray(const Method& method, size_t index);
  Ref MakeBlock(const Method* code);

  Universe& universe_;
  Atoll::Isolate* const isolate_;
  Stack stack_;
  size_t stack_limit_ = universe_.options().stack_limit_bytes;
  std::string error_;
  uint64_t next_activation_ = 0;
  uint64_t activations_end_ = 0;
  uint32_t fuel_ = 1;  // calls and jumps back until it looks up
  bool is_main_ = false;
  bool is_over_limit_ = false;   // of memory: once more is fatal
  bool has_overflowed_ = false;  // its stack, likewise
  bool waits_ = false;
  bool has_ended_ = false;
  bool has_printed_stack_ = false;
  OpenPort* waits_for_ = nullptr;
  Atoll::SendPort result_port_;
  std::vector<std::unique_ptr<OpenPort>> ports_;
  std::vector<std::shared_ptr<Watch>> watches_;
};

}  // namespace som

#endif  // SOM_PROCESS_H_
