#include <algorithm>
#include <unordered_set>

#include "gc/named_roots.h"
#include "gc/region_walk.h"
#include "gc/verifier.h"
#include "heap/object_slots.h"
#include "heap/shared_space.h"

namespace Atoll {
namespace {

// `check` must outlive it.
class RootChecker final : public RootVisitor {
 public:
  explicit RootChecker(FunctionRef<void(Word)> check) : check_(check) {}
  void VisitSlot(Slot slot) override { check_(slot.Load().word); }

 private:
  FunctionRef<void(Word)> check_;
};

class SharedVerifier {
 public:
  SharedVerifier(HeapState& heap, const StoppedScope& stopped)
      : heap_(heap),
        space_(*heap.space),
        encoding_(heap.options.encoding),
        blocks_(heap.shared, stopped) {}

  Status Run() {
    heap_.program.ForEachBlock([this](BlockIndex block) {
      ForEachObject(heap_, block, [this](uintptr_t object) { program_.insert(object); });
    });
    if (Status status = CheckBlocks(); !status.ok()) return status;
    if (Status status = CheckGroupRoots(); !status.ok()) return status;
    return CheckObjects();
  }

 private:
  template <typename Fn>
  void ForEachSharedBlock(Fn fn) {  // fn(head, large)
    for (BlockList* list : {&blocks_.full(), &blocks_.recyclable(), &blocks_.large()}) {
      const bool large = list == &blocks_.large();
      list->ForEach(space_, [&](BlockIndex block) { fn(block, large); });
    }
  }

  // ---- I4, I6

  Status CheckBlocks() {
    Status status;
    size_t blocks = 0;
    std::unordered_set<BlockIndex> seen;
    ForEachSharedBlock([&](BlockIndex block, bool large) {
      if (!status.ok()) return;
      const BlockInfo& info = space_.info(block);
      blocks += info.run_blocks;
      if (info.space != Space::kShared || space_.tag(block) != tag::kShared ||
          (!large && info.run_blocks != 1)) {
        status =
            Violated("I4: block " + Hex(space_.AddressOf(block)) +
                     " is listed in the Shared space but has space " +
                     std::to_string(static_cast<int>(info.space)) + ", tag " +
                     Hex(space_.tag(block)) + " and a run of " + std::to_string(info.run_blocks));
      } else if (!seen.insert(block).second) {
        status = Violated("I4: block " + Hex(space_.AddressOf(block)) +
                          " of the Shared space is listed twice");
      } else {
        status = ParseBlock(block, large);
      }
    });
    if (status.ok() && blocks != heap_.shared.block_count()) {
      return Violated("I4: the Shared space has " + std::to_string(blocks) +
                      " blocks in its lists, but counts " +
                      std::to_string(heap_.shared.block_count()));
    }
    return status;
  }

  Status ParseBlock(BlockIndex block, bool large) {
    const uintptr_t start = space_.AddressOf(block);
    const uintptr_t block_end = start + space_.info(block).run_blocks * kBlockSize;
    const LineMap used = LineMap::Of(space_, block);
    uintptr_t end = start;  // of the object before
    Status status;
    ForEachObject(heap_, block, [&](uintptr_t object) {
      if (!status.ok()) return;
      const Word header_word = HeaderOf(object).load();
      const uint32_t id = header_word >> header::kTypeShift & header::kMaxTypeId;
      constexpr Word kFlags = (Word{1} << header::kTypeShift) - 1;
      if ((header_word & kFlags) != 0 || id == 0 || id >= heap_.types.count()) {
        status = Violated("I6: at " + Hex(object) + " in the Shared space stands " +
                          Hex(header_word) + ", which is no shared object's header");
        return;
      }
      const size_t size = ObjectSize(heap_.types.OfHeader(header_word), object);
      if (object < end || size > block_end - object || (large && object != start)) {
        status =
            Violated("I6: the shared " + DescribeObject(heap_, object) + " of " +
                     std::to_string(size) + " bytes overlaps another, or reaches beyond its block");
        return;
      }
      end = object + size;
      if (large) return;
      for (uintptr_t line = (object - start) >> kLineShift; line <= (end - 1 - start) >> kLineShift;
           ++line) {
        if (used.IsUsed(static_cast<int>(line))) continue;
        status = Violated("I6: line " + std::to_string(line) + ", which the shared " +
                          DescribeObject(heap_, object) + " reaches into, counts as free");
        return;
      }
    });
    if (status.ok() && large && end == start) {
      return Violated("I6: no object starts in the large run at " + Hex(start) +
                      " of the Shared space");
    }
    return status;
  }

