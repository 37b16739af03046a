// Layer: isolate
#ifndef ATOLL_PROGRAM_H_
#define ATOLL_PROGRAM_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "atoll/call_site.h"
#include "atoll/function_ref.h"
#include "atoll/program_lock.h"
#include "atoll/ref.h"
#include "atoll/safepoint.h"
#include "atoll/status.h"

/// The program: what all isolates of a group run, in one copy. Classes, code and constants are
/// Program objects (Heap::AllocateProgram), which no collection moves or frees. What this header
/// adds is what changes while isolates run: static fields, symbols, and what calls lead to.

namespace Atoll {

class RootVisitor;
struct GroupState;
struct ProgramState;
struct Type;

/// The program of a group: IsolateGroup::program(). Thread-safe.
class Program {
 public:
  explicit Program(GroupState& group);  // the group's
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // ---- Fields: static variables. The program says which there are, each isolate has its own
  // values (Isolate::field, SetField), which are the initial ones until it has written to them.

  /// Adds one field for each value, which is its initial one in all isolates, those that run too,
  /// but in one that has written to the index already. Returns the index of the first. The values
  /// are immediates and references to Program or Shared objects; with the latter only from managed
  /// code. Errors: a private object among them; no memory, or more than 16 million fields; nothing
  /// has been added then. A lock; O(values).
  Result<size_t> AddFields(std::span<const Ref> initial_values);
  Result<size_t> AddField(Ref initial_value) { return AddFields({&initial_value, 1}); }
  /// Gives a field that has been added another initial value: of a global variable, say, whose
  /// class is loaded only now. At once, and whole, in all isolates that have not written the field;
  /// what refers to the value sees all that was written before. Errors: as AddFields; no such
  /// field. No lock.
  Status SetInitialField(size_t index, Ref value);
  size_t field_count() const;
  /// Of a field that has been added; else the zero word. No lock.
  Ref InitialField(size_t index) const;

  // ---- Symbols: one object for each text, of the whole group, so that comparing two texts is
  // comparing two references. They are Shared objects, which never move; a group collection frees
  // those that nothing refers to, so what the program names for good stands in a Program object or
  // in the initial value of a field. From managed code, or while the group is created.

  /// What symbols are: a leaf with elements of one byte, its fixed part zero in a fresh one. Once,
  /// before the first symbol. Errors: another type; a second one.
  Status SetSymbolType(const Type& type);
  /// The symbol of a text, which may lie in an object; made if there is none. A safepoint, so what
  /// it returns is to be held before the next one. Errors: no memory, no type. Cost: a hash and a
  /// compare if there is one, no lock.
  Result<Ref> Intern(std::string_view text);
  /// The same, or the zero word if there is none. No lock, no safepoint.
  Ref FindSymbol(std::string_view text) const;
  size_t symbol_count() const;

  // ---- Code that changes while it runs

  /// Shared by those who look things up in the program, exclusive for who changes it.
  ProgramLock& lock() const;

  /// What to call at `site` for `key` (not 0), for which its Lookup has said null. `look_up` is
  /// asked with the lock shared, so that what it finds holds, and the site remembers it; unless it
  /// is null, which is returned and not remembered. Managed state, without the lock; a safepoint.
  /// No memory to remember it: the next call misses too.
  const void* Miss(CallSite& site, uintptr_t key,
                   FunctionRef<const void*(uintptr_t selector, uintptr_t key)> look_up);

  /// Runs `change` with the program's lock and all mutators stopped: for what code that runs may
  /// rely on, as methods that are replaced (kDeopt), or classes (kReload). When it returns, no
  /// Lookup gives what was forgotten in it. Not inside a stop, nor with the lock. Error: as of
  /// SafepointManager::RunWithMutatorsStopped; `change` has not run then.
  Status Change(SafepointLevel level, const char* reason,
                FunctionRef<void(const StoppedScope&)> change);
  /// In a Change: makes all call sites of the selector unlinked, so that their next calls miss.
  /// Returns how many were not. O(sites of the selector, and all that megamorphic sites know).
  size_t ResetCallSites(const StoppedScope& stopped, uintptr_t selector);
  CallSiteStats call_site_stats() const;

  /// Off-heap memory that the program takes, in bytes.
  size_t native_bytes() const;

  /// The program's references to shared objects; see GroupRoots::VisitRoots.
  void VisitRoots(RootVisitor& visitor);
  /// Its symbols; see GroupRoots::VisitWeakRoots.
  void VisitWeakRoots(RootVisitor& visitor);
  ProgramState& state() const { return *state_; }

 private:
  const std::unique_ptr<ProgramState> state_;
};

}  // namespace Atoll

#endif  // ATOLL_PROGRAM_H_
