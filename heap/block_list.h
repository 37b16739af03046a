#ifndef ATOLL_HEAP_BLOCK_LIST_H_
#define ATOLL_HEAP_BLOCK_LIST_H_

#include <cstddef>

#include "heap/address_space.h"
#include "heap/block.h"

namespace Atoll {

/// A singly linked list of blocks, linked through BlockInfo::next; counts blocks, with the tails of
/// large objects. All calls are O(1). Not synchronized: its owner's business.
class BlockList {
 public:
  bool empty() const { return head_ == kNoBlock; }
  BlockIndex head() const { return head_; }
  /// Blocks, large objects counted with all theirs.
  size_t block_count() const { return block_count_; }
  size_t bytes() const { return block_count_ * kBlockSize; }

  void Push(const AddressSpace& space, BlockIndex block) {
    BlockInfo& info = space.info(block);
    info.next = head_;
    if (head_ == kNoBlock) tail_ = block;
    head_ = block;
    block_count_ += info.run_blocks;
  }
  BlockIndex Pop(const AddressSpace& space) {
    const BlockIndex block = head_;
    if (block == kNoBlock) return kNoBlock;
    const BlockInfo& info = space.info(block);
    head_ = info.next;
    if (head_ == kNoBlock) tail_ = kNoBlock;
    block_count_ -= info.run_blocks;
    return block;
  }
  /// Moves all of `other` to the front.
  void Splice(const AddressSpace& space, BlockList& other) {
    if (other.empty()) return;
    space.info(other.tail_).next = head_;
    if (head_ == kNoBlock) tail_ = other.tail_;
    head_ = other.head_;
    block_count_ += other.block_count_;
    other = BlockList();
  }
  BlockList TakeAll() {
    BlockList all = *this;
    *this = BlockList();
    return all;
  }
  /// Calls fn(block) for each; fn may change the block's link only by taking it over wholly.
  template <typename Fn>
  void ForEach(const AddressSpace& space, Fn fn) const {
    for (BlockIndex block = head_; block != kNoBlock;) {
      const BlockIndex next = space.info(block).next;
      fn(block);
      block = next;
    }
  }

 private:
  BlockIndex head_ = kNoBlock;
  BlockIndex tail_ = kNoBlock;
  size_t block_count_ = 0;
};

}  // namespace Atoll

#endif  // ATOLL_HEAP_BLOCK_LIST_H_
