// What a member does: with its graph, with ports, and with messages.
#include <algorithm>
#include <utility>

#include "safepoint/platform.h"
#include "tests/stress/check.h"
#include "tests/stress/member.h"

namespace Atoll::stress {
namespace {

constexpr size_t kMostFrozen = 100'000;  // nodes, which are kept for good

void Count(std::atomic<uint64_t>& number) { number.fetch_add(1, std::memory_order_relaxed); }

Kind RandomKind(Random& random) {
  const uint32_t choice = random.Below(512);
  if (choice < 200) return Kind::kPair;
  if (choice < 300) return Kind::kNode;
  if (choice < 360) return Kind::kLeaf;
  if (choice < 380) return Kind::kWeak;
  if (choice < 400) return Kind::kEphemeron;
  if (choice < 425) return Kind::kCustom;
  if (choice < 450) return Kind::kSelf;
  if (choice < 455) return Kind::kWide;
  if (choice < 470) return Kind::kHalf;
  if (choice < 485) return Kind::kRefArray;
  if (choice < 495) return Kind::kStructArray;
  if (choice < 509) return Kind::kBytes;
  return choice == 509 ? Kind::kStay : choice == 510 ? kUnsendable : Kind::kPair;
}

// Of those that may be frozen.
Kind RandomPlainKind(Random& random) {
  constexpr Kind kKinds[] = {Kind::kPair, Kind::kNode, Kind::kSelf, Kind::kCustom, Kind::kHalf};
  return kKinds[random.Below(5)];
}

}  // namespace

// ---- Turns

std::shared_ptr<PortRecord> Member::NewRecord(const ReceivePort& port, bool is_bounded) {
  auto record = std::make_shared<PortRecord>();
  record->to = port.send_port();
  record->is_bounded = is_bounded;
  return record;
}

void Member::Begin(Isolate& isolate) {
  random_ = Random(community_.seed() ^ Mix(number_));
  auto opened = ReceivePort::Open(
      isolate,
      [](Isolate& current, Ref message, void* data) {
        static_cast<Member*>(data)->Tick(current, message);
      },
      this);
  STRESS_CHECK(opened.ok() || setting_.memory_is_refused, "%s", opened.status().message().c_str());
  if (!opened.ok()) return;  // so it ends
  ticks_ = std::move(opened).value();
  ticks_record_ = NewRecord(ticks_, false);
  {
    std::lock_guard<std::mutex> lock(seat_.mutex);
    seat_.ticks = ticks_record_;
  }
  OpenMail(isolate);
}

void Member::OpenMail(Isolate& isolate) {
  if (mail_record_ != nullptr) mail_record_->closed.store(true);
  mail_.Close();
  PortOptions options;
  const uint32_t choice = random_.Below(4);
  if (choice == 0) options.max_messages = 1 + random_.Below(4);
  if (choice == 1) options.max_bytes = 100 + random_.Below(100'000);
  auto opened = ReceivePort::Open(
      isolate,
      [](Isolate& current, Ref message, void* data) {
        static_cast<Member*>(data)->Receive(current, message);
      },
      this, options);
  STRESS_CHECK(opened.ok() || setting_.memory_is_refused, "%s", opened.status().message().c_str());
  if (opened.ok()) {
    mail_ = std::move(opened).value();
    mail_record_ = NewRecord(mail_, choice < 2);
  } else {
    mail_record_ = nullptr;
  }
  std::lock_guard<std::mutex> lock(seat_.mutex);
  seat_.mail = mail_record_;
}

void Member::NoteEnd() {
  for (const auto& record : {ticks_record_, mail_record_}) {
    if (record != nullptr) record->closed.store(true);
  }
}

void Member::Enter(Isolate& isolate) {
  // It owns nothing of the residence that it had in the turn before: it has been parked.
  if (last_mutator_ != nullptr && last_mutator_ != &isolate.mutator()) {
    Count(community_.counts().residences);
  }
  last_mutator_ = &isolate.mutator();
}

void Member::Tick(Isolate& isolate, Ref message) {
  ticks_record_->received.fetch_add(1);
  if (message.word == setting_.words->Immediate(kVerifyTick)) {
    Verify(isolate);
    return;
  }
  HandleScope scope(isolate.mutator());
  LocalRef local(isolate.mutator(), Ref{});
  if (const Picked picked = Pick(isolate)) {
    local.Set(Ref{setting_.words->Of(picked.node->id, picked.object.address())});
    local_ = &local;
    local_node_ = picked.node;
  }
  for (int i = 0; i < kOperations && !is_ending_ && isolate.Poll(); ++i) Operate(isolate);
  if (!is_ending_ && graph_.nodes.size() > 3 * most_live() && Verify(isolate) > most_live()) {
    DropHalf(isolate);
  }
  local_ = nullptr;
}

void Member::Receive(Isolate& isolate, Ref message) {
  Mutator& mutator = isolate.mutator();
  const uintptr_t address = setting_.words->Decode(message.word);
  STRESS_CHECK(mutator.InReservation(address), "a message that is no reference");
  const ObjectPtr object(address);
  STRESS_CHECK(&mutator.TypeOf(object) == &TypeOf(Kind::kPair), "a message that is a %s",
               mutator.TypeOf(object).name().c_str());
  const std::unique_ptr<Parcel> parcel = community_.TakeParcel(IdOf(object, Kind::kPair));
  STRESS_CHECK(parcel->port == mail_record_,
               "a message of another port, or of one that was closed");
  uint64_t& last = last_from_[parcel->sender];
  STRESS_CHECK(last < parcel->number, "messages of one sender arrive in another order");
  last = parcel->number;
  mail_record_->received.fetch_add(1);
  Count(community_.counts().received);
  random_ = Random(community_.seed() ^ Mix(parcel->sender << 20 ^ parcel->number));
  Take(std::move(parcel->graph));
  SetRoot(isolate, AnyRoot(), parcel->root, message.word);
  // Often at once what could go wrong with what has just come.
  if (random_.OneIn(8)) Collect(isolate);
  if (random_.OneIn(3) || graph_.nodes.size() > 3 * most_live()) Verify(isolate);
}

void Member::Operate(Isolate& isolate) {
  random_ = Random(community_.seed() ^ Mix(number_ << 24 ^ ++operation_));
  Count(community_.counts().operations);
  const uint32_t choice = random_.Below(1024);
  if (choice < 330) return AllocateOne(isolate);
  if (choice < 620) return StoreOne(isolate);
  if (choice < 720) return ChangeRoot(isolate);
  if (choice < 750) return AskHash(isolate);
  if (choice < 752) return AddFinalizer(isolate);
  if (choice < 758) return UsePersistent(isolate);
  if (choice < 764) return Collect(isolate);
  if (choice < 824) return SendPart(isolate);
  if (choice < 834) return FreezePart(isolate, /*send=*/false);
  if (choice < 850) return FreezePart(isolate, /*send=*/true);
  if (choice < 860) {
    community_.TrySpawn(community_.seat(random_.Below(community_.seats())));
    return;
  }
  if (choice < 864) {
    NativeScope native(isolate.mutator());
    platform::YieldThread();
    return;
  }
  if (choice < 868) return OpenMail(isolate);
  if (choice < 872) return HandOver(isolate);
  if (choice < 873) {
    is_ending_ = true;
    if (random_.OneIn(2)) return isolate.Exit();
    // Nothing holds it any more.
    ticks_.Close();
    mail_.Close();
    return;
  }
  if (choice < 890) {
    Verify(isolate);
    return;
  }
  if (choice < 892) return Replace(isolate);
  isolate.mutator().Poll();
}

// ---- The graph

void Member::AllocateOne(Isolate& isolate) {
  const Kind kind = RandomKind(random_);
  const uint32_t length = random_.OneIn(64) ? 3'000 : random_.Below(40);
  ObjectPtr object;
  Node* node = Allocate(isolate, kind, HasElements(kind) ? length : 0, &object);
  if (node == nullptr) return;
  const Barriers& barriers = setting_.encoding->barriers;
  // Of many elements some.
  const uint32_t wanted = std::min(node->edge_count, 6u);
  for (uint32_t i = 0; i < wanted; ++i) {
    const uint32_t edge = wanted == node->edge_count ? i : random_.Below(node->edge_count);
    Word word;
    Edge value = PickValue(isolate, &word);
    if (kind == Kind::kEphemeron && edge == 0 &&
        (value.is_immediate() || (value.node() != nullptr && value.node()->frozen))) {
      continue;  // an ephemeron's key is a private object
    }
    if (kind == Kind::kEphemeron && edge == 1 && node->edges()[0].null()) continue;
    const bool young = kind != Kind::kStay;
    (young ? barriers.store_initial : barriers.store)(isolate.mutator(), object,
                                                      SlotOf(object, kind, edge), Ref{word});
    node->edges()[edge] = value;
  }
  const Word word = setting_.words->Of(node->id, object.address());
  const Picked holder = random_.OneIn(4) ? Picked() : Pick(isolate);
  if (holder && !holder.node->frozen && holder.node->edge_count != 0 &&
      holder.node->kind != Kind::kEphemeron) {
    const uint32_t edge = random_.Below(holder.node->edge_count);
    barriers.store(isolate.mutator(), holder.object, SlotOf(holder.object, holder.node->kind, edge),
                   Ref{word});
    holder.node->edges()[edge] = Edge(node);
  } else {
    SetRoot(isolate, AnyRoot(), Edge(node), word);
  }
}

void Member::StoreOne(Isolate& isolate) {
  const Picked holder = Pick(isolate);
  if (!holder || holder.node->frozen || holder.node->edge_count == 0 ||
      holder.node->kind == Kind::kEphemeron) {
    return;
  }
  Word word;
  const Edge value = PickValue(isolate, &word);
  const uint32_t edge = random_.Below(holder.node->edge_count);
  setting_.encoding->barriers.store(isolate.mutator(), holder.object,
                                    SlotOf(holder.object, holder.node->kind, edge), Ref{word});
  holder.node->edges()[edge] = value;
}

void Member::ChangeRoot(Isolate& isolate) {
  Word word = 0;
  const Edge value = random_.OneIn(3) ? Edge() : PickValue(isolate, &word);
  SetRoot(isolate, AnyRoot(), value, word);
}

void Member::AskHash(Isolate& isolate) {
  const Picked picked = Pick(isolate);
  if (!picked || picked.node->frozen) return;
  const uint32_t hash = isolate.mutator().IdentityHash(picked.object);
  STRESS_CHECK(hash != 0 && (picked.node->hash == 0 || picked.node->hash == hash),
               "the identity hash of object %llu has changed",
               static_cast<unsigned long long>(picked.node->id));
  picked.node->hash = hash;
}

void Member::AddFinalizer(Isolate& isolate) {
  const Picked picked = Pick(isolate);
  if (!picked || picked.node->frozen) return;
  Token* token = community_.NewToken();
  const Status status = isolate.mutator().AddFinalizer(picked.object, FinalizerKind::kNative,
                                                       Token::Fire, token, random_.Below(1'000));
  STRESS_CHECK(status.ok() || setting_.memory_is_refused, "%s", status.message().c_str());
  if (!status.ok()) {
    token->fired.store(1);  // there is none
    return;
  }
  picked.node->finalized = true;
  graph_.finalizers.emplace_back(picked.node, token);
}

void Member::UsePersistent(Isolate& isolate) {
  // Not for long: who has any is not parked.
  if (!persistents_.empty()) return persistents_.clear();
  if (const Picked picked = Pick(isolate)) {
    const Ref ref{setting_.words->Of(picked.node->id, picked.object.address())};
    persistents_.push_back({Persistent(isolate.mutator().region(), ref), picked.node});
  }
}

void Member::Collect(Isolate& isolate) {
  const bool major = random_.OneIn(3);
  const Status status =
      isolate.mutator().Collect(major ? Mutator::Collection::kMajor : Mutator::Collection::kMinor);
  STRESS_CHECK(status.ok(), "%s", status.message().c_str());
  Verify(isolate);
}

// ---- Messages

Node* Member::MakeHead(Isolate& isolate, uint32_t fresh) {
  const Barriers& barriers = setting_.encoding->barriers;
  ObjectPtr head;
  Node* node = Allocate(isolate, Kind::kPair, 0, &head);
  if (node == nullptr) return nullptr;
  for (uint32_t edge = 0; edge < 2 && fresh == 0; ++edge) {
    Word word;
    node->edges()[edge] = PickValue(isolate, &word);
    barriers.store_initial(isolate.mutator(), head, SlotOf(head, Kind::kPair, edge), Ref{word});
  }
  SetRoot(isolate, 0, Edge(node), setting_.words->Of(node->id, head.address()));
  if (edges_[0].node() != node) return nullptr;  // no memory for the fields
  for (uint32_t i = 0; i < fresh; ++i) {
    ObjectPtr object;
    Node* next = Allocate(isolate, RandomPlainKind(random_), 0, &object);
    if (next == nullptr || edges_[0].node() != node) return nullptr;
    // It may have moved.
    head = ObjectPtr(setting_.words->Decode(RootWord(isolate, 0)));
    const Slot first = SlotOf(head, Kind::kPair, 0);
    barriers.store_initial(isolate.mutator(), object, SlotOf(object, next->kind, 0), first.Load());
    next->edges()[0] = node->edges()[0];
    barriers.store(isolate.mutator(), head, first,
                   Ref{setting_.words->Of(next->id, object.address())});
    node->edges()[0] = Edge(next);
  }
  return node;
}

std::shared_ptr<PortRecord> Member::AnyMail() {
  Seat& seat = community_.seat(random_.Below(community_.seats()));
  std::lock_guard<std::mutex> lock(seat.mutex);
  return seat.mail;
}

std::unique_ptr<Parcel> Member::NewParcel(Node* head, std::shared_ptr<PortRecord> port) {
  auto parcel = std::make_unique<Parcel>();
  parcel->root = Edge(head);
  parcel->sender = number_;
  parcel->number = ++messages_;
  parcel->port = std::move(port);
  return parcel;
}

bool Member::MayFail(const Isolate& isolate, const Status& why) const {
  return (why.code() == StatusCode::kCancelled && isolate.IsKilled()) ||
         (why.code() == StatusCode::kResourceExhausted && setting_.memory_is_refused);
}

void Member::Post(Isolate& isolate, Ref root, std::unique_ptr<Parcel> parcel, bool is_refused) {
  const std::shared_ptr<PortRecord> port = parcel->port;
  const uint64_t id = parcel->root.node()->id;
  community_.AddParcel(std::move(parcel));
  GroupCounts& counts = community_.counts();
  Status why;
  const SendStatus status = Send(isolate, port->to, root, &why);
  if (status == SendStatus::kDelivered) {
    STRESS_CHECK(!is_refused, "a message was sent that cannot be");
    port->sent.fetch_add(1);
    return Count(counts.sent);
  }
  community_.TakeParcel(id);
  switch (status) {
    case SendStatus::kClosed:
      return Count(counts.closed);
    case SendStatus::kFull:
    case SendStatus::kOverQuota:
      // Of a port that was closed meanwhile its successor's bounds may be told.
      STRESS_CHECK(port->is_bounded || port->closed.load(), "%s", why.message().c_str());
      return Count(counts.full);
    default:
      STRESS_CHECK(
          (is_refused && why.code() == StatusCode::kInvalidArgument) || MayFail(isolate, why), "%s",
          why.message().c_str());
      Count(counts.refused);
      if (random_.OneIn(4)) Verify(isolate);
  }
}

void Member::SendPart(Isolate& isolate) {
  const std::shared_ptr<PortRecord> port = AnyMail();
  Node* head = MakeHead(isolate, random_.OneIn(3) ? 1 + random_.Below(200) : 0);
  if (head == nullptr || port == nullptr) return;
  const Closure closure((Edge(head)));
  std::unique_ptr<Parcel> parcel = NewParcel(head, port);
  parcel->graph.nodes = closure.Copy(&parcel->root, /*frozen=*/false);
  Post(isolate, Ref{RootWord(isolate, 0)}, std::move(parcel), closure.is_refused());
}

void Member::FreezePart(Isolate& isolate, bool send) {
  if (community_.frozen_nodes() > kMostFrozen) {
    Count(community_.counts().not_frozen);
    return SendPart(isolate);
  }
  Node* head = MakeHead(isolate, random_.OneIn(8) ? 0 : 1 + random_.Below(100));
  if (head == nullptr) return;
  const Closure closure((Edge(head)));
  const bool is_refused = closure.is_refused() || closure.has_weak();
  const Result<Ref> frozen = Freeze(isolate, Ref{RootWord(isolate, 0)});
  if (!frozen.ok()) {
    const Status& why = frozen.status();
    STRESS_CHECK(
        (is_refused && why.code() == StatusCode::kInvalidArgument) || MayFail(isolate, why), "%s",
        why.message().c_str());
    return Count(community_.counts().refused);
  }
  STRESS_CHECK(!is_refused, "what cannot be frozen was");
  Edge root(head);
  community_.Keep(closure.Copy(&root, /*frozen=*/true));
  Count(community_.counts().frozen);
  SetRoot(isolate, AnyRoot(), root, frozen.value().word);
  const std::shared_ptr<PortRecord> port = send ? AnyMail() : nullptr;
  if (port != nullptr) {
    Post(isolate, frozen.value(), NewParcel(root.node(), port), /*is_refused=*/false);
  }
}

void Member::HandOver(Isolate& isolate) {
  const std::shared_ptr<PortRecord> port = AnyMail();
  Node* head = MakeHead(isolate, 0);
  if (head == nullptr || port == nullptr || port == mail_record_) return;
  const Closure closure((Edge(head)));
  GroupCounts& counts = community_.counts();
  SendStatus status;
  auto ticket = PrepareExit(isolate, port->to, Ref{RootWord(isolate, 0)}, &status,
                            {.always_adopt = random_.OneIn(2)});
  if (!ticket.ok()) {
    const Status& why = ticket.status();
    switch (status) {
      case SendStatus::kClosed:
        Count(counts.closed);
        break;
      case SendStatus::kFull:
      case SendStatus::kOverQuota:
        STRESS_CHECK(port->is_bounded || port->closed.load(), "%s", why.message().c_str());
        Count(counts.full);
        break;
      default:
        // Weak references count here: what they refer to would go along.
        STRESS_CHECK(closure.has_unsendable() || closure.has_weak() || MayFail(isolate, why), "%s",
                     why.message().c_str());
        Count(counts.refused);
    }
    Verify(isolate);
    return;
  }
  STRESS_CHECK(!closure.has_unsendable(), "an unsendable object may be handed over");
  const uint32_t choice = random_.Below(8);
  if (choice == 0) return;  // not committed
  if (choice <= 2) {
    ObjectPtr object;
    Status voided;
    if (choice == 1) {
      if (Allocate(isolate, Kind::kLeaf, 0, &object) == nullptr) return;
    } else {
      voided = isolate.mutator().Collect(Mutator::Collection::kMinor);
      STRESS_CHECK(voided.ok(), "%s", voided.message().c_str());
    }
    voided = ticket.value().Commit();
    STRESS_CHECK(voided.code() == StatusCode::kFailedPrecondition,
                 "a ticket is not voided by an allocation or a collection");
    return Count(counts.voided);
  }
  const Status committed = ticket.value().Commit();
  if (!committed.ok()) {
    // Where there are unsendable objects the walk for them takes memory.
    STRESS_CHECK(MayFail(isolate, committed), "%s", committed.message().c_str());
    Verify(isolate);
    return Count(counts.refused);
  }
  is_ending_ = true;
  NoteEnd();
  std::unique_ptr<Parcel> parcel = NewParcel(head, port);
  parcel->graph = std::exchange(graph_, {});
  community_.AddParcel(std::move(parcel));
  port->sent.fetch_add(1);
}

}  // namespace Atoll::stress
