#include <stddef.h>

#include <utility>

#include "atoll/safepoint.h"
#include "safepoint/safepoint_manager_impl.h"

namespace Atoll {

constinit thread_local MutatorThread* MutatorThread::current_ = nullptr;

const char* ToString(MutatorState state) {
  switch (state) {
    case MutatorState::kManaged:
      return "managed";
    case MutatorState::kNative:
      return "native";
    case MutatorState::kBlocked:
      return "blocked";
    case MutatorState::kAtSafepoint:
      return "at a safepoint";
  }
  return "in no known state";
}

MutatorThread::MutatorThread(std::string name) : name_(std::move(name)) {}

MutatorThread::~MutatorThread() {
  ATOLL_CHECK(manager() == nullptr,
              "the mutator %s is destroyed while attached: detach it from its manager first",
              name_.c_str());
  if (current_ == this) current_ = nullptr;
}

void MutatorThread::PollSlow() {
  ATOLL_DCHECK(state() == MutatorState::kManaged, "%s polls while %s", name_.c_str(),
               ToString(state()));
  // Relaxed: Answer synchronizes through the lock.
  if ((poll_word_.load(std::memory_order_relaxed) & kInterruptMask) != 0 && manager() != nullptr) {
    manager()->impl_->Answer(*this);
  }
  // Relaxed: a first look; what is missed now is seen at the next poll.
  if (poll_word_.load(std::memory_order_relaxed) >> kClientShift == 0) return;
  // Acquire: pairs with RequestPoll.
  const uint32_t bits =
      poll_word_.fetch_and(kInterruptMask, std::memory_order_acquire) >> kClientShift;
  if (bits != 0) OnPoll(bits);
}

void MutatorThread::EnterNativeSlow() {
  if (manager() == nullptr) return;
  platform::MutexLock lock(manager()->impl_->mutex);
  manager()->impl_->WakeWaitersFor(*this);
}

void MutatorThread::LeaveNativeSlow() { manager()->impl_->Answer(*this); }

void MutatorThread::EnterBlocked() {
  ATOLL_DCHECK(state() == MutatorState::kManaged, "%s blocks while %s", name_.c_str(),
               ToString(state()));
  // Release, fence and load: as in EnterNative.
  state_.store(MutatorState::kBlocked, std::memory_order_release);
  ATOLL_SCHEDULE_POINT("enter blocked: state stored");
  platform::LightFence();
  if ((poll_word_.load(std::memory_order_relaxed) & kInterruptMask) != 0) EnterNativeSlow();
}

void MutatorThread::LeaveBlocked() {
  ATOLL_DCHECK(state() == MutatorState::kBlocked, "%s unblocks while %s", name_.c_str(),
               ToString(state()));
  current_ = this;
  SafepointManager::Impl& impl = *manager()->impl_;
  platform::MutexLock lock(impl.mutex);
  impl.BecomeManaged(*this);
  impl.RunHandshakes(*this);
}

bool MutatorThread::TryLeaveBlocked() {
  ATOLL_DCHECK(state() == MutatorState::kBlocked, "%s unblocks while %s", name_.c_str(),
               ToString(state()));
  platform::MutexLock lock(manager()->impl_->mutex);
  if (hold_count_ > 0) return false;
  SafepointManager::Impl::Undetain(*this);
  current_ = this;
  // Release: nothing to publish, but the lock orders it after the last release of a hold.
  state_.store(MutatorState::kManaged, std::memory_order_release);
  return true;
}

void MutatorThread::RequestPoll(uint32_t client_bits) {
  ATOLL_DCHECK(client_bits <= kMaximumClientBits, "client bits %x do not fit", client_bits);
  // Release: what the asker wrote before is visible to OnPoll.
  poll_word_.fetch_or(client_bits << kClientShift, std::memory_order_release);
}

// The class has a virtual table pointer, so the standard leaves offsetof to the compiler; both
// supported ones define it for classes without virtual bases.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winvalid-offsetof"
size_t MutatorThread::PollWordOffset() { return offsetof(MutatorThread, poll_word_); }
size_t MutatorThread::StateOffset() { return offsetof(MutatorThread, state_); }
#pragma GCC diagnostic pop

}  // namespace Atoll
