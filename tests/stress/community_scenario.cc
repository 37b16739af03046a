#include "tests/stress/community_scenario.h"

#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "heap/heap_state.h"
#include "isolate/group_state.h"
#include "tests/stress/check.h"
#include "tests/stress/community.h"
#include "tests/stress/member.h"

namespace Atoll::stress {
namespace {

std::vector<CommunityScenario> MakeCommunities() {
  std::vector<CommunityScenario> all;
  auto add = [&](CommunityScenario scenario) { all.push_back(scenario); };
  // Each encoding; all parked, few, none.
  add({.name = "plain"});
  add({.name = "low_tag", .encoding = &kLowTagCase, .residents = 0});
  add({.name = "nan_box", .encoding = &kNanBoxCase, .gc_workers = 2, .residents = 512});
  add({.name = "header_before", .encoding = &kHeaderBeforeCase, .workers = 1});
  add({.name = "runtime", .encoding = &kRuntimeCase, .workers = 4});
  add({.name = "compressed", .encoding = &kCompressedCase, .workers = 3, .residents = 64});
  add({.name = "many", .seats = 200, .workers = 3, .residents = 8, .most_live = 60});
  // Messages and regions of megabytes.
  add({.name = "many_live",
       .gc_workers = 2,
       .nursery_bytes = 1 << 20,
       .most_live = 10'000,
       .weight = 20});
  // The knobs, each and all.
  const StressOptions everything{.collect_every = 20,
                                 .every_allocation = true,
                                 .move_everything = true,
                                 .poison = true,
                                 .verify = true,
                                 .parallel = true};
  add({.name = "collect_every", .knobs = {.collect_every = 7}, .weight = 10});
  add({.name = "every_allocation",
       .encoding = &kRuntimeCase,
       .residents = 0,
       .knobs = {.collect_every = 50, .every_allocation = true},
       .weight = 5});
  add({.name = "move_everything",
       .gc_workers = 2,
       .knobs = {.collect_every = 40, .move_everything = true},
       .weight = 10});
  add({.name = "born_old",
       .encoding = &kLowTagCase,
       .gc_workers = 2,
       .knobs = {.collect_every = 7, .verify = true, .born_old = true},
       .weight = 2});
  add({.name = "poison", .encoding = &kNanBoxCase, .knobs = {.poison = true}, .weight = 10});
  add({.name = "verify", .residents = 0, .knobs = {.verify = true, .parallel = true}, .weight = 2});
  add({.name = "all_knobs",
       .encoding = &kHeaderBeforeCase,
       .gc_workers = 2,
       .knobs = everything,
       .weight = 1});
  add({.name = "all_knobs_compressed",
       .encoding = &kCompressedCase,
       .gc_workers = 2,
       .residents = 0,
       .knobs = everything,
       .weight = 1});
  // Memory is refused: by the limit of each isolate, by the system.
  add({.name = "limited",
       .nursery_bytes = 64 * 1024,
       .limit_bytes = 160 * 1024,
       .most_live = 3'000,
       .weight = 20});
  add({.name = "refused", .residents = 0, .refuse_memory = 100, .weight = 20});
  return all;
}

constexpr uint64_t kOperationsOfTick = 24;
constexpr uint64_t kMostTicksWaiting = 4;
constexpr int kTriesWhileRefused = 1'000;
constexpr uint64_t kSettleNanos = 120'000'000'000;

/// The thread outside that makes isolates run, end, and be collected.
class Driver {
 public:
  Driver(Community& community, const CommunityScenario& scenario, uint64_t seed)
      : community_(community), scenario_(scenario), random_(seed * 31 + 7) {}

  void Drive(uint64_t ticks) {
    int tries = 0;
    for (uint64_t i = 0; i < ticks;) {
      Seat& seat = community_.seat(random_.Below(community_.seats()));
      community_.TrySpawn(seat);
      if (SendTick(seat, kTick)) {
        ++i;
        tries = 0;
        Disturb(i);
      } else {
        // While all memory is refused, nothing can be sent.
        if (++tries % kTriesWhileRefused == 0) platform::faults::Reset();
        platform::YieldThread();
      }
    }
  }
  /// Lets all that is on its way arrive: then nothing is missing.
  void Settle() {
    platform::faults::Reset();
    ResumeAll();
    WaitUntilQuiet("before the last look");
    for (uint32_t i = 0; i < community_.seats(); ++i) SendTick(community_.seat(i), kVerifyTick);
    WaitUntilQuiet("after it");
  }

