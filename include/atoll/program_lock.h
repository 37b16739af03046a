// Layer: isolate
#ifndef ATOLL_PROGRAM_LOCK_H_
#define ATOLL_PROGRAM_LOCK_H_

#include <memory>

namespace Atoll {

/// The lock of a group's program: shared by those who look things up in it (methods, by a call
/// that misses; classes, by a compiler), exclusive for who changes it. Reading by call sites, code
/// and symbols needs no lock at all.
///
/// As SafepointMutex: a managed mutator waits in blocked state, so that no stop waits for the lock,
/// and does not own it while it is held back itself; so **waiting for it is a safepoint**. Who owns
/// it may allocate and poll, and may be stopped with it. So whoever runs in a stop must not want
/// it: take it first, then stop. Not recursive, in neither mode: who wants it exclusively goes
/// before those that come to share it. Of lower rank than the mutexes of the heap. Usable by
/// threads that are no mutators.
class ProgramLock {
 public:
  ProgramLock();
  ~ProgramLock();
  ProgramLock(const ProgramLock&) = delete;
  ProgramLock& operator=(const ProgramLock&) = delete;

  void LockShared();
  void UnlockShared();
  void LockExclusive();
  void UnlockExclusive();

 private:
  struct Impl;
  const std::unique_ptr<Impl> impl_;
};

class [[nodiscard]] SharedProgramLock {
 public:
  explicit SharedProgramLock(ProgramLock& lock) : lock_(lock) { lock_.LockShared(); }
  ~SharedProgramLock() { lock_.UnlockShared(); }
  SharedProgramLock(const SharedProgramLock&) = delete;
  SharedProgramLock& operator=(const SharedProgramLock&) = delete;

 private:
  ProgramLock& lock_;
};

class [[nodiscard]] ExclusiveProgramLock {
 public:
  explicit ExclusiveProgramLock(ProgramLock& lock) : lock_(lock) { lock_.LockExclusive(); }
  ~ExclusiveProgramLock() { lock_.UnlockExclusive(); }
  ExclusiveProgramLock(const ExclusiveProgramLock&) = delete;
  ExclusiveProgramLock& operator=(const ExclusiveProgramLock&) = delete;

 private:
  ProgramLock& lock_;
};

}  // namespace Atoll

#endif  // ATOLL_PROGRAM_LOCK_H_
