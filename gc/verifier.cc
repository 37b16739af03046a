#include "gc/verifier.h"

#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "gc/named_roots.h"
#include "gc/region_walk.h"
#include "heap/mutator_record.h"
#include "heap/object_slots.h"

namespace Atoll {
namespace {

// Set in blocks of Old while they are collected, and at no other time.
constexpr uint8_t kCollectionFlags =
    block_flags::kHasKept | block_flags::kCandidate | block_flags::kAdopted;

class RegionVerifier {
 public:
  RegionVerifier(RegionState& region, bool regions_are_held)
      : region_(region),
        regions_are_held_(regions_are_held),
        heap_(region.heap),
        space_(*region.heap.space),
        encoding_(region.heap.options.encoding) {}

  Status Run() {
    if (region_.own == nullptr && region_.adopted.empty()) return Status::Ok();
    MakeWalkable(region_);
    CollectRemembered();
    if (Status status = CheckBirths(); !status.ok()) return status;
    if (Status status = CheckBlocks(); !status.ok()) return status;
    if (Status status = CheckRoots(); !status.ok()) return status;
    return CheckObjects();
  }

 private:
  void CollectRemembered() {
    auto add = [this](RememberedSet& set) {
      set.objects.ForEach([this](uintptr_t object) { remembered_objects_.insert(object); });
      set.slots.ForEach([this](uintptr_t slot) { remembered_slots_.insert(slot); });
      overflowed_ |= set.overflowed;
    };
    region_.ForEachPart([&](Part& part) { add(part.remembered); });
    for (Mutator* mutator : region_.mutators) add(mutator->record().remembered);
  }

  // ---- I4, I6

  Status CheckBlocks() {
    region_.ForEachPart([this](Part& part) { parts_.emplace(part.raw_id, &part); });
    size_t blocks = region_.spare_young.block_count() + region_.filling_young.block_count() +
                    region_.filling_large.block_count();
    Status status;
    auto check = [&](BlockIndex block, const Part& part, bool young, Space a, Space b) {
      if (!status.ok()) return;
      const BlockInfo& info = space_.info(block);
      const uint32_t want = young ? part.young_tag() : part.old_tag();
      blocks += info.run_blocks;
      if (info.space != a && info.space != b) {
        status = Violated("I4: block " + Hex(space_.AddressOf(block)) + " is listed in region \"" +
                          region_.options.name + "\" but its space is " +
                          std::to_string(static_cast<int>(info.space)));
      } else if (space_.tag(block) != want) {
        status = Violated("I4: block " + Hex(space_.AddressOf(block)) + " of region \"" +
                          region_.options.name + "\" has tag " + Hex(space_.tag(block)) +
                          ", not its part's " + Hex(want));
      } else if (info.space == Space::kOld && (info.flags & kCollectionFlags) != 0) {
        status = Violated("I4: block " + Hex(space_.AddressOf(block)) + " of region \"" +
                          region_.options.name + "\" still has flags " + Hex(info.flags) +
                          " of a collection");
      } else if (!blocks_.insert(block).second) {
        status = Violated("I4: block " + Hex(space_.AddressOf(block)) + " of region \"" +
                          region_.options.name + "\" is listed twice");
      } else {
        status = ParseBlock(block);
      }
    };
    region_.ForEachPart([&](Part& part) {
      part.young.ForEach(
          space_, [&](BlockIndex block) { check(block, part, true, Space::kNew, Space::kNew); });
      for (BlockList* list : part.OldLists()) {
        list->ForEach(space_, [&](BlockIndex block) {
          check(block, part, false, Space::kOld, Space::kOld);
          if (status.ok() && list != &part.old && list != &part.OldListOf(space_.info(block))) {
            status = Violated("I4: block " + Hex(space_.AddressOf(block)) + " of region \"" +
                              region_.options.name +
                              "\" is listed as having holes for objects of another kind");
          }
        });
      }
      part.young_large.ForEach(space_, [&](BlockIndex block) {
        check(block, part, true, Space::kLarge, Space::kLarge);
      });
      part.large.ForEach(space_, [&](BlockIndex block) {
        check(block, part, false, Space::kLarge, Space::kLarge);
      });
    });
    if (!status.ok()) return status;
    const size_t counted = region_.blocks.load();
    if (blocks != counted) {
      return Violated("I4: region \"" + region_.options.name + "\" has " + std::to_string(blocks) +
                      " blocks in its lists, but counts " + std::to_string(counted));
    }
    return status;
  }

