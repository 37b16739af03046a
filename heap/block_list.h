#ifndef ATOLL_HEAP_BLOCK_LIST_H_
#define ATOLL_HEAP_BLOCK_LIST_H_

#include <cstddef>

#include "heap/address_space.h"
#include "heap/block.h"

namespace Atoll {

/// A doubly linked list of blocks, linked through their infos; counts blocks, with the tails of
/// large objects. All calls but ForEach are O(1). Not synchronized: its owner's business.
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
    info.previous = kNoBlock;
    (head_ == kNoBlock ? tail_ : space.info(head_).previous) = block;
    head_ = block;
    block_count_ += info.run_blocks;
  }
  void PushBack(const AddressSpace& space, BlockIndex block) {
    BlockInfo& info = space.info(block);
    info.next = kNoBlock;
    info.previous = tail_;
    (tail_ == kNoBlock ? head_ : space.info(tail_).next) = block;
    tail_ = block;
    block_count_ += info.run_blocks;
  }
  BlockIndex Pop(const AddressSpace& space) {
    const BlockIndex block = head_;
    if (block != kNoBlock) Remove(space, block);
    return block;
  }
  /// Legal only for a block of this list.
  void Remove(const AddressSpace& space, BlockIndex block) {
    const BlockInfo& info = space.info(block);
    (info.previous == kNoBlock ? head_ : space.info(info.previous).next) = info.next;
    (info.next == kNoBlock ? tail_ : space.info(info.next).previous) = info.previous;
    block_count_ -= info.run_blocks;
  }
  /// Moves all of `other` to the front.
  void Splice(const AddressSpace& space, BlockList& other) {
    if (other.empty()) return;
    space.info(other.tail_).next = head_;
    (head_ == kNoBlock ? tail_ : space.info(head_).previous) = other.tail_;
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
