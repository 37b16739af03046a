#ifndef ATOLL_HEAP_SEGMENTED_VECTOR_H_
#define ATOLL_HEAP_SEGMENTED_VECTOR_H_

#include <cstddef>
#include <utility>

#include "atoll/config.h"
#include "heap/group_allocator.h"

namespace Atoll {

/// A growing sequence in segments of 4 KiB of a heap's off-heap memory: elements never move, two
/// sequences are joined in O(1), and growing may be refused (then nothing has changed).
/// Not synchronized.
template <typename T>
class SegmentedVector {
  struct Segment;

 public:
  static constexpr size_t kSegmentBytes = 4096;

  explicit SegmentedVector(GroupAllocator& allocator) : allocator_(&allocator) {}
  SegmentedVector(SegmentedVector&& other) noexcept : allocator_(other.allocator_) {
    *this = std::move(other);
  }
  SegmentedVector& operator=(SegmentedVector&& other) noexcept {
    std::swap(head_, other.head_);
    std::swap(tail_, other.tail_);
    std::swap(size_, other.size_);
    std::swap(spare_, other.spare_);
    return *this;
  }
  ~SegmentedVector() {
    Clear();
    if (spare_ != nullptr) allocator_->Free(spare_, kSegmentBytes);
  }

  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }

  /// False, changing nothing, when memory is refused.
  bool TryPush(const T& value) {
    if (ATOLL_UNLIKELY(head_ == nullptr || head_->count == kPerSegment)) {
      if (!AddSegment()) return false;
    }
    head_->items[head_->count++] = value;
    ++size_;
    return true;
  }
  /// Removes the last element pushed. Legal only when not empty.
  T Pop() {
    T value = head_->items[--head_->count];
    --size_;
    if (head_->count == 0) DropHead();
    return value;
  }
  /// Makes room for one TryPush that then cannot fail, unless another comes before.
  bool TryReserveOne() {
    return (head_ != nullptr && head_->count < kPerSegment) || spare_ != nullptr ||
           (spare_ = NewSegment()) != nullptr;
  }
  /// Takes over all elements of `other`, of the same allocator. O(1).
  void Splice(SegmentedVector& other) {
    if (other.head_ == nullptr) return;
    other.tail_->next = head_;
    if (head_ == nullptr) tail_ = other.tail_;
    head_ = other.head_;
    size_ += other.size_;
    other.head_ = other.tail_ = nullptr;
    other.size_ = 0;
  }
  void Clear() {
    while (head_ != nullptr) DropHead();
    size_ = 0;
  }
  template <typename Fn>
  void ForEach(Fn fn) {
    for (Segment* segment = head_; segment != nullptr; segment = segment->next) {
      for (size_t i = 0; i < segment->count; ++i) fn(segment->items[i]);
    }
  }
  /// Keeps the elements for which fn(element&) is true; fn may change them. Needs no memory.
  template <typename Fn>
  void Filter(Fn fn) {
    Segment** link = &head_;
    tail_ = nullptr;
    size_ = 0;
    while (*link != nullptr) {
      Segment* segment = *link;
      size_t kept = 0;
      for (size_t i = 0; i < segment->count; ++i) {
        T value = segment->items[i];
        if (fn(value)) segment->items[kept++] = value;
      }
      segment->count = kept;
      size_ += kept;
      if (kept == 0) {
        *link = segment->next;
        allocator_->Free(segment, kSegmentBytes);
      } else {
        tail_ = segment;
        link = &segment->next;
      }
    }
  }

 private:
  static constexpr size_t kPerSegment = (kSegmentBytes - 2 * sizeof(void*)) / sizeof(T);
  struct Segment {
    Segment* next;
    size_t count;
    T items[kPerSegment];
  };
  static_assert(sizeof(Segment) <= kSegmentBytes);

  Segment* NewSegment() { return static_cast<Segment*>(allocator_->Allocate(kSegmentBytes)); }
  bool AddSegment() {
    Segment* segment = spare_ != nullptr ? spare_ : NewSegment();
    if (segment == nullptr) return false;
    spare_ = nullptr;
    segment->next = head_;
    segment->count = 0;
    if (head_ == nullptr) tail_ = segment;
    head_ = segment;
    return true;
  }
  void DropHead() {
    Segment* segment = head_;
    head_ = segment->next;
    if (head_ == nullptr) tail_ = nullptr;
    if (spare_ == nullptr) {
      spare_ = segment;
    } else {
      allocator_->Free(segment, kSegmentBytes);
    }
  }

  GroupAllocator* allocator_;
  Segment* head_ = nullptr;
  Segment* tail_ = nullptr;
  Segment* spare_ =
      nullptr;  // one kept, so that a sequence at a border does not allocate each time
  size_t size_ = 0;
};

}  // namespace Atoll

#endif  // ATOLL_HEAP_SEGMENTED_VECTOR_H_
