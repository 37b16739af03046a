// A group of isolates under stress: who lives where, what is on its way, and what was counted.
//
// Isolates live on a fixed number of seats; a seat whose isolate has ended gets another. Each has a
// port for ticks (operate!), sent by the driver, and one for messages of the others.
#ifndef ATOLL_TESTS_STRESS_COMMUNITY_H_
#define ATOLL_TESTS_STRESS_COMMUNITY_H_

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "atoll/messaging.h"
#include "tests/stress/closure.h"
#include "tests/stress/world.h"

namespace Atoll::stress {

class Member;

/// What is known of a port by those who send to it.
struct PortRecord {
  SendPort to;
  bool is_bounded = false;
  std::atomic<uint64_t> sent{0};  ///< and delivered, as the sender was told
  std::atomic<uint64_t> received{0};
  std::atomic<bool> closed{false};  ///< or about to be
};

/// The model of a message on its way.
struct Parcel {
  Graph graph;
  Edge root;            ///< a Pair with an id that no other object had when it was sent
  uint64_t sender = 0;  ///< number of the isolate
  uint64_t number = 0;  ///< of its messages
  std::shared_ptr<PortRecord> port;
};

/// Where isolates live, one after the other.
struct Seat {
  class Community* community = nullptr;
  uint32_t index = 0;
  std::mutex mutex;  ///< guards what follows
  bool occupied = false;
  uint64_t incarnation = 0;
  IsolateId id;  ///< since its first turn
  std::shared_ptr<PortRecord> ticks;
  std::shared_ptr<PortRecord> mail;
};

/// What happened in one run. Relaxed counts.
struct GroupCounts {
  std::atomic<uint64_t> operations{0};
  std::atomic<uint64_t> spawned{0};
  std::atomic<uint64_t> returned{0};
  std::atomic<uint64_t> killed{0};
  std::atomic<uint64_t> failed{0};
  std::atomic<uint64_t> handed_over{0};
  std::atomic<uint64_t> sent{0};        ///< copied messages and frozen ones
  std::atomic<uint64_t> received{0};    ///< of all kinds
  std::atomic<uint64_t> refused{0};     ///< what cannot be sent, frozen or handed over
  std::atomic<uint64_t> full{0};        ///< and over quota
  std::atomic<uint64_t> closed{0};      ///< to ports that were
  std::atomic<uint64_t> voided{0};      ///< tickets
  std::atomic<uint64_t> replaced{0};    ///< by a Become
  std::atomic<uint64_t> frozen{0};      ///< graphs
  std::atomic<uint64_t> not_frozen{0};  ///< since as much is as the run may keep
  std::atomic<uint64_t> residences{0};  ///< turns in another residence than the one before: parked
  std::atomic<uint64_t> refused_memory{0};
};

class Community final : public GroupClient {
 public:
  Community(uint32_t seats, uint64_t seed, size_t limit_bytes);

  /// Once the group stands.
  void Begin(IsolateGroup& group, const Setting& setting);

  IsolateGroup& group() { return *group_; }
  const Setting& setting() const { return *setting_; }
  uint64_t seed() const { return seed_; }
  Seat& seat(uint32_t index) { return seats_[index]; }
  uint32_t seats() const { return static_cast<uint32_t>(seats_.size()); }
  GroupCounts& counts() { return counts_; }

  /// Starts an isolate on a seat that is free; false if it is not.
  bool TrySpawn(Seat& seat);

  // Messages on their way, by the id of the root object.
  void AddParcel(std::unique_ptr<Parcel> parcel);
  std::unique_ptr<Parcel> TakeParcel(uint64_t id);
  size_t parcels();
  /// All is quiet: what is still on its way was sent to a port that was closed meanwhile.
  void CheckParcelsOfClosedPorts();

  /// Keeps frozen nodes, for good.
  void Keep(std::vector<std::unique_ptr<Node>> frozen);
  size_t frozen_nodes();
  Token* NewToken();
  void CheckAllTokensFired();

  // GroupClient
  Status InitializeIsolate(Isolate& isolate) override;
  void ShutdownIsolate(Isolate& isolate) override;
  void CleanupIsolate(IsolateId isolate, void* data) override;
  void OnEnter(Isolate& isolate) override;
  void VisitRoots(Isolate& isolate, RootVisitor& visitor) override;

 private:
  static void Enter(Isolate& isolate, void* seat);
  static void Ended(void* seat, const ExitInfo& info);

  const uint64_t seed_;
  const size_t limit_bytes_;
  IsolateGroup* group_ = nullptr;
  const Setting* setting_ = nullptr;
  std::deque<Seat> seats_;
  GroupCounts counts_;
  std::mutex mutex_;  // guards what follows
  std::unordered_map<uint64_t, std::unique_ptr<Parcel>> parcels_;
  std::vector<std::unique_ptr<Node>> frozen_;
  std::deque<Token> tokens_;
};

}  // namespace Atoll::stress

#endif  // ATOLL_TESTS_STRESS_COMMUNITY_H_
