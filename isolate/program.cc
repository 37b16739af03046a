#include "atoll/program.h"

#include <string>

#include "heap/heap_state.h"
#include "isolate/group_state.h"
#include "isolate/program_state.h"

namespace Atoll {

ProgramState::ProgramState(GroupState& of_group)
    : group(of_group),
      fields(of_group.heap->state().allocator),
      symbols(*of_group.heap),
      call_sites(of_group.heap->state().allocator) {}

Program::Program(GroupState& group) : state_(new ProgramState(group)) {}
Program::~Program() = default;

namespace {

bool IsPrivate(const HeapState& heap, Ref value) {
  const RefEncoding& encoding = heap.options.encoding;
  const AddressSpace& space = *heap.space;
  return encoding.RefersInto(value.word, space.base(), space.size()) &&
         (space.tag(space.BlockOf(encoding.Decode(value.word))) & tag::kShared) == 0;
}

Status RefuseField(const GroupState& group, const std::string& which, const char* why) {
  return {StatusCode::kInvalidArgument,
          std::string("program of group \"") + group.options.name + "\": " + which + why};
}
constexpr const char* kWhyPrivate =
    " refers to a private object, which all isolates would share; freeze it, make a Program "
    "object, "
    "or let each isolate set its own";

}  // namespace

Result<size_t> Program::AddFields(std::span<const Ref> initial_values) {
  for (size_t i = 0; i < initial_values.size(); ++i) {
    if (!IsPrivate(state_->group.heap->state(), initial_values[i])) continue;
    return RefuseField(state_->group,
                       "the initial value of field " + std::to_string(i) + " of " +
                           std::to_string(initial_values.size()),
                       kWhyPrivate);
  }
  return state_->fields.Add(initial_values);
}

Status Program::SetInitialField(size_t index, Ref value) {
  if (index >= field_count()) {
    return RefuseField(state_->group,
                       "field " + std::to_string(index) + " of " + std::to_string(field_count()),
                       " is given an initial value, but has not been added; call AddFields");
  }
  if (IsPrivate(state_->group.heap->state(), value)) {
    return RefuseField(state_->group, "the initial value of field " + std::to_string(index),
                       kWhyPrivate);
  }
  state_->fields.Set(index, value);
  return {};
}

size_t Program::field_count() const { return state_->fields.count(); }
Ref Program::InitialField(size_t index) const { return state_->fields.Get(index); }

Status Program::SetSymbolType(const Type& type) { return state_->symbols.SetType(type); }
Result<Ref> Program::Intern(std::string_view text) { return state_->symbols.Intern(text); }
Ref Program::FindSymbol(std::string_view text) const { return state_->symbols.Find(text); }
size_t Program::symbol_count() const { return state_->symbols.count(); }

ProgramLock& Program::lock() const { return state_->lock; }

const void* Program::Miss(CallSite& site, uintptr_t key,
                          FunctionRef<const void*(uintptr_t selector, uintptr_t key)> look_up) {
  ATOLL_CHECK(key != 0, "a call of selector 0x%zx misses for key 0, which says \"unlinked\"",
              static_cast<size_t>(site.selector()));
  SharedProgramLock lock(state_->lock);
  // While this one waited for the lock.
  if (const void* target = site.Lookup(key)) {
    state_->call_sites.NoteFoundByOthers();
    return target;
  }
  const void* target = look_up(site.selector(), key);
  if (target == nullptr) {
    state_->call_sites.NoteNotFound();
    return nullptr;
  }
  return state_->call_sites.Link(site, key, target);
}

Status Program::Change(SafepointLevel level, const char* reason,
                       FunctionRef<void(const StoppedScope&)> change) {
  // Before the stop: whoever is stopped with it would keep it.
  ExclusiveProgramLock lock(state_->lock);
  return state_->group.heap->safepoints().RunWithMutatorsStopped(
      level, reason, [&](const StoppedScope& stopped) {
        change(stopped);
        state_->call_sites.FreeRetired(stopped);
      });
}

size_t Program::ResetCallSites(const StoppedScope& stopped, uintptr_t selector) {
  return state_->call_sites.Reset(stopped, selector);
}

CallSiteStats Program::call_site_stats() const { return state_->call_sites.stats(); }

size_t Program::native_bytes() const {
  return state_->fields.native_bytes() + state_->symbols.native_bytes() +
         state_->call_sites.native_bytes();
}

void Program::VisitRoots(RootVisitor& visitor) { state_->fields.VisitRoots(visitor); }
void Program::VisitWeakRoots(RootVisitor& visitor) { state_->symbols.VisitWeakRoots(visitor); }

}  // namespace Atoll
