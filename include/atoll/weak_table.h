// Layer: heap
#ifndef ATOLL_WEAK_TABLE_H_
#define ATOLL_WEAK_TABLE_H_

#include <cstdint>
#include <optional>

#include "atoll/mutator.h"

namespace Atoll {

class Heap;

/// A word for each of some objects, kept outside them until they die: canonical copies, peers,
/// counts. A table does not keep its keys alive, and its words are not traced.
///
/// One table serves all regions of its heap: entries belong to their object's region, are seen by
/// its mutators alone, and go with it when it is adopted. Keys are compared by identity. Removed by
/// the collection that finds the key dead, after finalizers have had it back.
///
/// Small and copied freely; usable as long as the heap lives. Calls are legal in managed state, by
/// any mutator; cost: a lock of the region and a look-up by identity hash.
class WeakTable {
 public:
  explicit WeakTable(Heap& heap);

  /// Sets the word of `key`, a private object of the mutator's region; kInvalidArgument if it is
  /// shared or outside the heap.
  Status Put(Mutator& mutator, ObjectPtr key, Word word) const;
  /// The word of `key`, if it has one.
  std::optional<Word> Get(Mutator& mutator, ObjectPtr key) const;
  /// Removes the word of `key`; false if it had none.
  bool Remove(Mutator& mutator, ObjectPtr key) const;

 private:
  uint64_t KeyFor(Mutator& mutator, ObjectPtr key) const;

  uint64_t id_;
};

}  // namespace Atoll

#endif  // ATOLL_WEAK_TABLE_H_
