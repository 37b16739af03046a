// Isolates that do everything at once, under each of the knobs that make collections frequent.
#include <random>

#include "atoll/handles.h"
#include "heap/flip_to_shared.h"
#include "tests/messaging/messaging_fixture.h"

namespace Atoll {
namespace {

struct Knobs {
  const char* name;
  StressOptions stress;
  uint32_t resident_isolates;
};

class StressTest : public MessagingTest, public ::testing::WithParamInterface<Knobs> {
 protected:
  static constexpr size_t kIsolates = 12;
  static constexpr uint64_t kTurns = ATOLL_TSAN || ATOLL_ASAN ? 500 : 1'500;
  static constexpr size_t kLength = 20'000;

  StressTest() {
    options.heap.stress = GetParam().stress;
    options.resident_isolates = GetParam().resident_isolates;
    options.heap.nursery_bytes = 256 * 1024;
  }
  void SetUp() override {
    TypeInfo info;
    info.name = "FrozenBytes";
    info.fixed_size = kElements;
    info.element_size = 1;
    info.length_offset = 8;
    info.flags.deeply_immutable = true;
    frozen_ = heap().RegisterType(info).value();
  }

  /// What an isolate keeps from turn to turn; of the isolate's turns alone.
  struct Keeper {
    TestPort* port = nullptr;
    std::minstd_rand random;
    size_t count = 0;  ///< of the list in field 0
    uint64_t first = 0;
    uint32_t hash = 0;
    Persistent persistent;
  };

  void Renew(Isolate& isolate, Keeper& keeper) {
    keeper.first = keeper.random() % 1'000;
    // Mostly what is parked, now and then what is not.
    keeper.count = keeper.random() % 20 == 0 ? 1'500 : 1 + keeper.random() % 30;
    MakeList(isolate, 0, keeper.first, keeper.count);
    const ObjectPtr head = ObjectOf(isolate.field(0));
    Link(isolate.mutator(), head, kB, head);
    keeper.hash = isolate.mutator().IdentityHash(head);
  }
  void Check(Isolate& isolate, const Keeper& keeper) {
    const ObjectPtr head = ObjectOf(isolate.field(0));
    ExpectList(head, keeper.first, keeper.count);
    EXPECT_EQ(isolate.mutator().IdentityHash(head), keeper.hash);
    ExpectFrozen(isolate.field(1));
  }
  void ExpectFrozen(Ref shared) {
    if (!ObjectOf(shared)) return;
    for (size_t i = 0; i < kLength; i += 1'111) {
      ASSERT_EQ(*reinterpret_cast<char*>(shared.word + kElements + i), 6);
    }
  }
  void MakeFrozen(Isolate& isolate) {
    const ObjectPtr bytes = isolate.mutator().AllocateArray(*frozen_, kLength);
    ASSERT_TRUE(bytes) << isolate.mutator().last_error().message();
    std::memset(reinterpret_cast<void*>(bytes.address() + kElements), 6, kLength);
    SetField(isolate, 1, RefOf(bytes));
    const Status status = FlipToShared(isolate.mutator(), bytes);
    ASSERT_TRUE(status.ok()) << status.message();
  }
  /// A list with the shared object behind its head, whose id says how long it is.
  void SendList(Isolate& isolate, Keeper& keeper, const SendPort& to) {
    HandleScope scope(isolate.mutator());
    const size_t count = keeper.random() % 10 == 0 ? 600 : keeper.random() % 12;
    LocalRef list(isolate.mutator(), Ref{});
    for (size_t i = count; i-- > 0;) {
      const ObjectPtr object = NewPair(isolate, i);
      Link(isolate.mutator(), object, kA, ObjectOf(list.Get()));
      list.Set(RefOf(object));
    }
    const ObjectPtr head = NewPair(isolate, count);
    Link(isolate.mutator(), head, kA, ObjectOf(list.Get()));
    Link(isolate.mutator(), head, kB, ObjectOf(isolate.field(1)));
    Status why;
    const SendStatus status = Send(isolate, to, RefOf(head), &why);
    // At the end isolates are killed one by one, and others are still sending to them.
    const bool is_ending = turns_.load() >= kTurns;
    EXPECT_TRUE(status == SendStatus::kDelivered || (is_ending && status == SendStatus::kClosed))
        << ToString(status) << ": " << why.message();
  }