  // ---- I2

  // Whether an object of Shared or Program starts there.
  bool IsSharedObject(uintptr_t object) const {
    const Space use = space_.info(space_.BlockOf(object)).space;
    if (use == Space::kProgram) return program_.count(object) != 0;
    return use == Space::kShared && object % kGranule == 0 && space_.IsMarked(object);
  }
  // What lies there instead.
  std::string DescribeTarget(uintptr_t target) const {
    const Space use = space_.info(space_.BlockOf(target)).space;
    if (use == Space::kFree || use == Space::kUnmapped) {
      return Hex(target) + ", which lies in free memory";
    }
    if (use == Space::kShared || use == Space::kProgram || use == Space::kLargeTail) {
      return Hex(target) + ", where no object starts";
    }
    const uint32_t id = HeaderOf(target).load() >> header::kTypeShift & header::kMaxTypeId;
    return "a private object" + (id == 0 || id >= heap_.types.count()
                                     ? " at " + Hex(target)
                                     : ", the " + DescribeObject(heap_, target));
  }

  Status CheckGroupRoots() {
    Status status;
    ForEachGroupRoot([&](Word word, const std::string& name) {
      if (!status.ok() || !encoding_.RefersInto(word, space_.base(), space_.size())) return;
      const uintptr_t target = encoding_.Decode(word);
      if (IsSharedObject(target)) return;
      const std::string message = "I2: " + name + " refers to " + DescribeTarget(target) +
                                  "; roots of the group refer to shared objects only";
      heap_.Report(Violation::Kind::kForeignRoot, message);
      status = Violated(message);
    });
    for (GroupRoots* roots : heap_.group_roots) {
      if (status.ok()) status = roots->Verify();
    }
    return status;
  }

  Status CheckObjects() {
    Status status;
    ForEachSharedBlock([&](BlockIndex block, bool) {
      ForEachObject(heap_, block, [&](uintptr_t object) {
        if (status.ok()) status = CheckObject(object, "the shared ");
      });
    });
    for (const uintptr_t object : program_) {
      if (status.ok()) status = CheckObject(object, "the Program object ");
    }
    return status;
  }

  Status CheckObject(uintptr_t object, const char* what) {
    Status status;
    ForEachSlotOf(heap_, object, [&](Slot slot) {
      const Word word = slot.Load().word;
      if (!status.ok() || !encoding_.RefersInto(word, space_.base(), space_.size())) return;
      const uintptr_t target = encoding_.Decode(word);
      if (IsSharedObject(target)) return;
      status = Violated("I2: slot +" + std::to_string(slot.address() - object) + " of " + what +
                        DescribeObject(heap_, object) + " refers to " + DescribeTarget(target) +
                        PathTo(object));
    });
    return status;
  }

  // ---- Messages

  void ForEachGroupRoot(NamedRootFn fn) {
    for (GroupRoots* roots : heap_.group_roots) {
      size_t i = 0;
      auto check = [&](Word word) { fn(word, "root " + std::to_string(i++) + " of the group"); };
      RootChecker checker(check);
      roots->VisitRoots(checker);
      auto check_weak = [&](Word word) { fn(word, "a weak root of the group"); };
      RootChecker weak_checker(check_weak);
      roots->VisitWeakRoots(weak_checker);
    }
  }

  std::string PathTo(uintptr_t goal) {
    auto roots = [this](NamedRootFn fn) {
      ForEachGroupRoot(fn);
      for (const uintptr_t object : program_) fn(encoding_.Make(object), "the Program space");
      for (RegionState* region : heap_.regions) {
        ForEachNamedRoot(*region, [&](Word word, const std::string& name) {
          fn(word, name + " of region \"" + region->options.name + "\"");
        });
      }
    };
    // What roots and private objects refer to has been checked; what shared ones do may be wrong.
    return PathFromRoot(heap_, goal, roots, [this](uintptr_t from, uintptr_t to) {
      const bool from_private = from != 0 && !IsSharedObject(from);
      return from == 0 || from_private || IsSharedObject(to);
    });
  }

  HeapState& heap_;
  const AddressSpace& space_;
  const RefEncoding encoding_;
  SharedSpace::Stopped blocks_;
  std::unordered_set<uintptr_t> program_;  // the starts of its objects
};

}  // namespace

Status VerifyShared(HeapState& heap, const StoppedScope& stopped) {
  return SharedVerifier(heap, stopped).Run();
}

}  // namespace Atoll
