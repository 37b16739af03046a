// What several instructions of the interpreter's loop do alike: macros, since they use and change
// its variables, and leave its switch.
#ifndef SOM_INTERPRETER_INL_H_
#define SOM_INTERPRETER_INL_H_

// What the loop keeps in registers goes to the stack before anything that may collect, send or
// fail, and comes back from there after.
#define SAVE() (frame->pc = pc, stack_.top = sp)
#define LOAD()                          \
  do {                                  \
    frame = stack_.frame;               \
    code = frame->code;                 \
    pc = frame->pc;                     \
    base = stack_.values + frame->base; \
    sp = stack_.top;                    \
  } while (false)
// Goes on with what a call left behind. A result takes the place of receiver and arguments.
#define CONTINUE(call)                                                  \
  do {                                                                  \
    const Outcome outcome_ = (call);                                    \
    if (ATOLL_UNLIKELY(outcome_ == Outcome::kStopped)) return outcome_; \
    if (stack_.frame == nullptr) return Outcome::kValue;                \
    LOAD();                                                             \
  } while (false)
#define ARITHMETIC(expression)                              \
  if (ATOLL_LIKELY(AreSmall(sp[-2], sp[-1]))) {             \
    int64_t result;                                         \
    if (ATOLL_LIKELY(!(expression) && FitsSmall(result))) { \
      sp[-2] = Small(result);                               \
      --sp;                                                 \
      break;                                                \
    }                                                       \
  }                                                         \
  goto send;
#define COMPARISON(comparison)                        \
  if (ATOLL_LIKELY(AreSmall(sp[-2], sp[-1]))) {       \
    const auto a = static_cast<int64_t>(sp[-2].word); \
    const auto b = static_cast<int64_t>(sp[-1].word); \
    sp[-2] = universe.Boolean(a comparison b);        \
    --sp;                                             \
    break;                                            \
  }                                                   \
  goto send;
#define JUMP_IF_NOT(expected, other, keep)                    \
  if (sp[-1] == (expected)) {                                 \
    --sp;                                                     \
    pc += instruction.a;                                      \
  } else if (ATOLL_LIKELY(sp[-1] == (other))) {               \
    sp -= (keep) ? 0 : 1;                                     \
    pc = code->begin() + instruction.b;                       \
  } else {                                                    \
    const SendSite& site = code->sites[pc->b];                \
    ++pc;                                                     \
    for (int i = 0; i < site.arity; ++i) *sp++ = nil;         \
    SAVE();                                                   \
    CONTINUE(DoesNotUnderstand(site.selector(), site.arity)); \
  }

// An operand that is no part of the stack; else the instruction behind does it.
#define SMALL_OPERAND(operation)                                                         \
  {                                                                                      \
    const int64_t operand = static_cast<int16_t>(instruction.b);                         \
    int64_t result;                                                                      \
    if (ATOLL_LIKELY(IsSmall(sp[-1]) && !operation(SmallOf(sp[-1]), operand, &result) && \
                     FitsSmall(result))) {                                               \
      sp[-1] = Small(result);                                                            \
      ++pc;                                                                              \
      break;                                                                             \
    }                                                                                    \
    *sp++ = Small(operand);                                                              \
    break;                                                                               \
  }
#define COMPARE_AND_JUMP(comparison)                                                    \
  if (ATOLL_LIKELY(AreSmall(sp[-2], sp[-1]))) {                                         \
    const bool holds =                                                                  \
        static_cast<int64_t>(sp[-2].word) comparison static_cast<int64_t>(sp[-1].word); \
    const Instruction jump = *pc;                                                       \
    sp -= 2;                                                                            \
    if (holds == (jump.op == Op::kJumpIfNotTrue)) {                                     \
      pc += 1 + jump.a;                                                                 \
    } else {                                                                            \
      pc = code->begin() + jump.b;                                                      \
    }                                                                                   \
    break;                                                                              \
  }                                                                                     \
  goto send;
// What is known of the receiver's class; if nothing is, it is sent the message.
#define FIND_INLINED(arity)                                                            \
  const Inlined& inlined = code->inlined[instruction.b];                               \
  sent = &code->sites[inlined.site];                                                   \
  const Inlined::Case* known = inlined.Find(universe.TypeIdOfValue(sp[-1 - (arity)])); \
  if (ATOLL_UNLIKELY(known == nullptr)) goto send_at_site;

#endif  // SOM_INTERPRETER_INL_H_
