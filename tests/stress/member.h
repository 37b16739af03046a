// One isolate of a community: its graph and the model of it, what it does at a tick, and what it
// makes of messages.
#ifndef ATOLL_TESTS_STRESS_MEMBER_H_
#define ATOLL_TESTS_STRESS_MEMBER_H_

#include <array>
#include <memory>
#include <unordered_map>
#include <vector>

#include "atoll/handles.h"
#include "atoll/messaging.h"
#include "tests/stress/community.h"

namespace Atoll::stress {

/// Which immediates are ticks: operate; compare heap and model.
inline constexpr uint32_t kTick = 0;
inline constexpr uint32_t kVerifyTick = 1;

/// Used in the isolate's turns alone. Its operations follow from the community's seed, its number
/// and the number of the operation; what they work on, from what has arrived.
class Member {
 public:
  Member(Community& community, Seat& seat, uint64_t number);

  /// The isolate's entry.
  void Begin(Isolate& isolate);
  void Enter(Isolate& isolate);
  void VisitRoots(RootVisitor& visitor);
  /// It is about to end.
  void NoteEnd();

 private:
  static constexpr uint32_t kFields = 12;      // roots in the isolate's fields, and
  static constexpr uint32_t kClientRoots = 6;  // in roots_, which VisitRoots visits
  static constexpr uint32_t kRoots = kFields + kClientRoots;
  static constexpr int kOperations = 24;    // of a tick
  static constexpr uint32_t kFewLive = 30;  // nodes of every other member, so that it is parked

  struct Picked {
    Node* node = nullptr;
    ObjectPtr object;
    explicit operator bool() const { return node != nullptr; }
  };
  struct Walk {
    uint32_t number = 0;
    size_t reached = 0;
    std::vector<std::pair<Node*, uintptr_t>> pending;
    std::vector<std::pair<Node*, uintptr_t>> weak;
    std::vector<std::pair<Node*, uintptr_t>> ephemerons;
    std::unordered_map<const Node*, uintptr_t> frozen;  // other isolates walk them, too
  };

  // ---- Turns
  void Tick(Isolate& isolate, Ref message);
  void Receive(Isolate& isolate, Ref message);
  void Operate(Isolate& isolate);
  void OpenMail(Isolate& isolate);
  std::shared_ptr<PortRecord> NewRecord(const ReceivePort& port, bool is_bounded);
  uint32_t most_live() const { return number_ % 2 == 0 ? kFewLive : setting_.most_live; }

  // ---- The graph (member.cc)
  Word RootWord(const Isolate& isolate, uint32_t i) const;
  void SetRoot(Isolate& isolate, uint32_t i, Edge edge, Word word);
  uint32_t AnyRoot() { return random_.Below(kRoots); }
  Word WordOf(Edge edge, uintptr_t address) const;
  const Type& TypeOf(Kind kind) const { return *setting_.types[static_cast<size_t>(kind)]; }
  Picked Pick(Isolate& isolate);
  Edge PickValue(Isolate& isolate, Word* word);
  Node* Allocate(Isolate& isolate, Kind kind, uint32_t length, ObjectPtr* object);
  Node* NewNode(uint64_t id, Kind kind, uint32_t length);
  void DropHalf(Isolate& isolate);
  void Take(Graph graph);

  size_t Verify(Isolate& isolate);
  void Reach(Walk& walk, Mutator& mutator, Edge edge, Word word, const char* from, uint64_t id);
  void Drain(Walk& walk, Mutator& mutator);
  bool IsReached(const Walk& walk, const Node& node) const;
  void CheckWeak(Walk& walk, Mutator& mutator);
  void Prune(uint32_t walk_number);

  // ---- Operations (member_operations.cc)
  void AllocateOne(Isolate& isolate);
  void StoreOne(Isolate& isolate);
  void ChangeRoot(Isolate& isolate);
  void AskHash(Isolate& isolate);
  void AddFinalizer(Isolate& isolate);
  void UsePersistent(Isolate& isolate);
  /// Another object takes the place of one, frozen ones too (replacement.cc).
  void Replace(Isolate& isolate);
  void Collect(Isolate& isolate);
  /// A Pair with a fresh id, in root 0: the root of a message. It refers to a part of the graph, or
  /// to `fresh` objects that nothing else refers to. Null: no memory.
  Node* MakeHead(Isolate& isolate, uint32_t fresh);
  std::shared_ptr<PortRecord> AnyMail();
  void SendPart(Isolate& isolate);
  void FreezePart(Isolate& isolate, bool send);
  void HandOver(Isolate& isolate);
  void Post(Isolate& isolate, Ref root, std::unique_ptr<Parcel> parcel, bool is_refused);
  std::unique_ptr<Parcel> NewParcel(Node* head, std::shared_ptr<PortRecord> port);
  bool MayFail(const Isolate& isolate, const Status& why) const;

  Community& community_;
  Seat& seat_;
  const Setting& setting_;
  const uint64_t number_;
  uint64_t operation_ = 0;
  Random random_{0};
  Graph graph_;
  std::array<Edge, kRoots> edges_{};
  std::array<Word, kClientRoots> roots_{};
  std::vector<Held<Persistent>> persistents_;
  std::unordered_map<uint64_t, uint64_t> last_from_;  // sender -> number of its last message
  uint64_t messages_ = 0;                             // sent
  LocalRef* local_ = nullptr;                         // of the tick that runs, and
  Node* local_node_ = nullptr;
  bool is_ending_ = false;
  const Mutator* last_mutator_ = nullptr;
  ReceivePort ticks_;
  ReceivePort mail_;
  std::shared_ptr<PortRecord> ticks_record_;
  std::shared_ptr<PortRecord> mail_record_;
};

}  // namespace Atoll::stress

#endif  // ATOLL_TESTS_STRESS_MEMBER_H_
