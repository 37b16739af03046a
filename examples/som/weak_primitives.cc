// What the collector tells of objects that die: references that keep nothing alive, and objects
// that are given back once nothing else refers to them.

#include "primitives.h"
#include "process.h"

namespace som {
namespace {

// WeakReference on: anObject
Outcome NewWeakReference(Process& process, Ref* values) {
  const ObjectPtr made = process.Allocate(*To<ClassObject>(values[0])->info);
  if (!made) return process.FailOfMemory();
  reinterpret_cast<WeakReference*>(made.address())->referent = values[1];  // fresh: no barrier
  return Process::Return(values, RefOf(made));
}

Outcome Referent(Process& process, Ref* values) {
  const Ref referent = Atoll::WeakGet(PtrOf(values[0]));
  return Process::Return(values, referent.word == 0 ? process.universe().nil() : referent);
}

// anObject guard
Outcome Guard(Process& process, Ref* values) {
  if (process.IsFrozen(values[0])) {
    return process.Fail("only an object that this isolate may change can be guarded");
  }
  const Atoll::Status status = process.mutator().AddFinalizer(
      PtrOf(values[0]), Atoll::FinalizerKind::kGuardian, nullptr, nullptr);
  return status.ok() ? Outcome::kValue : process.Fail(status.message());
}

// Isolate nextDead
Outcome NextDead(Process& process, Ref* values) {
  const Ref dead = process.mutator().region().NextGuarded();
  return Process::Return(values, dead.word == 0 ? process.universe().nil() : dead);
}

constexpr PrimitiveEntry kWeak[] = {
    {"WeakReference class", "on:", NewWeakReference},
    {"WeakReference", "value", Referent},
    {"Object", "guard", Guard},
    {"Isolate class", "nextDead", NextDead},
};

}  // namespace

std::span<const PrimitiveEntry> WeakPrimitives() { return kWeak; }

}  // namespace som
