// Where an isolate lives while it has objects on the heap: a region and its one mutator. Making
// these takes microseconds and kilobytes, so they are kept and lent, from one isolate to another.
#ifndef ATOLL_ISOLATE_RESIDENCE_H_
#define ATOLL_ISOLATE_RESIDENCE_H_

#include <memory>
#include <vector>

#include "atoll/heap.h"
#include "safepoint/platform.h"

namespace Atoll {

struct IsolateState;

class Residence final : public RegionClient {
 public:
  static Result<std::unique_ptr<Residence>> Create(Heap& heap);
  ~Residence() override;

  Region& region() { return *region_; }
  Mutator& mutator() { return *mutator_; }

  /// Whose objects these are; null: nobody's. Changed in managed state.
  IsolateState* tenant = nullptr;
  /// A root of its own, for objects that are on their way from one isolate to another. Changed in
  /// managed state of any mutator of the group, or by DropCarried.
  Ref carried;

  /// Any thread, in any state: collections of the group may be visiting it.
  void DropCarried();

  /// Frees what lies in it. Its mutator is native.
  void Clear();

  void SetLimit(size_t limit_bytes);
  void VisitRoots(RootVisitor& visitor) override;

 private:
  Residence() = default;
  Ref Carried();

  platform::Mutex carried_mutex_;  // see DropCarried
  std::unique_ptr<Region> region_;
  std::unique_ptr<Mutator> mutator_;
  size_t limit_bytes_ = 0;
};

/// Empty residences of a group. Thread-safe.
class ResidencePool {
 public:
  explicit ResidencePool(Heap& heap) : heap_(heap) {}

  /// An empty one, made if there is none: its mutator native. Null when it cannot be made.
  Residence* Take();
  /// Frees what lies in it, and keeps it. Its mutator is native.
  void Give(Residence* residence);
  /// Likewise, of one that is empty.
  void GiveEmpty(Residence* residence);
  /// Ends those that have not been needed since the last call.
  void Trim();

 private:
  Heap& heap_;
  platform::Mutex mutex_;
  std::vector<std::unique_ptr<Residence>> free_;
  size_t least_free_ = 0;  // since the last Trim
};

}  // namespace Atoll

#endif  // ATOLL_ISOLATE_RESIDENCE_H_
