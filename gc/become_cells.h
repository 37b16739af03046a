#ifndef ATOLL_GC_BECOME_CELLS_H_
#define ATOLL_GC_BECOME_CELLS_H_

#include <cstddef>
#include <cstdint>

#include "heap/block_pool.h"

namespace Atoll {

/// Where references are between the two steps of a Become in which objects change places: a word
/// for each pair, in blocks of their own, which holds what the pair's reference is to become.
///
///   step 1:  reference to before[i]  -->  to cell i
///   step 2:  reference to cell i     -->  to after[i], which cell i holds
///
/// No cell is a `before`, and no object a cell: so a slot that is visited twice in a step, by way
/// of two roots say, is as after once.
class BecomeCells {
 public:
  BecomeCells(AddressSpace& space, BlockPool& pool) : space_(space), pool_(pool) {}
  ~BecomeCells() {
    if (first_ != kNoBlock) pool_.Give(first_, blocks_);
  }
  BecomeCells(const BecomeCells&) = delete;
  BecomeCells& operator=(const BecomeCells&) = delete;

  /// For so many pairs; once. False: memory is refused.
  [[nodiscard]] bool Reserve(size_t pairs) {
    blocks_ = (pairs * sizeof(uintptr_t) + kBlockSize - 1) / kBlockSize;
    // Given back at once, as what a collection takes.
    first_ = pool_.Take(blocks_, BlockPool::Allowance::kReserve);
    return first_ != kNoBlock;
  }
  /// None, unless Reserve has been called.
  bool empty() const { return first_ == kNoBlock; }
  uintptr_t Cell(size_t pair) const { return space_.AddressOf(first_) + pair * sizeof(uintptr_t); }
  bool Contains(uintptr_t address) const {
    return !empty() && address - space_.AddressOf(first_) < blocks_ * kBlockSize;
  }
  static uintptr_t& TargetIn(uintptr_t cell) { return *reinterpret_cast<uintptr_t*>(cell); }
  template <typename Fn>
  void ForEachBlock(Fn fn) const {
    for (size_t i = 0; !empty() && i < blocks_; ++i) fn(first_ + static_cast<BlockIndex>(i));
  }

 private:
  AddressSpace& space_;
  BlockPool& pool_;
  BlockIndex first_ = kNoBlock;
  size_t blocks_ = 0;
};

}  // namespace Atoll

#endif  // ATOLL_GC_BECOME_CELLS_H_
