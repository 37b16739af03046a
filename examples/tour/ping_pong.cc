// Two isolates hit a ball to and fro. They share nothing: each ball that arrives is a copy, made in
// the receiver's own region, and how to answer is said by the ball itself.

#include "tour.h"

namespace tour {
namespace {

using Atoll::Isolate;

// [ball]
/// What is sent. A SendPort is plain bytes: it may lie in an object, and be sent on.
struct Ball : Atoll::Object {
  int64_t hits;
  Atoll::SendPort from;
};
// [/ball]

}  // namespace
}  // namespace tour

template <>
struct Atoll::Fields<tour::Ball> : Atoll::References<> {};

namespace tour {
namespace {

/// The state of one isolate that is not on the heap. Outlives it.
struct Player {
  const Atoll::Type* ball_type;
  int64_t last_hit;
  Player* calls_in = nullptr;     // whom it spawns when it is ready
  Atoll::SendPort opponent = {};  // known to the one who begins
  Atoll::ReceivePort port = {};
  Atoll::ExitListener on_exit = {};
  int64_t received = 0;
};

// [send]
void Hit(Isolate& isolate, const Player& self, const Atoll::SendPort& to, int64_t hits) {
  Ball* ball = Atoll::New<Ball>(isolate.mutator(), *self.ball_type);
  if (ball == nullptr) return isolate.Fail(isolate.mutator().last_error());
  ball->hits = hits;
  ball->from = self.port.send_port();
  Atoll::Status why;
  if (Atoll::Send(isolate, to, RefTo(ball), &why) != Atoll::SendStatus::kDelivered) {
    isolate.Fail(why);  // ends this isolate; its listener hears of it
  }
}
// [/send]

// [receive]
void OnBall(Isolate& isolate, Atoll::Ref message, void* data) {
  Player& self = *static_cast<Player*>(data);
  const auto [hits, from] = std::pair(To<Ball>(message)->hits, To<Ball>(message)->from);
  ++self.received;
  if (hits < self.last_hit) Hit(isolate, self, from, hits + 1);  // allocates: the ball is stale now
  // Nobody plays on from here. An isolate without an open port ends.
  if (hits >= self.last_hit - 1) self.port.Close();
}
// [/receive]

// [entry]
/// The first turn of an isolate: opens its port, and so stays. One calls in the other, who begins.
void Enter(Isolate& isolate, void* data) {
  Player& self = *static_cast<Player*>(data);
  auto port = Atoll::ReceivePort::Open(isolate, OnBall, &self);
  if (!port.ok()) return isolate.Fail(port.status());
  self.port = std::move(port).value();
  if (self.calls_in == nullptr) return Hit(isolate, self, self.opponent, 1);
  self.calls_in->opponent = self.port.send_port();
  const auto other = isolate.group().Spawn(
      {.entry = Enter, .data = self.calls_in, .name = "first", .on_exit = self.on_exit});
  if (!other.ok()) isolate.Fail(other.status());
}
// [/entry]

}  // namespace

void PingPong(const Sizes& sizes) {
  // [group]
  auto group = OrEnd(Atoll::IsolateGroup::Create({.name = "ping-pong"}));
  const Atoll::Type* type = OrEnd(group->heap().RegisterType(Atoll::Describe<Ball>("Ball")));
  Exits exits;
  Player first{.ball_type = type, .last_hit = sizes.hits};
  Player second{
      .ball_type = type, .last_hit = sizes.hits, .calls_in = &first, .on_exit = exits.listener()};
  const int64_t began = NowNanos();
  OrEnd(group->Spawn(
      {.entry = Enter, .data = &second, .name = "second", .on_exit = exits.listener()}));
  group->WaitUntilEmpty();
  // [/group]
  const double millis = MillisSince(began);
  Check(exits.as_they_should == 2, "both players ended by themselves");
  Check(first.received + second.received == sizes.hits, "every ball arrived");
  Check(second.received - first.received == sizes.hits % 2, "they took turns");
  std::printf("ping-pong: %lld messages in %.0f ms: %.0f ns each\n",
              static_cast<long long>(sizes.hits), millis,
              millis * 1e6 / static_cast<double>(sizes.hits));
}

}  // namespace tour
