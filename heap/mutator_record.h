#ifndef ATOLL_HEAP_MUTATOR_RECORD_H_
#define ATOLL_HEAP_MUTATOR_RECORD_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "atoll/handles.h"
#include "atoll/mutator.h"
#include "heap/old_allocator.h"
#include "heap/part.h"
#include "heap/remembered_set.h"

namespace Atoll {

/// Client bits of a mutator's poll word.
namespace poll_bits {
inline constexpr uint32_t kCollect = 1;     ///< a NoCollect allocation asked for a collection
inline constexpr uint32_t kFinalizers = 2;  ///< thread-affine finalizers are due
}  // namespace poll_bits

/// What a mutator has beside its hot fields. Touched by its own thread, or while it is stopped.
struct MutatorRecord {
  static constexpr size_t kHandlesPerSegment = 510;
  struct HandleSegment {
    std::unique_ptr<HandleSegment> previous;
    Word words[kHandlesPerSegment];  // of the newest, those before handle_next_ hold something
  };

  MutatorRecord(Mutator& mutator, GroupAllocator& allocator)
      : mutator(mutator), remembered(allocator) {}

  /// Gives up the allocation buffer: its block is listed, and walkable as far as it is filled. The
  /// region's allocation_mutex held, or its mutators stopped.
  void RetireBuffer();
  /// Takes another buffer with room for `size` bytes: a young block or, where objects are born old,
  /// free lines of Old. False: refused. allocation_mutex held.
  bool TakeBuffer(size_t size, BlockPool::Allowance allowance);
  /// The same from what the mutator has at hand: nothing where objects are born young. Own thread.
  bool TakeBufferAtHand(size_t size);
  /// Runs and forgets the thread-affine finalizers whose objects are dead. Own thread.
  void RunDueFinalizers();
  /// Refreshes what the barrier compares with, after the region's own part changed.
  void UseYoungTag(uint32_t tag) { mutator.young_tag_ = tag; }
  bool in_no_collect_scope() const { return mutator.no_collect_depth_ != 0; }
  /// Whether a NoCollectScope is open that is no StartsAnewScope's.
  bool in_lasting_no_collect_scope() const {
    return mutator.no_collect_depth_ != starts_anew_depth;
  }
  bool has_open_handles() const {
    return mutator.stack_refs_ != nullptr ||
           (handles != nullptr &&
            (mutator.handle_next_ != handles->words || handles->previous != nullptr));
  }
  uintptr_t top() const { return mutator.top_; }
  void SetError(Status status) { mutator.last_error_ = std::move(status); }

  /// Calls fn(Slot) for each handle in use.
  template <typename Fn>
  void ForEachHandle(Fn fn) {
    for (StackRef* ref = mutator.stack_refs_; ref != nullptr; ref = ref->previous_) {
      fn(Slot(&ref->word_));
    }
    Word* end = mutator.handle_next_;
    for (HandleSegment* segment = handles.get(); segment != nullptr;
         segment = segment->previous.get()) {
      for (Word* word = segment->words; word < end; ++word) fn(Slot(word));
      if (segment->previous != nullptr) end = segment->previous->words + kHandlesPerSegment;
    }
  }

  Mutator& mutator;
  std::unique_ptr<HandleSegment> handles;  ///< the newest segment; null before the first handle
  BlockIndex buffer_block = kNoBlock;      ///< the young block that is the buffer
  uintptr_t buffer_hole = 0;               ///< where the buffer starts, if it is lines of Old
  OldAllocator births;                     ///< what these are taken from
  size_t born_old_bytes = 0;               ///< in buffers given up, not yet in the region's counts
  RememberedSet remembered;
  std::vector<Finalizer> due_finalizers;  ///< thread-affine, their objects dead
  uint32_t starts_anew_depth = 0;         ///< of StartsAnewScopes

 private:
  void CloseBuffer();
  void UseBuffer(uintptr_t start, uintptr_t end);
};

/// A NoCollectScope of the library's own code that polls in it: it looks after each poll whether
/// there was a Become (HeapState::becomes), and if so forgets all references that it held raw, and
/// starts anew from handles.
class StartsAnewScope {
 public:
  explicit StartsAnewScope(Mutator& mutator) : scope_(mutator), record_(mutator.record()) {
    ++record_.starts_anew_depth;
  }
  ~StartsAnewScope() { --record_.starts_anew_depth; }
  StartsAnewScope(const StartsAnewScope&) = delete;
  StartsAnewScope& operator=(const StartsAnewScope&) = delete;

 private:
  const NoCollectScope scope_;
  MutatorRecord& record_;
};

}  // namespace Atoll

#endif  // ATOLL_HEAP_MUTATOR_RECORD_H_
