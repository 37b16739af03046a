// What the loop and its sends have inline.
#ifndef SOM_PROCESS_INL_H_
#define SOM_PROCESS_INL_H_

#include "process.h"

namespace som {

// Receiver and arguments are topmost; the frame's other slots become nil. False: no room.
ATOLL_ALWAYS_INLINE bool Process::TryPushFrame(const Method* method, int arity) {
  const Code* const code = method->code();
  const size_t needed = code->slots + kSpare;
  if (ATOLL_UNLIKELY(static_cast<size_t>(stack_.values_end - stack_.top) < needed ||
                     stack_.next_frame() == stack_.frames_end)) {
    if (!stack_.Reserve(needed, stack_limit_)) return false;
  }
  Frame* frame = stack_.next_frame();
  frame->code = code;
  frame->pc = code->begin();
  frame->activation = 0;
  Ref* const base = stack_.top - 1 - arity;
  frame->base = static_cast<uint32_t>(base - stack_.values);
  stack_.frame = frame;
  const Ref nil = universe_.nil();
  for (int i = 0; i < code->locals; ++i) *stack_.top++ = nil;
  return true;
}

}  // namespace som

#endif  // SOM_PROCESS_INL_H_
