// Layer: isolate
#ifndef ATOLL_PROGRAM_H_
#define ATOLL_PROGRAM_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "atoll/ref.h"
#include "atoll/status.h"

/// The program: what all isolates of a group run, in one copy. Classes, code and constants are
/// Program objects (Heap::AllocateProgram), which no collection moves or frees. What this header
/// adds is what changes while isolates run: static fields, and symbols.

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
  size_t field_count() const;
  /// Of a field that has been added; else the zero word. No lock.
  Ref InitialField(size_t index) const;

  // ---- Symbols: one object for each text, of the whole group, so that comparing two texts is
  // comparing two references. Program objects: they stay as long as the group.

  /// What symbols are: a leaf with elements of one byte, its fixed part zero in a fresh one. Once,
  /// before the first symbol. Errors: another type; a second one.
  Status SetSymbolType(const Type& type);
  /// The symbol of a text, which may lie in an object; made if there is none. From managed code a
  /// safepoint. Errors: no memory, no type. Cost: a hash and a compare if there is one, no lock.
  Result<Ref> Intern(std::string_view text);
  /// The same, or the zero word if there is none. No lock, no safepoint.
  Ref FindSymbol(std::string_view text) const;
  size_t symbol_count() const;

  /// Off-heap memory that the program takes, in bytes.
  size_t native_bytes() const;

  /// The program's references to shared objects; see GroupRoots::VisitRoots.
  void VisitRoots(RootVisitor& visitor);
  ProgramState& state() const { return *state_; }

 private:
  const std::unique_ptr<ProgramState> state_;
};

}  // namespace Atoll

#endif  // ATOLL_PROGRAM_H_
