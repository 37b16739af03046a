// What an isolate owns is packed off the heap between its turns, and is the same in the next.
#include "atoll/messaging.h"
#include "atoll/weak_table.h"
#include "tests/isolate/isolate_fixture.h"

namespace Atoll {
namespace {

/// Isolates that keep a graph and look at it in each turn: they handle the numbers sent to them.
class ParkingTest : public IsolateTest {
 protected:
  struct Keeper {
    ParkingTest* test;
    uint64_t number;
    IsolateId id;
    ReceivePort port;
    SendPort to;
    std::function<void(Isolate&, uint64_t)> handle;
    Word root = 0;  // visited by the client
    uint32_t hash = 0;
    std::atomic<uint64_t> handled{0};
    Persistent persistent;
    WeakPersistent weak;
  };

  ParkingTest() {
    client.visit_roots = [](Isolate& isolate, RootVisitor& visitor) {
      if (auto* keeper = static_cast<Keeper*>(isolate.data())) {
        visitor.VisitSlot(Slot(&keeper->root));
      }
    };
    before_end = [this] { keepers_.clear(); };
  }

  /// Starts an isolate that calls `begin` in its first turn, and `handle` for each number sent.
  Keeper& Start(std::function<void(Isolate&, Keeper&)> begin,
                std::function<void(Isolate&, Keeper&, uint64_t)> handle) {
    Keeper& keeper = keepers_.emplace_back();
    keeper.test = this;
    keeper.number = keepers_.size();
    keeper.handle = [&keeper, handle = std::move(handle)](Isolate& isolate, uint64_t number) {
      handle(isolate, keeper, number);
      keeper.test->Note(keeper);
    };
    keeper.id = Spawn([this, &keeper, begin = std::move(begin)](Isolate& isolate) {
      isolate.set_data(&keeper);
      auto opened = ReceivePort::Open(
          isolate,
          [](Isolate& receiver, Ref message, void* data) {
            static_cast<Keeper*>(data)->handle(receiver, ValueOf(message));
          },
          &keeper);
      ASSERT_TRUE(opened.ok());
      keeper.port = std::move(opened).value();
      keeper.to = keeper.port.send_port();
      begin(isolate, keeper);
      Note(keeper);
    });
    return keeper;
  }
  void Tell(const Keeper& keeper, uint64_t number) {
    ASSERT_EQ(SendImmediate(group(), keeper.to, Immediate(number)), SendStatus::kDelivered);
  }
  /// Until it has begun and handled `count` numbers.
  void WaitFor(const Keeper& keeper, uint64_t count) {
    std::unique_lock lock(mutex_);
    noted_.wait(lock, [&] { return keeper.handled.load() >= count + 1; });
  }