  Status ParseBlock(BlockIndex block) {
    const BlockInfo& info = space_.info(block);
    const uintptr_t start = space_.AddressOf(block);
    const uintptr_t end = info.space == Space::kNew     ? start + info.top
                          : info.space == Space::kLarge ? start + info.run_blocks * kBlockSize
                                                        : start + kBlockSize;
    auto check = [&](uintptr_t object) -> Status {
      const Word header_word = HeaderOf(object).load();
      const uint32_t id = header_word >> header::kTypeShift & header::kMaxTypeId;
      if ((header_word & (header::kForwarded | header::kKept)) != 0 || id == 0 ||
          id >= heap_.types.count()) {
        return Violated("I6: at " + Hex(object) + " in region \"" + region_.options.name +
                        "\" stands " + Hex(header_word) + ", which is no object's header");
      }
      const Type& type = heap_.types.OfHeader(header_word);
      if (ObjectSize(type, object) > end - object) {
        return Violated("I6: the " + Describe(object) + " of " +
                        std::to_string(ObjectSize(type, object)) +
                        " bytes reaches beyond its block");
      }
      return Status::Ok();
    };
    if (info.space != Space::kNew) {
      Status status;
      ForEachObject(heap_, block, [&](uintptr_t object) {
        if (status.ok()) status = check(object);
      });
      return status;
    }
    std::vector<uint64_t>& starts = young_starts_[block];
    starts.assign(kMarkWordsPerBlock, 0);
    for (uintptr_t object = start; object < end;) {
      const Word header_word = HeaderOf(object).load();
      if (IsFiller(header_word)) {
        if (FillerSize(header_word) < kGranule || FillerSize(header_word) > end - object) {
          return Violated("I6: the gap at " + Hex(object) + " reaches beyond its block");
        }
        object += FillerSize(header_word);
        continue;
      }
      if (Status status = check(object); !status.ok()) return status;
      const size_t granule = (object - start) / kGranule;
      starts[granule / 64] |= uint64_t{1} << (granule % 64);
      object += ObjectSize(heap_.types.OfHeader(header_word), object);
    }
    return Status::Ok();
  }

  // ---- I3

  // The barrier of the own part's mutators knows what is young, or that nothing is.
  Status CheckBirths() const {
    if (region_.own == nullptr) return Status::Ok();
    const Part& own = *region_.own;
    if (region_.births_old && !(own.young.empty() && own.young_large.empty())) {
      return Violated("I3: in region \"" + region_.options.name +
                      "\" objects are born old, and stores are not remembered, but " +
                      std::to_string(own.young.block_count() + own.young_large.block_count()) +
                      " blocks are young");
    }
    for (const Mutator* mutator : region_.mutators) {
      if (mutator->young_tag() == region_.BarrierTag()) continue;
      return Violated("I3: the barrier of mutator \"" + mutator->name() + "\" of region \"" +
                      region_.options.name + "\" takes tag " + Hex(mutator->young_tag()) +
                      " for young, not " + Hex(region_.BarrierTag()));
    }
    return Status::Ok();
  }

  // ---- I1, I3

  bool Refers(Word word, uintptr_t* object) const {
    if (!encoding_.IsRef(word)) return false;
    *object = encoding_.Decode(word);
    return space_.Contains(*object);
  }

  // What is wrong with referring to `object`, or nothing.
  std::string WrongTarget(uintptr_t object) const {
    const BlockIndex block = space_.BlockOf(object);
    const BlockInfo& info = space_.info(block);
    if (info.space == Space::kProgram) return {};
    if (info.space == Space::kShared) {
      // Marks of blocks that other regions' mutators allocate into are read only while they stand.
      const bool starts = !regions_are_held_ || (object % kGranule == 0 && space_.IsMarked(object));
      return starts ? "" : "where no shared object starts (I1)";
    }
    if (info.space == Space::kFree || info.space == Space::kUnmapped) {
      return "which lies in free memory (I1)";
    }
    if (parts_.count(space_.tag(block) >> tag::kPartShift) == 0) {
      return "which lies in " + OwnerOf(block) + " (I1)";
    }
    if (object % kGranule != 0) return "which is misaligned (I1)";
    if (info.space == Space::kNew) {
      const auto found = young_starts_.find(block);
      const size_t granule = (object - space_.AddressOf(block)) / kGranule;
      const bool starts =
          found != young_starts_.end() && (found->second[granule / 64] >> (granule % 64) & 1) != 0;
      return starts ? "" : "where no object starts (I1)";
    }
    if (info.space == Space::kLarge) {
      return object == space_.AddressOf(block) ? "" : "which is inside a large object (I1)";
    }
    if (info.space == Space::kLargeTail) return "which is inside a large object (I1)";
    return space_.IsMarked(object) ? "" : "where no live object starts (I1)";
  }

  Status CheckRoot(Word word, const std::string& name) {
    uintptr_t object;
    if (!Refers(word, &object)) return Status::Ok();
    const std::string wrong = WrongTarget(object);
    if (wrong.empty()) return Status::Ok();
    const std::string message = name + " of region \"" + region_.options.name + "\" refers to " +
                                Hex(object) + ", " + wrong +
                                "; roots refer to objects of their own region, or to shared ones";
    heap_.Report(Violation::Kind::kForeignRoot, message);
    return Violated(message);
  }

  Status CheckRoots() {
    Status status;
    ForEachNamedRoot(region_, [&](Word word, const std::string& name) {
      if (status.ok()) status = CheckRoot(word, name);
    });
    return status;
  }