 private:
  IsolateGroup& group() { return community_.group(); }

  bool SendTick(Seat& seat, uint32_t which) {
    std::shared_ptr<PortRecord> ticks;
    {
      std::lock_guard<std::mutex> lock(seat.mutex);
      ticks = seat.ticks;
    }
    if (ticks == nullptr || ticks->sent.load() >= ticks->received.load() + kMostTicksWaiting) {
      return false;
    }
    // Before it is received.
    ticks->sent.fetch_add(1);
    const Ref word{community_.setting().words->Immediate(which)};
    Status why;
    const SendStatus sent = SendImmediate(group(), ticks->to, word, &why);
    if (sent == SendStatus::kDelivered) return true;
    ticks->sent.fetch_sub(1);
    STRESS_CHECK(sent == SendStatus::kClosed || (community_.setting().memory_is_refused &&
                                                 why.code() == StatusCode::kResourceExhausted),
                 "%s", why.message().c_str());
    return false;
  }

  IsolateId AnyIsolate() {
    Seat& seat = community_.seat(random_.Below(community_.seats()));
    std::lock_guard<std::mutex> lock(seat.mutex);
    return seat.id;
  }
  void ResumeAll() {
    for (const IsolateId id : paused_) group().Resume(id);
    paused_.clear();
  }
  void CollectAll() {
    const Status status = group().heap().CollectAll();
    STRESS_CHECK(status.ok(), "%s", status.message().c_str());
  }
  void Verify() {
    const Status status = group().heap().Verify();
    STRESS_CHECK(status.ok(), "%s", status.message().c_str());
  }

  void Disturb(uint64_t tick) {
    if (random_.OneIn(60)) group().Kill(AnyIsolate());
    if (random_.OneIn(100)) {
      const IsolateId id = AnyIsolate();
      if (group().Pause(id)) paused_.push_back(id);
    }
    if (paused_.size() > community_.seats() / 4 || random_.OneIn(200)) ResumeAll();
    // However few the ticks are, some of each.
    if (random_.OneIn(500) || tick == 100 || tick == 200) CollectAll();
    if (random_.OneIn(500) || tick == 150) Verify();
    if (scenario_.refuse_memory != 0 && random_.OneIn(scenario_.refuse_memory)) {
      const auto request =
          random_.OneIn(2) ? platform::faults::Request::kCommit : platform::faults::Request::kRaw;
      platform::faults::FailNth(request, 1 + random_.Below(20), random_.OneIn(2));
      refused_since_ = tick;
    } else if (tick > refused_since_ + 10) {
      platform::faults::Reset();
      refused_since_ = UINT64_MAX - 10;
    }
  }

  bool IsQuiet() {
    for (uint32_t i = 0; i < community_.seats(); ++i) {
      Seat& seat = community_.seat(i);
      std::lock_guard<std::mutex> lock(seat.mutex);
      if (!seat.occupied) continue;
      if (seat.ticks == nullptr || seat.ticks->sent.load() != seat.ticks->received.load()) {
        return false;
      }
      // Or its port could not be opened again, which is for want of memory.
      if (seat.mail != nullptr && seat.mail->sent.load() != seat.mail->received.load()) {
        return false;
      }
    }
    return true;
  }
  void WaitUntilQuiet(const char* when) {
    const uint64_t end = platform::NowNanos() + kSettleNanos;
    // Twice: a tick that was handled meanwhile may have sent something to a seat seen before.
    for (int quiet = 0; quiet < 2;) {
      const bool is_quiet = IsQuiet() && group().state().scheduler.is_idle();
      quiet = is_quiet ? quiet + 1 : 0;
      STRESS_CHECK(platform::NowNanos() < end, "%s: messages that were sent are not received",
                   when);
      platform::YieldThread();
    }
  }

