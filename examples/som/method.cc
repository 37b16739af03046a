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

Code::Owner Code::New(Method& method, std::span<const Instruction> instructions) {
  void* memory = ::operator new(sizeof(Code) + instructions.size_bytes());
  Owner code(new (memory) Code{.method = &method,
                               .sites = method.sites->data(),
                               .literals = method.literals.data(),
                               .globals = method.globals.data(),
                               .blocks = method.blocks.data(),
                               .slots = method.slots(),
                               .locals = method.locals,
                               .context_slot = method.context_slot,
                               .count = static_cast<uint32_t>(instructions.size())});
  std::copy(instructions.begin(), instructions.end(), code->begin());
  return code;
}

void Code::Delete::operator()(const Code* code) const {
  ::operator delete(const_cast<Code*>(code));
}

std::string Method::Name() const { return holder->name->text() + ">>" + selector->text(); }

void Method::SetCode(std::span<const Instruction> instructions) {
  compiled_ = Code::New(*this, instructions);
  // Release: see code().
  code_.store(compiled_.get(), std::memory_order_release);
}

}  // namespace som
