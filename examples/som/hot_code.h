// Methods that run often get better code, beside the isolates that run them.
#ifndef SOM_HOT_CODE_H_
#define SOM_HOT_CODE_H_

#include <atoll/atoll.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "class.h"

namespace som {

class Universe;

struct HotCodeOptions {
  /// So many calls and jumps back make a method hot; 0: none ever is.
  uint32_t calls = 2000;
  /// So many of them between two looks at where an isolate is. A prime number: no loop whose length
  /// divides it hides its other calls.
  uint32_t calls_per_look = 251;
  /// For tests: who makes a method hot waits until it is compiled.
  bool waits = false;
  /// For tests: called by the compiler's thread before it compiles.
  std::function<void(const Method& method)> before_compile;
};

/// Counts, asks for, installs and invalidates optimized code. Thread-safe.
///
/// An isolate looks up after each so many calls and jumps back, as it must to learn that it was
/// killed; all of them are put down to the method that it is in then. So counting costs the calls
/// nothing. Each method is asked for once, by whichever isolate makes it hot.
class HotCode final : public Atoll::CompilerClient {
 public:
  HotCode(Universe& universe, const HotCodeOptions& options);
  ~HotCode() override;

  uint32_t calls_per_look() const { return options_.calls_per_look; }
  /// An isolate is in the method, calls_per_look() calls after it last said where it was. Managed
  /// state; a safepoint.
  void NoteLook(Method& method) {
    // Relaxed: see Method::heat.
    if (method.heat.load(std::memory_order_relaxed) >= hot_looks_) return;
    if (method.heat.fetch_add(1, std::memory_order_relaxed) + 1 == hot_looks_) Request(method);
  }

  /// In a Change that defines a method of that selector, in the place of `replaced` or of an
  /// inherited one: what has been made of methods of that name is in use no more.
  void Invalidate(const Atoll::StoppedScope& stopped, const Symbol* selector, Method* replaced);

  struct Stats {
    Atoll::BackgroundCompiler::Stats jobs;
    uint64_t invalidated = 0;     ///< installed codes that were taken back
    uint64_t sends_in_place = 0;  ///< in installed code
  };
  Stats stats() const;
  Atoll::BackgroundCompiler& compiler() { return compiler_; }

  // CompilerClient.
  void* Compile(uintptr_t function, const Atoll::CompileJob& job) override;
  void Install(uintptr_t function, void* code) override;
  void Discard(uintptr_t function, void* code) override;

 private:
  void Request(Method& method);

  Universe& universe_;
  const HotCodeOptions options_;
  const uint32_t hot_looks_;
  mutable std::mutex mutex_;  // held for a few instructions, or in a stop; guards what follows
  std::vector<Code::Owner> installed_;  // of those taken back too: frames may be in them
  uint64_t invalidated_ = 0;
  uint64_t sends_in_place_ = 0;
  Atoll::BackgroundCompiler compiler_;  // last: its threads use all that
};

}  // namespace som

#endif  // SOM_HOT_CODE_H_