  Status CheckObjects() {
    Status status;
    const uint32_t young = region_.own == nullptr ? 0 : region_.own->young_tag();
    ForEachBlock(region_, [&](BlockIndex block, Part&) {
      ForEachObject(heap_, block, [&](uintptr_t object) {
        if (status.ok()) status = CheckObject(object, space_.tag(block) == young, young);
      });
    });
    return status;
  }

  Status CheckObject(uintptr_t object, bool is_young, uint32_t young) {
    const uint8_t flags = LoadFlags(object);
    if ((flags & header::kRemembered) != 0 && !overflowed_ &&
        remembered_objects_.count(object) == 0) {
      return Violated("I3: the " + Describe(object) +
                      " is flagged as remembered but in no remembered set" + PathTo(object));
    }
    Status status;
    ForEachSlotOf(heap_, object, [&](Slot slot) {
      uintptr_t target;
      if (!status.ok() || !Refers(slot.Load().word, &target)) return;
      const std::string at =
          "slot +" + std::to_string(slot.address() - object) + " of the " + Describe(object);
      if (const std::string wrong = WrongTarget(target); !wrong.empty()) {
        status = Violated(at + " refers to " + Hex(target) + ", " + wrong + PathTo(object));
        return;
      }
      if (is_young || young == 0 || space_.tag(space_.BlockOf(target)) != young) return;
      if (!IsRemembered(object, slot)) {
        const std::string message =
            "I3: " + at + ", an old object, refers to the young " + Describe(target) +
            " but is not remembered: a store without the barrier" + PathTo(object);
        heap_.Report(Violation::Kind::kMissingBarrier, message);
        status = Violated(message);
      }
    });
    return status;
  }

  bool IsRemembered(uintptr_t object, Slot slot) const {
    if (overflowed_ || remembered_objects_.count(object) != 0) return true;
    if ((LoadFlags(object) & header::kLarge) == 0) return false;
    if (remembered_slots_.count(slot.address()) != 0) return true;
    auto* cards = static_cast<CardTable*>(space_.info(space_.BlockOf(object)).cards);
    if (cards == nullptr) return false;
    return cards->card((slot.address() - object - kHeaderSize) / kCardSize) != 0;
  }

  // ---- Messages

  std::string OwnerOf(BlockIndex block) const {
    if (!regions_are_held_) return "another region";
    const uint32_t id = space_.tag(block) >> tag::kPartShift;
    for (RegionState* other : heap_.regions) {
      bool found = false;
      other->ForEachPart([&](Part& part) { found |= part.raw_id == id; });
      if (found) return "another region, \"" + other->options.name + "\"";
    }
    return "a block of no region";
  }

  std::string Describe(uintptr_t object) const { return DescribeObject(heap_, object); }

  std::string PathTo(uintptr_t goal) const {
    return PathFromRoot(
        heap_, goal, [this](NamedRootFn fn) { ForEachNamedRoot(region_, fn); },
        [this](uintptr_t, uintptr_t to) { return WrongTarget(to).empty(); });
  }

  RegionState& region_;
  const bool regions_are_held_;
  HeapState& heap_;
  const AddressSpace& space_;
  const RefEncoding encoding_;
  std::unordered_map<uint32_t, Part*> parts_;
  std::unordered_set<BlockIndex> blocks_;
  std::unordered_map<BlockIndex, std::vector<uint64_t>> young_starts_;
  std::unordered_set<uintptr_t> remembered_objects_;
  std::unordered_set<uintptr_t> remembered_slots_;
  bool overflowed_ = false;
};

}  // namespace

Status VerifyRegion(RegionState& region, bool regions_are_held) {
  return RegionVerifier(region, regions_are_held).Run();
}

Status VerifyStops(const RegionState& region, const MutatorThread* own) {
  for (const Mutator* mutator : region.mutators) {
    if (mutator == own || region.heap.safepoints.Holds(*mutator)) continue;
    return Violated("I5: the mutator \"" + mutator->name() + "\" of region \"" +
                    region.options.name +
                    "\" is not held while the region is collected or verified: it is " +
                    ToString(mutator->state()) + ", and free to run");
  }
  return Status::Ok();
}

Status VerifyBlocks(HeapState& heap) {
  const AddressSpace& space = *heap.space;
  size_t free_blocks = 0;
  Status status;
  const size_t mapped_blocks = heap.pool.ForEachFree([&](BlockIndex block) {
    ++free_blocks;
    if (status.ok() && (space.info(block).space != Space::kFree || space.tag(block) != 0)) {
      status = Violated("I4: block " + Hex(space.AddressOf(block)) + " is free, but has space " +
                        std::to_string(static_cast<int>(space.info(block).space)) + " and tag " +
                        Hex(space.tag(block)));
    }
  });
  if (!status.ok()) return status;
  size_t owned = heap.program.block_count() + heap.shared.block_count();
  for (RegionState* region : heap.regions) owned += region->blocks.load();
  if (free_blocks + owned != mapped_blocks) {
    return Violated("I4: heap \"" + heap.options.name + "\" has mapped " +
                    std::to_string(mapped_blocks) + " blocks, but " + std::to_string(free_blocks) +
                    " are free and " + std::to_string(owned) + " are owned");
  }
  return status;
}

}  // namespace Atoll
