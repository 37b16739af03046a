#include "gc/step_heap.h"

namespace Atoll::testing {
namespace {

MinorCollection::Plan PlanFor(bool major, MinorCollection::Plan plan) {
  plan.promote_all |= major || plan.in_place;
  return plan;
}

}  // namespace

StepHeap::StepHeap(Region& region, bool major, const MinorCollection::Plan& plan)
    : region_(region.state()),
      is_major_(major),
      minor_(std::make_unique<MinorCollection>(region_, PlanFor(major, plan))),
      major_(
          std::make_unique<MajorCollection>(region_, MajorCollection::Plan{false, plan.workers})) {
  region_.collection_mutex.Lock();
  region_.OwnPart();
}

StepHeap::~StepHeap() {
  while (Step()) {
  }
  ++region_.collection_epoch;
  region_.collection_mutex.Unlock();
  for (const Finalizer& finalizer : due_) {
    if (finalizer.kind != FinalizerKind::kThreadAffine) finalizer.fn(finalizer.data);
  }
}

bool StepHeap::Step() {
  switch (next_) {
    case Phase::kPrepare:
      minor_->Prepare();
      break;
    case Phase::kTrace:
      minor_->Trace();
      break;
    case Phase::kWeak:
      minor_->ProcessWeak(due_);
      break;
    case Phase::kReclaim:
      minor_->Reclaim();
      if (!is_major_) {
        next_ = Phase::kDone;
        return true;
      }
      break;
    case Phase::kPrepareMajor:
      major_->Prepare();
      break;
    case Phase::kTraceMajor:
      major_->Trace();
      break;
    case Phase::kWeakMajor:
      major_->ProcessWeak(due_);
      break;
    case Phase::kSweep:
      major_->Sweep();
      break;
    case Phase::kEvacuateAdopted:
      major_->EvacuateAdopted(due_);
      break;
    case Phase::kDone:
      return false;
  }
  next_ = static_cast<Phase>(static_cast<int>(next_) + 1);
  return true;
}

void StepHeap::StepTo(Phase phase) {
  while (next_ != phase && Step()) {
  }
}

}  // namespace Atoll::testing