  /// A graph with a cycle, shared objects and a leaf, under field 0, field 1 and the client's root.
  void MakeGraph(Isolate& isolate, Keeper& keeper) {
    const uint64_t base = keeper.number * 1'000;
    MakeList(isolate, 0, base, 10);
    // A cycle: the list's head is reached from its second object; and shared by field 1.
    Mutator& mutator = isolate.mutator();
    const ObjectPtr head = ObjectOf(isolate.field(0));
    Link(mutator, Load(head, kA), kB, head);
    SetField(isolate, 1, RefOf(Load(head, kA)));
    SetField(isolate, 2, Immediate(keeper.number));
    const ObjectPtr bytes = mutator.AllocateArray(*client.types->bytes, 100);
    ASSERT_TRUE(bytes);
    std::memset(reinterpret_cast<void*>(bytes.address() + kElements),
                static_cast<int>(keeper.number % 250), 100);
    keeper.root = bytes.address();
    keeper.hash = mutator.IdentityHash(ObjectOf(isolate.field(1)));
  }
  static void ExpectGraph(Isolate& isolate, const Keeper& keeper) {
    const ObjectPtr head = ObjectOf(isolate.field(0));
    ASSERT_TRUE(head);
    ExpectList(head, keeper.number * 1'000, 10);
    EXPECT_EQ(Load(Load(head, kA), kB), head);
    EXPECT_EQ(isolate.field(1), RefOf(Load(head, kA)));
    EXPECT_EQ(isolate.field(2), Immediate(keeper.number));
    EXPECT_EQ(isolate.mutator().IdentityHash(Load(head, kA)), keeper.hash);
    const ObjectPtr bytes(keeper.root);
    ASSERT_EQ(isolate.mutator().LengthOf(bytes), 100u);
    for (size_t i = 0; i < 100; ++i) {
      ASSERT_EQ(*reinterpret_cast<unsigned char*>(bytes.address() + kElements + i),
                keeper.number % 250);
    }
  }
  Keeper& StartWithGraph() {
    return Start([this](Isolate& isolate, Keeper& keeper) { MakeGraph(isolate, keeper); },
                 [this](Isolate& isolate, Keeper& keeper, uint64_t) {
                   ExpectGraph(isolate, keeper);
                   for (int i = 0; i < 20; ++i) NewPair(isolate, 0);
                   ExpectGraph(isolate, keeper);
                 });
  }

  /// Sends `rounds` numbers to each in turn, each round after the one before has been handled.
  void Drive(uint64_t rounds) {
    for (uint64_t round = 1; round <= rounds; ++round) {
      for (Keeper& keeper : keepers_) {
        WaitFor(keeper, round - 1);
        Tell(keeper, round);
      }
    }
    for (Keeper& keeper : keepers_) WaitFor(keeper, rounds);
  }

  size_t Parked() {
    size_t parked = 0;
    const Status status = heap().safepoints().RunWithMutatorsStopped(
        SafepointLevel::kGC, "test", [&](const StoppedScope&) {
          group().state().isolates.ForEach([&](IsolateRecord& record) {
            if (!record.inbox.is_closed() && record.state().parked) ++parked;
          });
        });
    EXPECT_TRUE(status.ok());
    return parked;
  }

  std::deque<Keeper> keepers_;

 private:
  void Note(Keeper& keeper) {
    std::lock_guard lock(mutex_);
    keeper.handled.fetch_add(1);
    noted_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable noted_;
};

TEST_F(ParkingTest, FieldsAreTheSameInEachTurnWhereverTheyLie) {
  options.resident_isolates = 0;
  static constexpr size_t kFields[] = {0, 63, 64, 700, 7'001, 70'000};
  for (int i = 0; i < 20; ++i) {
    Start(
        [this](Isolate& isolate, Keeper& keeper) {
          for (const size_t field : kFields) {
            SetField(isolate, field, RefOf(NewPair(isolate, keeper.number * 100'000 + field)));
          }
        },
        [](Isolate& isolate, Keeper& keeper, uint64_t number) {
          for (const size_t field : kFields) {
            ASSERT_EQ(IdAt(ObjectOf(isolate.field(field))), keeper.number * 100'000 + field);
          }
          // A further chunk in each turn, so that the roots are others when it is parked again.
          if (number > 1) {
            EXPECT_EQ(isolate.field(1'000 * (number - 1)), Immediate(number - 1));
          }
          SetField(isolate, 1'000 * number, Immediate(number));
          // The program's, added after the first turns.
          EXPECT_EQ(isolate.field(1),
                    isolate.group().program().field_count() == 0 ? Ref{} : Immediate(8));
        });
  }
  Drive(3);
  const Ref values[] = {Immediate(7), Immediate(8)};
  ASSERT_TRUE(group().program().AddFields(values).ok());
  for (uint64_t round = 4; round <= 10; ++round) {
    for (Keeper& keeper : keepers_) {
      WaitFor(keeper, round - 1);
      Tell(keeper, round);
    }
    ExpectValid();
    CollectAll();
  }
  for (Keeper& keeper : keepers_) WaitFor(keeper, 10);
}

class ParkingWithResidents : public ParkingTest, public ::testing::WithParamInterface<uint32_t> {};

TEST_P(ParkingWithResidents, GraphsAreTheSameInEachTurn) {
  options.resident_isolates = GetParam();
  constexpr int kIsolates = 60;
  for (int i = 0; i < kIsolates; ++i) StartWithGraph();
  std::atomic<bool> ended{false};
  std::thread collector([&] {
    while (!ended.load()) {
      CollectAll();
      ExpectValid();
    }
  });
  Drive(20);
  ended.store(true);
  collector.join();
  EXPECT_EQ(group().isolate_count(), size_t{kIsolates});
}

INSTANTIATE_TEST_SUITE_P(Residents, ParkingWithResidents, ::testing::Values(0, 1, 2, 3, 4));

// Many messages for few isolates, which are woken while they are being parked.
TEST_F(ParkingTest, WokenWhileTheyAreParked) {
  options.resident_isolates = 1;
  for (int i = 0; i < 30; ++i) StartWithGraph();
  for (Keeper& keeper : keepers_) WaitFor(keeper, 0);
  constexpr uint64_t kEach = 400;
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([this] {
      for (uint64_t i = 0; i < kEach; ++i) {
        for (Keeper& keeper : keepers_) Tell(keeper, i);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (Keeper& keeper : keepers_) WaitFor(keeper, 2 * kEach);
  // However they came and went, no more have stayed on the heap than the rings hold; a last turn of
  // each has them go through the rings again.
  Drive(1);
  RunIsolate([](Isolate&) {});
  size_t resident = 0;
  Status stopped = heap().safepoints().RunWithMutatorsStopped(
      SafepointLevel::kGC, "test", [&](const StoppedScope&) {
        group().state().isolates.ForEach([&](IsolateRecord& record) {
          if (!record.inbox.is_closed() && record.state().residence != nullptr) ++resident;
        });
      });
  EXPECT_TRUE(stopped.ok());
  EXPECT_LE(resident, size_t{2 + 2}) << "one in the ring and one on its way, for each worker";
}

TEST_F(ParkingTest, ParkedIsolatesOwnNoBlock) {
  options.resident_isolates = 1;
  options.workers = 1;
  constexpr size_t kIsolates = 200;
  for (size_t i = 0; i < kIsolates; ++i) StartWithGraph();
  Drive(1);
  EXPECT_GE(Parked(), kIsolates - 3);
  EXPECT_LT(heap().stats().region_bytes, kIsolates / 2 * kBlockSize);
}

TEST_F(ParkingTest, MoreThanTheBoundIsNotParkedAndStays) {
  options.resident_isolates = 0;
  options.park_bytes = 1'024;
  for (int i = 0; i < 10; ++i) {
    Start([this](Isolate& isolate, Keeper& keeper) { MakeList(isolate, 0, keeper.number, 100); },
          [](Isolate& isolate, Keeper& keeper, uint64_t) {
            ExpectList(ObjectOf(isolate.field(0)), keeper.number, 100);
          });
  }
  Drive(10);
  EXPECT_EQ(Parked(), 0u);
  ExpectValid();
}

TEST_F(ParkingTest, PersistentsPinsFinalizersAndWeakEntriesStay) {
  options.resident_isolates = 0;
  const WeakTable table(heap());
  struct Calls {
    std::atomic<int> calls{0};
    static void Add(void* data) { static_cast<Calls*>(data)->calls.fetch_add(1); }
  } finalized;
  Start(
      [this](Isolate& isolate, Keeper& keeper) {
        keeper.persistent = Persistent(isolate.mutator().region(), RefOf(NewPair(isolate, 11)));
      },
      [](Isolate& isolate, Keeper& keeper, uint64_t number) {
        EXPECT_EQ(IdAt(ObjectOf(keeper.persistent.Get())), 11u);
        if (number == 5) keeper.persistent.Reset();
        if (number == 5) isolate.Exit();
      });
  Start(
      [this](Isolate& isolate, Keeper& keeper) {
        const ObjectPtr pinned = NewPair(isolate, 12);
        ASSERT_TRUE(isolate.mutator().Pin(pinned).ok());
        keeper.hash = static_cast<uint32_t>(pinned.address());
        SetField(isolate, 0, RefOf(pinned));
      },
      [](Isolate& isolate, Keeper& keeper, uint64_t number) {
        const ObjectPtr pinned = ObjectOf(isolate.field(0));
        EXPECT_EQ(static_cast<uint32_t>(pinned.address()), keeper.hash) << "it does not move";
        EXPECT_EQ(IdAt(pinned), 12u);
        if (number == 4) {
          EXPECT_TRUE(isolate.mutator().Unpin(pinned).ok());
          isolate.Exit();
        }
      });
  Start(
      [this, &finalized](Isolate& isolate, Keeper&) {
        const ObjectPtr object = NewPair(isolate, 13);
        SetField(isolate, 0, RefOf(object));
        ASSERT_TRUE(isolate.mutator()
                        .AddFinalizer(object, FinalizerKind::kNative, &Calls::Add, &finalized)
                        .ok());
      },
      [&finalized](Isolate& isolate, Keeper&, uint64_t number) {
        EXPECT_EQ(IdAt(ObjectOf(isolate.field(0))), 13u);
        EXPECT_EQ(finalized.calls.load(), 0);
        if (number == 5) isolate.Exit();
      });
  Start(
      [this, table](Isolate& isolate, Keeper&) {
        const ObjectPtr key = NewPair(isolate, 14);
        SetField(isolate, 0, RefOf(key));
        ASSERT_TRUE(table.Put(isolate.mutator(), key, 1414).ok());
      },
      [table](Isolate& isolate, Keeper&, uint64_t) {
        const ObjectPtr key = ObjectOf(isolate.field(0));
        EXPECT_EQ(IdAt(key), 14u);
        EXPECT_EQ(table.Get(isolate.mutator(), key).value_or(0), 1414u);
      });
  Start(
      [this](Isolate& isolate, Keeper& keeper) {
        const ObjectPtr object = NewPair(isolate, 15);
        SetField(isolate, 0, RefOf(object));
        keeper.weak = WeakPersistent(isolate.mutator().region(), RefOf(object));
      },
      [](Isolate& isolate, Keeper& keeper, uint64_t) {
        EXPECT_EQ(keeper.weak.Get(), isolate.field(0));
        EXPECT_EQ(IdAt(ObjectOf(keeper.weak.Get())), 15u);
      });
  // Others, so that residences change hands.
  for (int i = 0; i < 4; ++i) StartWithGraph();
  Drive(4);
  CollectAll();
  ExpectValid();
  for (Keeper& keeper : keepers_) {
    if (keeper.number == 2) continue;  // it has ended
    WaitFor(keeper, 4);
    Tell(keeper, 5);
  }
  exits.WaitFor(keepers_[0].id);
  exits.WaitFor(keepers_[2].id);
  group().Shutdown();
  EXPECT_EQ(finalized.calls.load(), 1);
}

TEST_F(ParkingTest, WeakReferencesAndEphemeronsWithinAParkedGraph) {
  options.resident_isolates = 0;
  for (int i = 0; i < 5; ++i) {
    Start(
        [this](Isolate& isolate, Keeper&) {
          Mutator& mutator = isolate.mutator();
          SetField(isolate, 0, RefOf(NewPair(isolate, 1)));
          SetField(isolate, 1, RefOf(mutator.Allocate(*client.types->weak)));
          SetField(isolate, 2, RefOf(mutator.Allocate(*client.types->ephemeron)));
          Link(mutator, ObjectOf(isolate.field(1)), 8, ObjectOf(isolate.field(0)));
          Link(mutator, ObjectOf(isolate.field(2)), 8, ObjectOf(isolate.field(0)));
          const ObjectPtr value = NewPair(isolate, 2);
          Link(mutator, ObjectOf(isolate.field(2)), 16, value);
        },
        [](Isolate& isolate, Keeper&, uint64_t) {
          const ObjectPtr key = ObjectOf(isolate.field(0));
          EXPECT_EQ(Load(ObjectOf(isolate.field(1)), 8), key);
          EXPECT_EQ(Load(ObjectOf(isolate.field(2)), 8), key);
          EXPECT_EQ(IdAt(Load(ObjectOf(isolate.field(2)), 16)), 2u);
        });
  }
  Drive(5);
}

TEST_F(ParkingTest, NoMemoryToUnparkEndsTheIsolateWithAnError) {
  options.resident_isolates = 0;
  options.workers = 1;
  options.heap.limit_bytes = 8 << 20;
  Keeper& keeper = StartWithGraph();
  WaitFor(keeper, 0);
  // All memory is taken by one that runs, and the other one wakes.
  Event full;
  Event go_on;
  Keeper* const parked = &keeper;
  const IsolateId hog = Spawn([&](Isolate& isolate) {
    size_t i = 0;
    while (const ObjectPtr array = isolate.mutator().AllocateArray(*client.types->bytes, 30'000)) {
      SetField(isolate, i++, RefOf(array));
    }
    EXPECT_GT(i, 10u);
    full.Set();
    go_on.Wait(isolate);
  });
  full.Wait();
  Tell(*parked, 1);
  const ExitInfo info = exits.WaitFor(parked->id);
  EXPECT_EQ(info.reason, ExitReason::kFailed);
  EXPECT_EQ(info.error.code(), StatusCode::kResourceExhausted) << info.error.message();
  go_on.Set();
  exits.WaitFor(hog);
}

}  // namespace
}  // namespace Atoll
