// Layer: isolate
#ifndef ATOLL_BACKGROUND_COMPILER_H_
#define ATOLL_BACKGROUND_COMPILER_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "atoll/safepoint.h"

/// Compiling functions while isolates run: by threads that belong to none of them, for all of them.
///
///   Request --> queued --> Compile --> [program's lock shared] Install --> handshake --> Installed
///                 |           |                 |
///               Cancel     Cancel            Invalidate: what was compiled is out of date;
///                 |           |                 Discard, and queued again
///                 v           v
///                gone      Discard

namespace Atoll {

class IsolateGroup;

/// Says to a compilation under way whether its result is still wanted.
class CompileJob {
 public:
  explicit CompileJob(const std::atomic<bool>& unwanted) : unwanted_(unwanted) {}
  // Relaxed: a hint; what counts is looked at under the queue's lock.
  bool is_unwanted() const { return unwanted_.load(std::memory_order_relaxed); }

 private:
  const std::atomic<bool>& unwanted_;
};

/// The embedder's compiler. All calls come from the compiler's threads, which are in no isolate and
/// no mutators: they touch no private object, and no Shared one that they do not know to be held.
/// Calls about one function come one after the other.
class CompilerClient {
 public:
  virtual ~CompilerClient() = default;
  /// Compiles; the code, or null if it cannot be. Takes the program's lock (shared) where it looks
  /// something up that may change; what changes all the same is made good by Invalidate.
  virtual void* Compile(uintptr_t function, const CompileJob& job) = 0;
  /// Makes the code the function's, by one store that isolates read without a lock. With the
  /// program's lock shared: nothing it was compiled from has been invalidated.
  virtual void Install(uintptr_t function, void* code) = 0;
  /// Each mutator has been at a safepoint since Install: whoever calls the function from now on
  /// finds the new code.
  virtual void Installed(uintptr_t function, void* code);
  /// The code of a Compile that is not installed.
  virtual void Discard(uintptr_t function, void* code) = 0;
};

/// A group's compiler: one queue, whoever asks. Thread-safe. A job belongs to no isolate, and
/// nothing is lost when the one that asked ends: each accepted request ends as installed, failed or
/// cancelled.
class BackgroundCompiler {
 public:
  /// Starts the threads. The client outlives it.
  BackgroundCompiler(IsolateGroup& group, CompilerClient& client, int threads = 1);
  /// Stop. Before the group's end; GroupClient::CleanupGroup is the place.
  ~BackgroundCompiler();
  BackgroundCompiler(const BackgroundCompiler&) = delete;
  BackgroundCompiler& operator=(const BackgroundCompiler&) = delete;

  enum class Answer : uint8_t {
    kQueued,
    kJoined,   ///< somebody has asked before: the same job, of the higher of both priorities
    kStopped,  ///< there is no compiler any more
  };
  /// Asks for a function, named by any number of the embedder's. Jobs of higher priority go first,
  /// then those that came first. From anywhere; a short lock, never a safepoint.
  Answer Request(uintptr_t function, int priority = 0);
  /// Its code will not be installed, unless that is under way or somebody asks again. False: there
  /// is no such job, or it is being installed.
  bool Cancel(uintptr_t function);

  /// In a Program::Change, of level kDeopt at least: a compilation of the function that is under
  /// way is not installed but done again. Returns whether there was one. What is installed already
  /// is the embedder's to undo.
  bool Invalidate(const StoppedScope& stopped, uintptr_t function);
  /// The same with all; returns how many.
  size_t InvalidateAll(const StoppedScope& stopped);

  /// Waits until there is no job. Not from managed state.
  void WaitUntilIdle();
  /// Cancels all jobs and ends the threads; one that compiles is waited for. From native state, or
  /// a thread that is no mutator, without the program's lock.
  void Stop();

  struct Stats {
    uint64_t requests = 0;   ///< that were not refused
    uint64_t joined = 0;     ///< of those
    uint64_t installed = 0;  ///< jobs that ended so; all jobs: requests - joined
    uint64_t failed = 0;
    uint64_t cancelled = 0;
    uint64_t redone = 0;  ///< compilations that were out of date before their job's end
    /// From the call of Install until each mutator had been at a safepoint: for so long a mutator
    /// may have gone on with what there was before. Nobody is stopped meanwhile.
    uint64_t longest_install_nanos = 0;
  };
  Stats stats() const;

 private:
  struct Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace Atoll

#endif  // ATOLL_BACKGROUND_COMPILER_H_
