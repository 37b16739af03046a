#ifndef ATOLL_GC_BECOME_H_
#define ATOLL_GC_BECOME_H_

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "atoll/become.h"
#include "atoll/function_ref.h"
#include "gc/become_cells.h"
#include "gc/become_map.h"
#include "heap/heap_state.h"
#include "heap/region_state.h"
#include "heap/shared_space.h"

namespace Atoll {

/// One Become: see include/atoll/become.h for what it does. All mutators are stopped and the heap's
/// regions_mutex is held. The phases are called in this order, once each.
///
/// How a reference to a `before` is told: their blocks get the tag bit `move` for the time of
/// Rewrite, so that all other references cost a look at a tag; the rest is looked up. No object is
/// changed but for slots, hashes and the remembered flag: so an object may be walked before and
/// after, in any order, by any thread.
///
/// A slot may be visited twice, and must not be rewritten twice. As long as no after[i] is a
/// `before` it cannot be. Where one is, all that there is is walked twice: see BecomeCells.
class BecomeRun {
 public:
  /// Where references are held. Rewrite leaves none out, unless a test says so.
  enum Place : uint32_t {
    kGroupRoots = 1u << 0,
    kWeakGroupRoots = 1u << 1,
    kProgram = 1u << 2,
    kShared = 1u << 3,
    kObjects = 1u << 4,  ///< of regions, those in flight too
    kClientRoots = 1u << 5,
    kHandles = 1u << 6,
    kPersistents = 1u << 7,
    kWeakPersistents = 1u << 8,
    kGuarded = 1u << 9,
    kFinalizers = 1u << 10,
    kWeakTables = 1u << 11,
    kRememberedSets = 1u << 12,
    kAllPlaces = (1u << 13) - 1,
  };

  BecomeRun(HeapState& heap, const StoppedScope& stopped);

  /// Checks the pairs. An error changes nothing.
  Status Prepare(std::span<const Ref> before, std::span<const Ref> after);
  /// Cannot fail.
  void Rewrite(uint32_t places = kAllPlaces);
  /// Notes what refers to the pairs' objects, for Check. Before Rewrite.
  void NoteForCheck();
  /// Looks for what Rewrite has not done, the slow way round: each place refers to what became of
  /// what it referred to when it was noted. The error names the place.
  Status Check();

 private:
  class Rewriter;
  enum class Step : uint8_t { kDirect, kToCells, kFromCells };

  Status CheckScopes() const;
  Status RefuseMemory() const;
  Status AddPairs();
  Status FindObjects();
  Status CheckPairs();
  Status CheckAttachments();
  std::string Describe(const char* list, size_t index, uintptr_t object) const;
  std::string DescribePair(size_t index) const;
  bool IsOfGroup(const BecomeMap::Entry& entry) const { return entry.owner == nullptr; }
  uintptr_t ObjectOf(Ref word) const { return encoding_.Decode(word.word); }

  void SetMoveBits(Step step, bool set);
  void RewriteAll(Step step, uint32_t places);
  void RewriteGroup(Step step, uint32_t places);
  void RewriteShared(Step step);
  void RewriteRegion(RegionState& region, Step step, uint32_t places);
  void PassOnHashes();
  void PassOnFinalizers(RegionState& region);
  void PassOnWeakEntries(RegionState& region);
  uint32_t YoungTagOf(const RegionState& region) const;
  bool IsYoungIn(const RegionState& region, uintptr_t object) const;

  /// fn(word, place, may_go) for all words that may be references; may_go: or be forgotten.
  void ForEachWord(FunctionRef<void(Word word, const std::string& place, bool may_go)> fn);
  struct Held {
    std::vector<uintptr_t> objects;
    bool may_go = false;
  };
  /// By place: the objects of the pairs that it refers to, and cells.
  std::map<std::string, Held> FindHeld();
  std::string DescribeHeld(const std::string& place, uintptr_t object) const;

  HeapState& heap_;
  const AddressSpace& space_;
  const RefEncoding encoding_;
  SharedSpace::Stopped shared_;
  BecomeMap pairs_;
  BecomeMap blocks_;   // those that objects of the pairs lie in
  BecomeCells cells_;  // empty, unless objects change places
  std::span<const Ref> before_;
  std::span<const Ref> after_;
  std::map<std::string, Held> noted_;
};

}  // namespace Atoll

#endif  // ATOLL_GC_BECOME_H_
