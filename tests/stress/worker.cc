// The life of a worker: collections, regions of its own, adoption, and the choice of operations.
#include "tests/stress/worker.h"

#include "tests/stress/check.h"

namespace Atoll::stress {
namespace {

// Ranks of locks, for the library's check of their order.
constexpr int kPostRank = 1000;

}  // namespace

Post::Post() : mutex_(kPostRank, "stress post") {}

void Post::Send(std::unique_ptr<World> world) {
  SafepointMutexLock lock(mutex_);
  worlds_.push_back(std::move(world));
}

std::unique_ptr<World> Post::Receive() {
  SafepointMutexLock lock(mutex_);
  if (worlds_.empty()) return nullptr;
  std::unique_ptr<World> world = std::move(worlds_.back());
  worlds_.pop_back();
  return world;
}

size_t Post::size() {
  SafepointMutexLock lock(mutex_);
  return worlds_.size();
}

Worker::Worker(int number, const Setting& setting, const Rates& rates, uint64_t seed, Post& post,
               Board* board)
    : number_(number),
      setting_(setting),
      rates_(rates),
      post_(post),
      board_(board),
      random_(seed + static_cast<uint64_t>(number) * 7919) {}

void Worker::Run(World& world, uint64_t operations) {
  SetCurrentWorker(number_);
  Progress& progress = ProgressOf(number_);
  progress.operation.store(0);
  progress.active.store(true);
  world.Enter("worker-" + std::to_string(number_));
  for (uint64_t i = 0; i < operations; ++i) {
    progress.operation.store(++operation_, std::memory_order_relaxed);
    Operate(world);
    OperateRarely(world);
    // However few the operations are: once of what is rare.
    if (i == operations / 2) {
      Collect(world, Mutator::Collection::kMinor);
      CollectGroup(world);
      BuildSideWorld(world, /*adopt=*/true);
    }
  }
  while (std::unique_ptr<World> side = post_.Receive()) {
    random_.OneIn(2) ? AdoptInto(world, std::move(side)) : Dispose(std::move(side));
  }
  Collect(world, Mutator::Collection::kMajor);
  Verify(world, Exactness::kLoose);
  world.Leave(false);
  progress.active.store(false);
  SetCurrentWorker(-1);
}

void Worker::Operate(World& world) {
  const uint32_t choice = random_.Below(1024);
  if (choice < 300) return AllocateSmall(world);
  if (choice < 330) return AllocateElements(world);
  if (choice < 620) return StoreOne(world);
  if (choice < 650) return CopyMany(world);
  if (choice < 660) return RememberAndStore(world);
  if (choice < 680) return DropRoot(world);
  if (choice < 740) return ChangeRoot(world);
  if (choice < 800) return StoreOne(world);
  if (choice < 806) return UseWeakTable(world);
  if (choice < 840) return UseHandles(world);
  if (choice < 850) return UsePersistents(world);
  if (choice < 856) return UseWeakPersistents(world);
  if (choice < 862) return UsePins(world);
  if (choice < 890) return UpgradeWeak(world);
  if (choice < 900) return AskHash(world);
  if (choice < 908) return Shrink(world);
  if (choice < 916) return ChangeKind(world);
  if (choice < 922) return AddFinalizer(world);
  if (choice < 926) return TakeGuarded(world);
  if (choice < 928) return ChangeExternalBytes(world);
  if (choice < 930) return AllocateInNoCollectScope(world);
  if (choice < 940) {
    NativeScope native(world.mutator());
    return;
  }
  if (choice < 950 && board_ != nullptr && !world.alone_in_region()) {
    return board_->Play(world, random_);
  }
  world.mutator().Poll();
}

void Worker::OperateRarely(World& world) {
  auto due = [&](uint32_t rate) { return rate != 0 && random_.OneIn(rate); };
  if (due(rates_.minor)) Collect(world, Mutator::Collection::kMinor);
  if (due(rates_.major)) Collect(world, Mutator::Collection::kMajor);
  if (due(rates_.group)) CollectGroup(world);
  if (due(rates_.become)) Replace(world);
  if (due(rates_.verify)) Verify(world, Exactness::kLoose);
  if (depth_ == 0 && due(rates_.side_world)) BuildSideWorld(world, /*adopt=*/false);
  if (due(rates_.refuse_memory)) {
    const auto request = static_cast<platform::faults::Request>(
        random_.OneIn(2) ? platform::faults::Request::kCommit : platform::faults::Request::kRaw);
    platform::faults::FailNth(request, 1 + random_.Below(20), random_.OneIn(2));
  }
}

void Worker::Verify(World& world, Exactness exactness) {
  const size_t live = world.Verify(exactness);
  ++walks_;
  walked_objects_ += live;
  if (live > setting_.most_live) world.Thin(random_);
}

void Worker::Collect(World& world, Mutator::Collection kind) {
  if (random_.OneIn(4)) Verify(world, Exactness::kLoose);
  const Status status = world.mutator().Collect(kind);
  // Refused only for the NoCollectScope of another mutator of the region.
  STRESS_CHECK(status.ok() || !world.alone_in_region(), "%s", status.message().c_str());
  // Thread-affine finalizers run at a poll.
  world.mutator().Poll();
  const bool exact =
      status.ok() && kind == Mutator::Collection::kMajor && !setting_.memory_is_refused;
  Verify(world, exact ? Exactness::kExact : Exactness::kLoose);
}

void Worker::CollectGroup(World& world) {
  const Status status = setting_.heap->CollectAll();
  STRESS_CHECK(status.ok(), "%s", status.message().c_str());
  world.mutator().Poll();
  // Regions with an open NoCollectScope are left as they are.
  const bool exact = world.alone_in_region() && !setting_.memory_is_refused;
  Verify(world, exact ? Exactness::kExact : Exactness::kLoose);
  if (random_.OneIn(4)) {
    const Status verified = setting_.heap->Verify();
    STRESS_CHECK(verified.ok(), "%s", verified.message().c_str());
  }
}

void Worker::OnRefused(World& world) {
  world.Thin(random_);
  if (rates_.refuse_memory != 0) platform::faults::Reset();
  if (random_.OneIn(4)) Collect(world, Mutator::Collection::kMajor);
}

// Builds a graph in a region of its own, while this worker's mutator is native; then hands it over.
void Worker::BuildSideWorld(World& world, bool adopt) {
  if (std::unique_ptr<World> received = post_.Receive()) {
    random_.OneIn(4) ? Dispose(std::move(received)) : AdoptInto(world, std::move(received));
  }
  world.mutator().EnterNative();
  ++depth_;
  auto side =
      std::make_unique<World>(setting_, std::make_shared<RegionHost>(setting_, "side", 0), true, 8);
  side->Enter("side-" + std::to_string(number_));
  const uint32_t operations = random_.OneIn(8) ? 2'000 : random_.Below(300);
  for (uint32_t i = 0; i < operations; ++i) {
    Operate(*side);
    OperateRarely(*side);
  }
  if (random_.OneIn(4)) Verify(*side, Exactness::kLoose);
  side->Leave(true);
  --depth_;
  world.mutator().LeaveNative();

  const uint32_t choice = adopt ? 7 : random_.Below(8);
  if (choice == 0) return Dispose(std::move(side));
  if (choice <= 2 && post_.size() < 8) return post_.Send(std::move(side));
  AdoptInto(world, std::move(side));
}

void Worker::AdoptInto(World& world, std::unique_ptr<World> side) {
  if (random_.OneIn(4)) Collect(world, Mutator::Collection::kMinor);
  world.Adopt(*side);
  // Often at once what could go wrong with a part that is new.
  switch (random_.Below(4)) {
    case 0:
      Collect(world, Mutator::Collection::kMinor);
      break;
    case 1:
      for (int i = 0; i < 100; ++i) StoreOne(world);
      Collect(world, Mutator::Collection::kMinor);
      break;
    case 2:
      Verify(world, Exactness::kLoose);
      break;
    default:
      break;
  }
  if (world.roots.size() > 512) world.Thin(random_);
  if (random_.OneIn(4)) {
    // The empty region can be used again.
    world.mutator().EnterNative();
    ++depth_;
    side->Enter("again-" + std::to_string(number_));
    for (int i = 0; i < 50; ++i) Operate(*side);
    side->Leave(true);
    --depth_;
    world.mutator().LeaveNative();
  }
  Dispose(std::move(side));
}

void Worker::Dispose(std::unique_ptr<World> side) {
  // The region ends with its host; then its finalizers must have run.
  side->ReleaseHost();
  side->CheckAllFinalizersFired();
}

void Board::Create(World& world) {
  Mutator& mutator = world.mutator();
  const Setting& setting = world.setting();
  const ObjectPtr board =
      mutator.AllocateArray(*setting.types[static_cast<size_t>(Kind::kRefArray)], kSlots);
  STRESS_CHECK(board, "%s", mutator.last_error().message().c_str());
  world.host().shared_root = setting.words->Of(0, board.address());
}

void Board::Play(World& world, Random& random) {
  Mutator& mutator = world.mutator();
  const Setting& setting = world.setting();
  const Barriers& barriers = setting.encoding->barriers;
  const ObjectPtr token = mutator.Allocate(*setting.types[static_cast<size_t>(Kind::kLeaf)]);
  if (!token) return;
  // A leaf's data follows from its id, so whoever gets it can check it.
  const uint64_t id = NewId();
  IdOf(token, Kind::kLeaf) = id;
  *reinterpret_cast<Word*>(token.address() + 16) = Mix(id);
  const ObjectPtr board(setting.words->Decode(world.host().shared_root));
  const Slot slot = SlotOf(board, Kind::kRefArray, random.Below(kSlots));
  const Ref mine{setting.words->Of(0, token.address())};
  Ref got{};
  if (random.OneIn(2)) {
    got = barriers.exchange(mutator, board, slot, mine);
  } else {
    got = slot.LoadAcquire();
    barriers.compare_exchange(mutator, board, slot, got, mine);
  }
  exchanged.fetch_add(1, std::memory_order_relaxed);
  if (got.word == 0) return;
  const ObjectPtr other(setting.words->Decode(got.word));
  const uint64_t other_id = IdOf(other, Kind::kLeaf);
  STRESS_CHECK(*reinterpret_cast<Word*>(other.address() + 16) == Mix(other_id),
               "an object from the exchange board is not what another mutator put there");
}

}  // namespace Atoll::stress
