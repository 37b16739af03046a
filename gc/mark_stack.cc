#include "gc/mark_stack.h"

#include <algorithm>

namespace Atoll {
namespace {
// About as long as a wait would take to be woken from.
constexpr int kSpins = 400;
}  // namespace

bool MarkStack::AddSegment() {
  Segment* segment = spare_;
  spare_ = nullptr;
  if (segment == nullptr) segment = static_cast<Segment*>(allocator_.Allocate(sizeof(Segment)));
  if (segment == nullptr) return false;
  head_->count = Count();
  segment->next = head_;
  Enter(segment, 0);
  return true;
}

bool MarkStack::DropSegment() {
  while (Count() == 0) {
    if (head_ == &first_) return false;
    Segment* empty = head_;
    Enter(empty->next, empty->next->count);
    if (spare_ == nullptr) {
      spare_ = empty;
    } else {
      allocator_.Free(empty, sizeof(Segment));
    }
  }
  return true;
}

MarkStack::Segment* MarkStack::Split() {
  if (head_->next != nullptr && head_->next != &first_) {
    Segment* given = head_->next;
    head_->next = given->next;
    return given;
  }
  const size_t count = Count();
  if (count < 2) return nullptr;
  auto* given = static_cast<Segment*>(allocator_.Allocate(sizeof(Segment)));
  if (given == nullptr) return nullptr;
  given->next = nullptr;
  given->count = count / 2;
  std::copy_n(head_->entries, given->count, given->entries);
  std::copy(head_->entries + given->count, head_->entries + count, head_->entries);
  Enter(head_, count - given->count);
  return given;
}

void MarkStack::Take(Segment* segment) {
  head_->count = Count();
  segment->next = head_;
  Enter(segment, segment->count);
}

void WorkSharing::Join() {
  platform::MutexLock lock(mutex_);
  ++joined_;
}

void WorkSharing::Give(MarkStack& stack) {
  MarkStack::Segment* segment = stack.Split();
  if (segment == nullptr) return;
  platform::MutexLock lock(mutex_);
  segment->next = list_;
  list_ = segment;
  available_.fetch_add(1, std::memory_order_relaxed);  // a hint; list_ is guarded by the mutex
  changed_.NotifyOne();
}

bool WorkSharing::GetWork(MarkStack& stack) {
  mutex_.Lock();
  ++idle_;
  idle_hint_.store(idle_, std::memory_order_relaxed);  // a hint
  for (int spins = 0;;) {
    if (list_ != nullptr) {
      MarkStack::Segment* segment = list_;
      list_ = segment->next;
      available_.fetch_sub(1, std::memory_order_relaxed);  // a hint
      --idle_;
      idle_hint_.store(idle_, std::memory_order_relaxed);  // a hint
      mutex_.Unlock();
      stack.Take(segment);
      return true;
    }
    if (done_ || idle_ == joined_) {
      done_ = true;
      // From here on nobody takes what is given: single-threaded phases keep their work.
      idle_hint_.store(0, std::memory_order_relaxed);  // a hint
      changed_.NotifyAll();
      mutex_.Unlock();
      return false;
    }
    if (spins < kSpins) {
      mutex_.Unlock();
      // Relaxed: a hint, looked at again under the mutex.
      while (spins < kSpins && available_.load(std::memory_order_relaxed) == 0) {
        ++spins;
        platform::SpinPause();
      }
      mutex_.Lock();
    } else {
      changed_.Wait(mutex_);
    }
  }
}

void WorkSharing::Reset() {
  platform::MutexLock lock(mutex_);
  joined_ = idle_ = 0;
  done_ = false;
  idle_hint_.store(0, std::memory_order_relaxed);  // no thread is here
}

}  // namespace Atoll
