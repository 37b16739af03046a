// Watches the workers of a group, so that no isolate waits behind another that does not run.
//
// A worker whose isolate has been native, or blocked, on two looks in a row is handed to another
// thread; a LIFO slot that has held the same isolate on two looks is moved to the queue. The looks
// are 20 us apart at first and up to 10 ms when nothing was found for long; while no worker has
// anything to do there are none, but soon memory that is not needed is given back. Isolates for
// which there was no region are tried again at each look, and free memory goes back to the system
// when its time has come, whether or not anything is collected.
//
// It waits for no isolate. (In ResidencePool::Trim it may wait for a stop of the group; then no
// isolate runs that a worker could be handed on from.)
//
// The transition to native state itself so costs no more for it.
#ifndef ATOLL_ISOLATE_MONITOR_H_
#define ATOLL_ISOLATE_MONITOR_H_

#include <atomic>
#include <cstdint>

#include "safepoint/platform.h"

namespace Atoll {

struct GroupState;
struct IsolateRecord;
class Residence;
struct Worker;

class Monitor {
 public:
  explicit Monitor(GroupState& group) : group_(group) {}

  void Start();
  void Stop();
  /// Workers have something to do again. Cheap when it is awake.
  void NoteBusy();

 private:
  // What was seen of a worker last time.
  struct Seen {
    uint64_t turns = 0;
    bool was_away = false;
    IsolateRecord* next = nullptr;
    uint64_t since = 0;  // of the turn, about
  };

  void Main();
  /// Until a worker has something to do: gives back memory that is not needed. Under mutex_.
  void WhileIdle();
  /// `may_be_freed`: by those who run meanwhile.
  void Decay(bool may_be_freed);
  /// Whether anything was done.
  bool Look(Worker& worker, Seen& seen);
  bool HandOn(Worker& worker, Residence& residence);

  GroupState& group_;
  platform::Mutex mutex_;
  platform::ConditionVariable wake_;
  std::atomic<bool> asleep_{false};  // see NoteBusy; written under mutex_
  bool stopping_ = false;
  uint64_t next_decay_ = 0;  // of its thread: when free blocks may be due to go back
  platform::Thread thread_;
};

}  // namespace Atoll

#endif  // ATOLL_ISOLATE_MONITOR_H_
