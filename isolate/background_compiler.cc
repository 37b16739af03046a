#include "atoll/background_compiler.h"

#include <algorithm>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "atoll/isolate.h"
#include "atoll/program.h"
#include "safepoint/platform.h"

namespace Atoll {

void CompilerClient::Installed(uintptr_t, void*) {}

struct BackgroundCompiler::Impl {
  enum class State : uint8_t { kQueued, kCompiling, kInstalling };
  struct Job {
    State state = State::kQueued;
    int priority = 0;
    uint64_t number = 0;          // of its request: first come, first served
    bool is_out_of_date = false;  // by Invalidate: to be done again
    bool is_cancelled = false;
    // Either, for the compilation: CompileJob.
    std::atomic<bool> unwanted{false};
  };
  // Highest priority first, then the oldest.
  using Key = std::tuple<int, uint64_t, uintptr_t>;
  static Key KeyOf(uintptr_t function, const Job& job) {
    return {-job.priority, job.number, function};
  }

  Impl(IsolateGroup& of_group, CompilerClient& of_client) : group(of_group), client(of_client) {}

  void Run();
  void Compile(uintptr_t function, Job& job);
  /// Under the lock: the job is over, as `count` says, or begins again.
  void End(uintptr_t function, Job& job, uint64_t* count);
  bool InvalidateLocked(Job& job);

  IsolateGroup& group;
  CompilerClient& client;
  std::vector<platform::Thread> threads;

