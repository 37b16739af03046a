// Ranks of the program's mutexes; a thread locks in ascending order. The ProgramLock, which has no
// rank, comes before all of them.
#ifndef ATOLL_ISOLATE_PROGRAM_RANKS_H_
#define ATOLL_ISOLATE_PROGRAM_RANKS_H_

namespace Atoll {

inline constexpr int kCallSiteMutexRank = 60;
inline constexpr int kSymbolMutexRank = 70;

}  // namespace Atoll

#endif  // ATOLL_ISOLATE_PROGRAM_RANKS_H_
