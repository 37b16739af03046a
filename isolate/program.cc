#include "atoll/program.h"

#include <string>

#include "heap/heap_state.h"
#include "isolate/group_state.h"
#include "isolate/program_state.h"

namespace Atoll {

ProgramState::ProgramState(GroupState& of_group)
    : group(of_group), fields(of_group.heap->state().allocator), symbols(*of_group.heap) {}

Program::Program(GroupState& group) : state_(new ProgramState(group)) {}
Program::~Program() = default;

Result<size_t> Program::AddFields(std::span<const Ref> initial_values) {
  const HeapState& heap = state_->group.heap->state();
  const RefEncoding& encoding = heap.options.encoding;
  const AddressSpace& space = *heap.space;
  for (size_t i = 0; i < initial_values.size(); ++i) {
    const Word word = initial_values[i].word;
    if (!encoding.RefersInto(word, space.base(), space.size())) continue;
    if ((space.tag(space.BlockOf(encoding.Decode(word))) & tag::kShared) != 0) continue;
    return Status(StatusCode::kInvalidArgument,
                  std::string("program of group \"") + state_->group.options.name +
                      "\": the initial value of field " + std::to_string(i) + " of " +
                      std::to_string(initial_values.size()) +
                      " refers to a private object, which all isolates would share; freeze it, "
                      "make a Program object, or let each isolate set its own");
  }
  return state_->fields.Add(initial_values);
}

size_t Program::field_count() const { return state_->fields.count(); }
Ref Program::InitialField(size_t index) const { return state_->fields.Get(index); }

Status Program::SetSymbolType(const Type& type) { return state_->symbols.SetType(type); }
Result<Ref> Program::Intern(std::string_view text) { return state_->symbols.Intern(text); }
Ref Program::FindSymbol(std::string_view text) const { return state_->symbols.Find(text); }
size_t Program::symbol_count() const { return state_->symbols.count(); }

size_t Program::native_bytes() const {
  return state_->fields.native_bytes() + state_->symbols.native_bytes();
}

void Program::VisitRoots(RootVisitor& visitor) { state_->fields.VisitRoots(visitor); }

}  // namespace Atoll