  mutable platform::Mutex mutex;  // held for a few instructions; guards what follows
  platform::ConditionVariable work;
  platform::ConditionVariable idle;
  std::unordered_map<uintptr_t, Job> jobs;  // entries do not move
  std::set<Key> queue;                      // of those that are queued
  uint64_t requests = 0;
  bool is_stopping = false;
  Stats stats;
};

void BackgroundCompiler::Impl::Run() {
  mutex.Lock();
  for (;;) {
    while (queue.empty() && !is_stopping) work.Wait(mutex);
    if (is_stopping) break;
    const uintptr_t function = std::get<2>(*queue.begin());
    queue.erase(queue.begin());
    Job& job = jobs.find(function)->second;
    job.state = State::kCompiling;
    mutex.Unlock();
    Compile(function, job);
    mutex.Lock();
  }
  mutex.Unlock();
}

void BackgroundCompiler::Impl::Compile(uintptr_t function, Job& job) {
  void* code = client.Compile(function, CompileJob(job.unwanted));
  bool installs = false;
  uint64_t install_begin = 0;
  {
    // Who changes the program holds this exclusively: out of date or not, it stays so until the
    // code is installed.
    SharedProgramLock program(group.program().lock());
    {
      platform::MutexLock lock(mutex);
      installs = code != nullptr && !job.is_out_of_date && !job.is_cancelled;
      if (installs) job.state = State::kInstalling;
    }
    if (installs) {
      install_begin = platform::NowNanos();
      client.Install(function, code);
    }
  }
  uint64_t install_nanos = 0;
  if (installs) {
    group.heap().safepoints().HandshakeAll([](MutatorThread&) {});
    install_nanos = platform::NowNanos() - install_begin;
    client.Installed(function, code);
  } else if (code != nullptr) {
    client.Discard(function, code);
  }
  platform::MutexLock lock(mutex);
  stats.longest_install_nanos = std::max(stats.longest_install_nanos, install_nanos);
  End(function, job, installs ? &stats.installed : &stats.failed);
}

void BackgroundCompiler::Impl::End(uintptr_t function, Job& job, uint64_t* count) {
  if (job.is_cancelled) {
    count = &stats.cancelled;
  } else if (job.is_out_of_date) {
    ++stats.redone;
    if (!is_stopping) {
      job.state = State::kQueued;
      job.is_out_of_date = false;
      job.unwanted.store(false, std::memory_order_relaxed);  // see CompileJob
      queue.insert(KeyOf(function, job));
      work.NotifyOne();
      return;
    }
    count = &stats.cancelled;
  }
  ++*count;
  jobs.erase(function);
  if (jobs.empty()) idle.NotifyAll();
}

bool BackgroundCompiler::Impl::InvalidateLocked(Job& job) {
  if (job.state == State::kQueued) return false;  // not begun
  job.is_out_of_date = true;
  job.unwanted.store(true, std::memory_order_relaxed);  // see CompileJob
  return true;
}

BackgroundCompiler::BackgroundCompiler(IsolateGroup& group, CompilerClient& client, int threads)
    : impl_(new Impl(group, client)) {
  for (int i = 0; i < std::max(threads, 1); ++i) {
    impl_->threads.emplace_back("atoll-compiler", [this] { impl_->Run(); });
  }
}

BackgroundCompiler::~BackgroundCompiler() { Stop(); }

BackgroundCompiler::Answer BackgroundCompiler::Request(uintptr_t function, int priority) {
  platform::MutexLock lock(impl_->mutex);
  if (impl_->is_stopping) return Answer::kStopped;
  ++impl_->stats.requests;
  const auto [at, is_new] = impl_->jobs.try_emplace(function);
  Impl::Job& job = at->second;
  if (is_new) {
    job.priority = priority;
    job.number = ++impl_->requests;
    impl_->queue.insert(Impl::KeyOf(function, job));
    impl_->work.NotifyOne();
    return Answer::kQueued;
  }
  ++impl_->stats.joined;
  if (job.is_cancelled) {
    // Not yet noticed: what is compiled is thrown away, or finished already; so once more.
    job.is_cancelled = false;
    job.is_out_of_date = true;
  }
  if (priority > job.priority) {
    const bool is_queued = job.state == Impl::State::kQueued;
    if (is_queued) impl_->queue.erase(Impl::KeyOf(function, job));
    job.priority = priority;
    if (is_queued) impl_->queue.insert(Impl::KeyOf(function, job));
  }
  return Answer::kJoined;
}

bool BackgroundCompiler::Cancel(uintptr_t function) {
  platform::MutexLock lock(impl_->mutex);
  const auto at = impl_->jobs.find(function);
  if (at == impl_->jobs.end()) return false;
  Impl::Job& job = at->second;
  switch (job.state) {
    case Impl::State::kQueued:
      impl_->queue.erase(Impl::KeyOf(function, job));
      job.is_cancelled = true;
      impl_->End(function, job, &impl_->stats.cancelled);
      return true;
    case Impl::State::kCompiling:
      job.is_cancelled = true;
      job.unwanted.store(true, std::memory_order_relaxed);  // see CompileJob
      return true;
    case Impl::State::kInstalling:
      return false;
  }
  return false;
}

bool BackgroundCompiler::Invalidate(const StoppedScope& stopped, uintptr_t function) {
  ATOLL_CHECK(stopped.level() >= SafepointLevel::kDeopt,
              "a compilation is invalidated in a stop of level %s, which lets code stay as it is; "
              "Program::Change with kDeopt or kReload",
              ToString(stopped.level()));
  platform::MutexLock lock(impl_->mutex);
  const auto at = impl_->jobs.find(function);
  return at != impl_->jobs.end() && impl_->InvalidateLocked(at->second);
}

size_t BackgroundCompiler::InvalidateAll(const StoppedScope& stopped) {
  ATOLL_CHECK(stopped.level() >= SafepointLevel::kDeopt,
              "compilations are invalidated in a stop of level %s, which lets code stay as it is; "
              "Program::Change with kDeopt or kReload",
              ToString(stopped.level()));
  platform::MutexLock lock(impl_->mutex);
  size_t count = 0;
  for (auto& [function, job] : impl_->jobs) count += impl_->InvalidateLocked(job) ? 1 : 0;
  return count;
}

void BackgroundCompiler::WaitUntilIdle() {
  platform::MutexLock lock(impl_->mutex);
  while (!impl_->jobs.empty()) impl_->idle.Wait(impl_->mutex);
}

void BackgroundCompiler::Stop() {
  {
    platform::MutexLock lock(impl_->mutex);
    impl_->is_stopping = true;
    while (!impl_->queue.empty()) {
      const uintptr_t function = std::get<2>(*impl_->queue.begin());
      impl_->queue.erase(impl_->queue.begin());
      impl_->End(function, impl_->jobs.find(function)->second, &impl_->stats.cancelled);
    }
    for (auto& [function, job] : impl_->jobs) {
      if (job.state != Impl::State::kCompiling) continue;
      job.is_cancelled = true;
      job.unwanted.store(true, std::memory_order_relaxed);  // see CompileJob
    }
    impl_->work.NotifyAll();
  }
  for (platform::Thread& thread : impl_->threads) {
    if (thread.joinable()) thread.Join();
  }
}

BackgroundCompiler::Stats BackgroundCompiler::stats() const {
  platform::MutexLock lock(impl_->mutex);
  return impl_->stats;
}

}  // namespace Atoll