  const Type* frozen_ = nullptr;
  std::atomic<uint64_t> turns_{0};
};

TEST_P(StressTest, Mixed) {
  std::vector<Keeper> keepers(kIsolates);
  std::vector<Receiver> receivers(kIsolates);
  std::atomic<uint64_t> children{0};
  Event enough;
  for (size_t n = 0; n < kIsolates; ++n) {
    Keeper& keeper = keepers[n];
    keeper.random.seed(static_cast<uint32_t>(n + 1));
    receivers[n] = SpawnReceiver([&, n](Isolate& isolate, Ref message) {
      HandleScope scope(isolate.mutator());
      const LocalRef kept(isolate.mutator(), message);
      if (keeper.count == 0) {
        Renew(isolate, keeper);
        if (n % 2 == 0) MakeFrozen(isolate);
      }
      Check(isolate, keeper);
      const ObjectPtr head = ObjectOf(kept.Get());
      ExpectList(Load(head, kA), 0, IdAt(head));
      ExpectFrozen(RefOf(Load(head, kB)));
      if (turns_.fetch_add(1) >= kTurns) return enough.Set();
      switch (keeper.random() % 12) {
        case 0:
          Renew(isolate, keeper);
          break;
        case 1:
          EXPECT_TRUE(isolate.mutator().Collect(Mutator::Collection::kMinor).ok());
          break;
        case 2:
          EXPECT_TRUE(isolate.mutator().Collect(Mutator::Collection::kMajor).ok());
          break;
        case 3:
          SetField(isolate, 1, RefOf(Load(ObjectOf(kept.Get()), kB)));
          break;
        case 4:
          keeper.persistent = Persistent(isolate.mutator().region(), isolate.field(0));
          break;
        case 5:
          keeper.persistent.Reset();
          break;
        case 6:
          Spawn([&](Isolate& child) {
            MakeList(child, 0, 5, 40);
            ExpectList(ObjectOf(child.field(0)), 5, 40);
            children.fetch_add(1);
          });
          break;
        case 7: {
          NativeScope native(isolate.mutator());
          platform::YieldThread();
          break;
        }
        default:
          break;
      }
      Check(isolate, keeper);
      SendList(isolate, keeper, receivers[(n + 1 + keeper.random() % 3) % kIsolates].to());
    });
  }
  // Several messages go round at a time.
  RunIsolate([&](Isolate& isolate) {
    Keeper keeper;
    for (size_t n = 0; n < kIsolates; n += 2) SendList(isolate, keeper, receivers[n].to());
  });
  std::minstd_rand random(7);
  for (int i = 0; !enough.happened(); ++i) {
    const IsolateId id = receivers[random() % kIsolates].id;
    EXPECT_TRUE(group().Pause(id));
    if (i % 4 == 0) CollectAll();
    if (i % 16 == 0) ExpectValid();
    EXPECT_TRUE(group().Resume(id));
  }
  ExpectValid();
  for (size_t n = 0; n < kIsolates / 2; ++n) {
    EXPECT_EQ(KillAndWait(receivers[n].id).reason, ExitReason::kKilled);
  }
  EXPECT_GE(turns_.load(), kTurns);
  group().Shutdown();
  EXPECT_GT(children.load(), 0u);
  keepers.clear();
}

// The group ends at some moment or other, with isolates running and messages of each kind about.
TEST_P(StressTest, ShutDownInTheMiddle) {
  constexpr int kRounds = 25;
  uint64_t handled_in_all = 0;
  for (int round = 0; round < kRounds; ++round) {
    SCOPED_TRACE(round);
    GroupUnderTest other;
    other.options = options;
    other.options.client = &other.client;
    other.options.resident_isolates = GetParam().resident_isolates;
    IsolateGroup& ending = other.group();
    std::atomic<uint64_t> handled{0};
    std::deque<TestPort> ports(4);
    const TestTypes& types = other.types();
    std::atomic<int> open{0};
    const auto pass_on = [&](Isolate& isolate, Ref message, size_t to) {
      HandleScope scope(isolate.mutator());
      const LocalRef kept(isolate.mutator(), message);
      const uint64_t n = handled.fetch_add(1);
      Status why;
      const SendStatus status = Send(isolate, ports[to].to, kept.Get(), &why);
      EXPECT_TRUE(status == SendStatus::kDelivered || status == SendStatus::kClosed ||
                  why.code() == StatusCode::kCancelled)
          << why.message();
      if (n % 7 == 0) static_cast<void>(Freeze(isolate, kept.Get()));
      if (n % 11 != 0) return;
      // One that hands over a list of its own.
      auto spawned = other.TrySpawn([&, to](Isolate& child) {
        for (size_t i = 0; i < 300; ++i) {
          const ObjectPtr pair = NewPair(child, types, i);
          Link(child.mutator(), pair, kA, ObjectOf(child.field(0)));
          SetField(child, 0, RefOf(pair));
        }
        auto ticket =
            PrepareExit(child, ports[to].to, child.field(0), nullptr, {.always_adopt = true});
        if (ticket.ok()) static_cast<void>(ticket.value().Commit());
      });
      EXPECT_TRUE(spawned.ok() || spawned.status().code() == StatusCode::kFailedPrecondition);
    };
    for (size_t i = 0; i < ports.size(); ++i) {
      other.Spawn([&, i](Isolate& isolate) {
        ports[i].handler = [&, i](Isolate& receiver, Ref message) {
          pass_on(receiver, message, (i + 1) % ports.size());
        };
        auto opened = ReceivePort::Open(
            isolate,
            [](Isolate& receiver, Ref message, void* data) {
              static_cast<TestPort*>(data)->handler(receiver, message);
            },
            &ports[i]);
        ASSERT_TRUE(opened.ok());
        ports[i].port = std::move(opened).value();
        ports[i].to = ports[i].port.send_port();
        ++open;
      });
    }
    while (open.load() != static_cast<int>(ports.size())) platform::YieldThread();
    other.Spawn([&](Isolate& isolate) {
      for (size_t length : {1u, 20u, 600u}) {
        SetField(isolate, 0, Ref{});
        for (size_t i = 0; i < length; ++i) {
          const ObjectPtr pair = NewPair(isolate, types, i);
          Link(isolate.mutator(), pair, kA, ObjectOf(isolate.field(0)));
          SetField(isolate, 0, RefOf(pair));
        }
        // The group may be ending already.
        Status why;
        const SendStatus status =
            Send(isolate, ports[length % ports.size()].to, isolate.field(0), &why);
        EXPECT_TRUE(status == SendStatus::kDelivered || status == SendStatus::kClosed ||
                    why.code() == StatusCode::kCancelled)
            << why.message();
      }
    });
    const uint64_t until = static_cast<uint64_t>(round) * 5;
    while (handled.load() < until) platform::YieldThread();
    ending.Shutdown();
    handled_in_all += handled.load();
    other.before_end = [&] { ports.clear(); };
    other.End();  // where it is looked at whether anything is left
  }
  EXPECT_GE(handled_in_all, 1'000u);
}

INSTANTIATE_TEST_SUITE_P(
    Knobs, StressTest,
    ::testing::Values(
        Knobs{"none", {}, 512}, Knobs{"park_all", {}, 0}, Knobs{"few", {}, 2},
        Knobs{"every_allocation", {.every_allocation = true}, 2},
        Knobs{"collect_every", {.collect_every = 50, .every_allocation = true}, 2},
        Knobs{"move", {.collect_every = 5, .move_everything = true}, 2},
        Knobs{"born_old", {.collect_every = 5, .verify = true, .born_old = true}, 2},
        Knobs{"poison", {.poison = true}, 1},
        Knobs{"verify", {.collect_every = 3, .poison = true, .verify = true, .parallel = true}, 1}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace Atoll
