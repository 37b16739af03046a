#include "method.h"

#include <algorithm>
#include <new>

#include "class.h"

namespace som {

SendSites::SendSites(std::span<const Wanted> wanted)
    : sites_(std::allocator<SendSite>().allocate(wanted.size())) {
  for (const Wanted& want : wanted) {
    std::construct_at(sites_ + count_, want.selector, want.super_of);
    ++count_;
  }
}

SendSites::~SendSites() {
  std::destroy_n(sites_, count_);
  std::allocator<SendSite>().deallocate(sites_, count_);
}

Code::Owner Code::New(Method& method, std::span<const Instruction> instructions,
                      std::vector<Inlined> inlined) {
  void* memory = ::operator new(sizeof(Code) + instructions.size_bytes());
  Owner code(new (memory) Code{.method = &method,
                               .sites = method.sites->data(),
                               .literals = method.literals.data(),
                               .globals = method.globals.data(),
                               .blocks = method.blocks.data(),
                               .inlined = nullptr,
                               .slots = method.slots(),
                               .locals = method.locals,
                               .context_slot = method.context_slot,
                               .count = static_cast<uint32_t>(instructions.size()),
                               .inlined_sends = std::move(inlined)});
  code->inlined = code->inlined_sends.data();
  std::copy(instructions.begin(), instructions.end(), code->begin());
  return code;
}

void Code::Delete::operator()(const Code* code) const {
  std::destroy_at(code);
  ::operator delete(const_cast<Code*>(code));
}

size_t Code::Invalidate(const Atoll::StoppedScope&, const Symbol* selector) {
  size_t sends = 0;
  for (Inlined& send : inlined_sends) {
    if (sites[send.site].selector() != selector) continue;
    for (Inlined::Case& at : send.cases) at.type_id = Inlined::kNone;
    ++sends;
  }
  return sends;
}

std::string Method::Name() const { return holder->name->text() + ">>" + selector->text(); }

void Method::SetCode(std::span<const Instruction> instructions) {
  compiled_ = Code::New(*this, instructions);
  Install(compiled_.get());
}

}  // namespace som
