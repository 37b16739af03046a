#ifndef ATOLL_EXAMPLES_MIGRATING_MIGRATING_H_
#define ATOLL_EXAMPLES_MIGRATING_MIGRATING_H_

// One small virtual machine, four times: as it was before Atoll, and after each step of moving it.
// docs/migrating.md shows the differences.

#include <cstddef>
#include <cstdint>
#include <optional>

namespace migrating {

/// Makes lists of random numbers, sorts them, and keeps the last few.
struct Work {
  int64_t rounds;
  int64_t length;  ///< of each list
};

/// What the lists weigh, which is the same in each version. No value: memory was refused.
using Answer = std::optional<int64_t>;

Answer RunBefore(const Work& work);
/// `limit_bytes`: of what the virtual machine owns; 0: none.
Answer RunWithoutCollecting(const Work& work, size_t limit_bytes);
Answer RunWithHandles(const Work& work, size_t limit_bytes);
/// In so many isolates at the same time, which all get the same answer; else no value.
Answer RunInIsolates(const Work& work, size_t limit_bytes, int isolates);

}  // namespace migrating

#endif  // ATOLL_EXAMPLES_MIGRATING_MIGRATING_H_