  Community& community_;
  const CommunityScenario& scenario_;
  Random random_;
  std::vector<IsolateId> paused_;
  uint64_t refused_since_ = UINT64_MAX - 10;
};

CommunityTotals TotalsOf(Community& community) {
  const HeapStats stats = community.group().heap().stats();
  GroupCounts& counts = community.counts();
  CommunityTotals totals;
  totals.operations = counts.operations.load();
  totals.minors = stats.minor.count;
  totals.majors = stats.major.count;
  totals.groups = stats.group.count;
  totals.adoptions = stats.adoptions;
  totals.sent = counts.sent.load() + counts.handed_over.load();
  totals.received = counts.received.load();
  totals.discarded = community.parcels();
  totals.refused = counts.refused.load();
  totals.full = counts.full.load();
  totals.closed = counts.closed.load();
  totals.frozen = counts.frozen.load();
  totals.not_frozen = counts.not_frozen.load();
  totals.replaced = counts.replaced.load();
  totals.handed_over = counts.handed_over.load();
  totals.voided = counts.voided.load();
  totals.parked = counts.residences.load();
  totals.spawned = counts.spawned.load();
  totals.killed = counts.killed.load();
  totals.failed = counts.failed.load();
  totals.refused_memory = counts.refused_memory.load();
  return totals;
}

struct AtStart {
  size_t bytes;
  size_t blocks;
};

// All isolates have ended, and the group's threads too.
void CheckNothingLeft(GroupState& state, const AtStart& at_start) {
  // What has not been needed since the last time is given back: so it takes two.
  state.Trim();
  state.Trim();
  Heap& heap = *state.heap;
  Status status = heap.Verify();
  STRESS_CHECK(status.ok(), "%s", status.message().c_str());
  status = heap.CollectAll();
  STRESS_CHECK(status.ok(), "%s", status.message().c_str());
  const HeapStats stats = heap.stats();
  const auto number = [](uint64_t value) { return static_cast<unsigned long long>(value); };
  STRESS_CHECK(stats.regions == 0 && stats.region_bytes == 0 && stats.external_bytes == 0 &&
                   stats.shared_bytes == 0,
               "%llu regions are left, with %llu bytes and %llu external ones; %llu shared",
               number(stats.regions), number(stats.region_bytes), number(stats.external_bytes),
               number(stats.shared_bytes));
  STRESS_CHECK(stats.mapped_bytes == stats.free_bytes + stats.program_bytes,
               "of %llu bytes mapped, %llu are free and %llu Program's", number(stats.mapped_bytes),
               number(stats.free_bytes), number(stats.program_bytes));
  STRESS_CHECK(heap.state().pool.used_bytes() == at_start.blocks,
               "%zu bytes of blocks are used, %zu at the start", heap.state().pool.used_bytes(),
               at_start.blocks);
  STRESS_CHECK(heap.state().allocator.bytes() == at_start.bytes,
               "%zu bytes off the heap are used, %zu at the start", heap.state().allocator.bytes(),
               at_start.bytes);
}

// As RegisterKinds, but for the one that is unsendable here.
TypeTable RegisterKindsOfIsolates(Heap& heap) {
  TypeTable types = RegisterKinds(heap);
  const KindLayout& layout = LayoutOf(kUnsendable);
  TypeInfo info;
  info.name = "Unsendable";
  info.layout = Layout::kFixed;
  info.slot_size = SlotSize();
  info.fixed_size = layout.fixed_size;
  info.ref_offsets.assign(layout.edge_offsets, layout.edge_offsets + layout.fixed_edges);
  info.flags.unsendable = true;
  const Result<const Type*> type = heap.RegisterType(info);
  STRESS_CHECK(type.ok(), "%s", type.status().message().c_str());
  types[static_cast<size_t>(kUnsendable)] = type.value();
  return types;
}

}  // namespace

const std::vector<CommunityScenario>& AllCommunityScenarios() {
  static const std::vector<CommunityScenario> all = MakeCommunities();
  return all;
}

void CommunityTotals::Add(const CommunityTotals& other) {
  operations += other.operations;
  minors += other.minors;
  majors += other.majors;
  groups += other.groups;
  sent += other.sent;
  received += other.received;
  discarded += other.discarded;
  refused += other.refused;
  full += other.full;
  closed += other.closed;
  frozen += other.frozen;
  not_frozen += other.not_frozen;
  replaced += other.replaced;
  handed_over += other.handed_over;
  adoptions += other.adoptions;
  voided += other.voided;
  parked += other.parked;
  spawned += other.spawned;
  killed += other.killed;
  failed += other.failed;
  refused_memory += other.refused_memory;
}

void CommunityTotals::Print(const char* name) const {
  auto number = [](uint64_t value) { return static_cast<unsigned long long>(value); };
  std::printf(
      "stress: isolates, %-16s %10llu operations, collections: %llu minor %llu major %llu group; "
      "%llu sent, %llu received, %llu discarded, %llu refused, %llu full, %llu closed; %llu "
      "frozen; %llu replaced; %llu handed over, %llu adopted, %llu voided; %llu parked; %llu "
      "spawned, %llu "
      "killed, %llu failed; %llu allocations refused\n",
      name, number(operations), number(minors), number(majors), number(groups), number(sent),
      number(received), number(discarded), number(refused), number(full), number(closed),
      number(frozen), number(replaced), number(handed_over), number(adoptions), number(voided),
      number(parked), number(spawned), number(killed), number(failed), number(refused_memory));
  std::fflush(stdout);
}

CommunityTotals RunCommunity(const CommunityScenario& scenario, uint64_t seed,
                             uint64_t operations) {
  SetCurrentScenario(scenario.name, seed);
  ProgressOf(0).active.store(true);
  platform::faults::Reset();
  Community community(scenario.seats, seed, scenario.limit_bytes);
  GroupOptions options;
  options.name = scenario.name;
  options.client = &community;
  options.workers = scenario.workers;
  options.resident_isolates = scenario.residents;
  options.heap.name = scenario.name;
  options.heap.encoding = scenario.encoding->encoding;
  options.heap.nursery_bytes = scenario.nursery_bytes;
  options.heap.max_nursery_bytes = scenario.nursery_bytes * 8;
  options.heap.workers = scenario.gc_workers;
  options.heap.stress = scenario.knobs;
  options.heap.seed = seed;
  options.heap.safepoint.watchdog_nanos = 60'000'000'000;
  auto created = IsolateGroup::Create(options);
  STRESS_CHECK(created.ok(), "%s", created.status().message().c_str());
  std::unique_ptr<IsolateGroup> group = std::move(created).value();

  Setting setting;
  setting.heap = &group->heap();
  setting.encoding = scenario.encoding;
  setting.types = RegisterKindsOfIsolates(group->heap());
  setting.memory_is_refused = scenario.limit_bytes != 0 || scenario.refuse_memory != 0;
  setting.most_live = scenario.most_live;
  std::unique_ptr<Words> words;
  {
    std::unique_ptr<Region> region = group->heap().CreateRegion({}).value();
    std::unique_ptr<Mutator> mutator = region->AttachMutator("words").value();
    words = std::make_unique<Words>(scenario.encoding->encoding, *mutator);
    STRESS_CHECK(mutator->Detach().ok(), "a fresh mutator cannot be detached");
  }
  setting.words = words.get();
  community.Begin(*group, setting);
  HeapState& heap = group->heap().state();
  const AtStart at_start{heap.allocator.bytes(), heap.pool.used_bytes()};

  Driver driver(community, scenario, seed);
  driver.Drive((operations + kOperationsOfTick - 1) / kOperationsOfTick);
  driver.Settle();
  community.CheckParcelsOfClosedPorts();
  const Status status = group->heap().Verify();
  STRESS_CHECK(status.ok(), "%s", status.message().c_str());
  group->Shutdown();

  const CommunityTotals totals = TotalsOf(community);
  STRESS_CHECK(totals.sent == totals.received + totals.discarded,
               "%zu messages were sent, %zu received and %zu discarded",
               static_cast<size_t>(totals.sent), static_cast<size_t>(totals.received),
               static_cast<size_t>(totals.discarded));
  group->state().monitor.Stop();
  group->state().scheduler.Stop();
  CheckNothingLeft(group->state(), at_start);
  community.CheckAllTokensFired();
  group.reset();
  ProgressOf(0).active.store(false);
  return totals;
}

}  // namespace Atoll::stress
