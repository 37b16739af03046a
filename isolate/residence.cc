#include "isolate/residence.h"

#include <algorithm>
#include <utility>

#include "isolate/isolate_state.h"

namespace Atoll {

Result<std::unique_ptr<Residence>> Residence::Create(Heap& heap) {
  std::unique_ptr<Residence> residence(new Residence);
  auto region = heap.CreateRegion({.name = "isolate", .client = residence.get()});
  if (!region.ok()) return region.status();
  residence->region_ = std::move(region).value();
  auto mutator = residence->region_->AttachMutator("isolate");
  if (!mutator.ok()) return mutator.status();
  residence->mutator_ = std::move(mutator).value();
  return residence;
}

Residence::~Residence() = default;

void Residence::SetLimit(size_t limit_bytes) {
  if (limit_bytes == limit_bytes_) return;
  limit_bytes_ = limit_bytes;
  region_->SetLimit(limit_bytes);
}

void Residence::VisitRoots(RootVisitor& visitor) {
  if (tenant != nullptr) tenant->VisitRoots(visitor);
  // Not under the mutex: what visits takes locks of the heap. One that is dropped meanwhile is
  // visited once more, and stays dropped; its memory goes when the collection has ended.
  const Ref before = Carried();
  if (before.word == 0) return;
  const Ref after = visitor.VisitValue(before);
  platform::MutexLock lock(carried_mutex_);
  if (carried.word == before.word) carried = after;
}

Ref Residence::Carried() {
  platform::MutexLock lock(carried_mutex_);
  return carried;
}

void Residence::DropCarried() {
  platform::MutexLock lock(carried_mutex_);
  carried = Ref{};
}

void Residence::Clear() {
  DropCarried();
  const Status status = region_->Clear();
  ATOLL_CHECK(status.ok(), "%s", status.message().c_str());
}

Residence* ResidencePool::Take() {
  {
    platform::MutexLock lock(mutex_);
    if (!free_.empty()) {
      Residence* residence = free_.back().release();
      free_.pop_back();
      least_free_ = std::min(least_free_, free_.size());
      return residence;
    }
  }
  auto made = Residence::Create(heap_);
  return made.ok() ? std::move(made).value().release() : nullptr;
}

void ResidencePool::Give(Residence* residence) {
  residence->Clear();
  GiveEmpty(residence);
}

void ResidencePool::GiveEmpty(Residence* residence) {
  platform::MutexLock lock(mutex_);
  free_.emplace_back(residence);
}

void ResidencePool::Trim() {
  std::vector<std::unique_ptr<Residence>> ended;
  platform::MutexLock lock(mutex_);
  const size_t count = std::min(least_free_, free_.size());
  ended.insert(ended.end(), std::make_move_iterator(free_.begin()),
               std::make_move_iterator(free_.begin() + static_cast<ptrdiff_t>(count)));
  free_.erase(free_.begin(), free_.begin() + static_cast<ptrdiff_t>(count));
  least_free_ = free_.size();
}

}  // namespace Atoll
