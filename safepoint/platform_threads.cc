#include <errno.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include <utility>

#include "safepoint/platform.h"
#include "safepoint/schedule_hooks.h"

namespace Atoll::platform {

namespace {

constexpr uint64_t kNanosPerSecond = 1'000'000'000;

}  // namespace

uint64_t NowNanos() {
#if ATOLL_SCHEDULES
  if (schedule::Active()) return schedule::Now();
#endif
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * kNanosPerSecond + static_cast<uint64_t>(now.tv_nsec);
}

// ---- Mutex

void Mutex::Lock() {
#if ATOLL_SCHEDULES
  if (schedule::Active()) {
    schedule::Point("lock mutex");
    while (pthread_mutex_trylock(&mutex_) != 0) schedule::Block(&mutex_, "wait for mutex");
    return;
  }
#endif
  pthread_mutex_lock(&mutex_);
}

void Mutex::Unlock() {
  pthread_mutex_unlock(&mutex_);
#if ATOLL_SCHEDULES
  if (schedule::Active()) {
    schedule::WakeAll(&mutex_);
    schedule::Point("unlocked mutex");
  }
#endif
}

bool Mutex::TryLock() {
#if ATOLL_SCHEDULES
  if (schedule::Active()) schedule::Point("try to lock mutex");
#endif
  return pthread_mutex_trylock(&mutex_) == 0;
}

// ---- ConditionVariable

ConditionVariable::ConditionVariable() {
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&condition_, &attributes);
  pthread_condattr_destroy(&attributes);
}

ConditionVariable::~ConditionVariable() { pthread_cond_destroy(&condition_); }

void ConditionVariable::Wait(Mutex& mutex) {
#if ATOLL_SCHEDULES
  if (schedule::Active()) {
    // Nobody else runs between these two lines, which is what makes the wait atomic.
    pthread_mutex_unlock(&mutex.mutex_);
    schedule::WakeAll(&mutex.mutex_);
    schedule::Block(this, "wait for condition");
    mutex.Lock();
    return;
  }
#endif
  pthread_cond_wait(&condition_, &mutex.mutex_);
}

bool ConditionVariable::WaitFor(Mutex& mutex, uint64_t nanos) {
#if ATOLL_SCHEDULES
  if (schedule::Active()) {
    pthread_mutex_unlock(&mutex.mutex_);
    schedule::WakeAll(&mutex.mutex_);
    const bool notified = schedule::BlockFor(this, nanos, "wait for condition, timed");
    mutex.Lock();
    return notified;
  }
#endif
  const uint64_t end = NowNanos() + nanos;
  timespec deadline;
  deadline.tv_sec = static_cast<time_t>(end / kNanosPerSecond);
  deadline.tv_nsec = static_cast<long>(end % kNanosPerSecond);
  return pthread_cond_timedwait(&condition_, &mutex.mutex_, &deadline) != ETIMEDOUT;
}

void ConditionVariable::NotifyOne() {
#if ATOLL_SCHEDULES
  if (schedule::Active()) {
    schedule::WakeOne(this);
    schedule::Point("notified one");
    return;
  }
#endif
  pthread_cond_signal(&condition_);
}

void ConditionVariable::NotifyAll() {
#if ATOLL_SCHEDULES
  if (schedule::Active()) {
    schedule::WakeAll(this);
    schedule::Point("notified all");
    return;
  }
#endif
  pthread_cond_broadcast(&condition_);
}

// ---- Thread

struct Thread::Start {
  std::string name;
  std::function<void()> entry;
  pthread_t thread;
#if ATOLL_SCHEDULES
  schedule::Child* child = nullptr;
#endif
};

Thread::Thread() = default;

Thread::Thread(const std::string& name, std::function<void()> entry) : start_(new Start) {
  start_->name = name.substr(0, 15);
  start_->entry = std::move(entry);
#if ATOLL_SCHEDULES
  if (schedule::Active()) start_->child = schedule::AddChild();
#endif
  const int error = pthread_create(&start_->thread, nullptr, &Thread::Main, start_.get());
  // NOLINTNEXTLINE(concurrency-mt-unsafe): the process ends here
  ATOLL_CHECK(error == 0, "cannot start the thread %s: %s", name.c_str(), strerror(error));
#if ATOLL_SCHEDULES
  if (schedule::Active()) schedule::Point("started thread");
#endif
}

Thread::~Thread() {
  ATOLL_CHECK(start_ == nullptr, "the thread %s was not joined", start_->name.c_str());
}

Thread::Thread(Thread&& other) noexcept = default;

Thread& Thread::operator=(Thread&& other) noexcept {
  ATOLL_CHECK(start_ == nullptr, "the thread %s was not joined", start_->name.c_str());
  start_ = std::move(other.start_);
  return *this;
}

void Thread::Join() {
  ATOLL_CHECK(start_ != nullptr, "joining a thread that was not started, or joined before");
#if ATOLL_SCHEDULES
  if (start_->child != nullptr && schedule::Active()) schedule::JoinChild(start_->child);
#endif
  pthread_join(start_->thread, nullptr);
  start_.reset();
}

void* Thread::Main(void* argument) {
  Start* start = static_cast<Start*>(argument);
  pthread_setname_np(pthread_self(), start->name.c_str());
#if ATOLL_SCHEDULES
  if (start->child != nullptr) {
    schedule::RunChild(start->child, start->entry);
    return nullptr;
  }
#endif
  start->entry();
  return nullptr;
}

void YieldThread() {
#if ATOLL_SCHEDULES
  if (schedule::Active()) {
    schedule::Yield("yield");
    return;
  }
#endif
  sched_yield();
}

void SpinPause() {
#if ATOLL_SCHEDULES
  if (schedule::Active()) {
    schedule::Yield("spin");
    return;
  }
#endif
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}

}  // namespace Atoll::platform
