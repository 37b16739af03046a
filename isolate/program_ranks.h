// Ranks of the program's mutexes; a thread locks in ascending order. All are below the heap's: what
// runs under the program's lock may allocate, and so collect.
#ifndef ATOLL_ISOLATE_PROGRAM_RANKS_H_
#define ATOLL_ISOLATE_PROGRAM_RANKS_H_

namespace Atoll {

inline constexpr int kProgramLockRank = 50;
inline constexpr int kCallSiteMutexRank = 60;
inline constexpr int kSymbolMutexRank = 70;

}  // namespace Atoll

#endif  // ATOLL_ISOLATE_PROGRAM_RANKS_H_
