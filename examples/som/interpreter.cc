// The interpreter's loop, and the sends, returns and errors that it meets.

#include <atoll/atoll.h>

#include <string>

#include "process.h"

namespace som {

using Atoll::Slot;

namespace {

ATOLL_ALWAYS_INLINE Context* Outwards(Ref context, int levels) {
  for (; levels > 0; --levels) context = To<Context>(context)->elements()[0];
  return To<Context>(context);
}

}  // namespace

// What the loop keeps in registers goes to the stack before anything that may collect, send or
// fail, and comes back from there after.
#define SAVE() (frame->pc = pc, stack_.top = sp)
#define LOAD()                          \
  do {                                  \
    frame = stack_.frame;               \
    method = frame->method;             \
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
#define JUMP_IF_NOT(expected, other, keep)                  \
  if (sp[-1] == (expected)) {                               \
    --sp;                                                   \
    pc += instruction.a;                                    \
  } else if (ATOLL_LIKELY(sp[-1] == (other))) {             \
    sp -= (keep) ? 0 : 1;                                   \
    pc = method->code.data() + instruction.b;               \
  } else {                                                  \
    const CallSite& site = method->sites[pc->b];            \
    ++pc;                                                   \
    for (int i = 0; i < site.arity; ++i) *sp++ = nil;       \
    SAVE();                                                 \
    CONTINUE(DoesNotUnderstand(site.selector, site.arity)); \
  }

// [loop]
Outcome Process::Interpret() {
  Universe& universe = universe_;
  Atoll::Mutator& mutator = this->mutator();
  const Ref nil = universe.nil();
  Frame* frame;
  const Method* method;
  const Instruction* pc;
  Ref* base;
  Ref* sp;
  LOAD();
  for (;;) {
    const Instruction instruction = *pc++;
    switch (instruction.op) {
      case Op::kPushSlot:
        *sp++ = base[instruction.b];
        break;
      case Op::kPushOuter:
        *sp++ = Outwards(base[method->context_slot], instruction.a)->elements()[instruction.b];
        break;
      case Op::kPushField:
        *sp++ = To<Instance>(base[0])->fields()[instruction.b];
        break;
      // [/loop]
      case Op::kPushStatic: {
        const uint32_t place = To<ClassObject>(base[0])->info->first_static + instruction.b;
        const Ref value = Statics::Get(*isolate_, place);
        *sp++ = value.word != 0 ? value : nil;
        break;
      }
      case Op::kPushLiteral:
        *sp++ = method->literals[instruction.b];
        break;
      case Op::kPushArray: {
        const Ref made = Statics::Get(*isolate_, method->arrays[instruction.b].place);
        if (ATOLL_LIKELY(made.word != 0)) {
          *sp++ = made;
          break;
        }
        SAVE();
        const Ref array = MakeLiteralArray(*method, instruction.b);
        LOAD();
        *sp++ = base[0];
        if (array.word == 0) goto no_memory;
        sp[-1] = array;
        break;
      }
      case Op::kPushSmall:
        *sp++ = Small(static_cast<int16_t>(instruction.b));
        break;
      case Op::kPushNil:
        *sp++ = nil;
        break;
      case Op::kPushTrue:
        *sp++ = universe.true_object();
        break;
      case Op::kPushFalse:
        *sp++ = universe.false_object();
        break;
      case Op::kPushGlobal: {
        const GlobalName& name = *method->globals[instruction.b];
        const Ref value = GlobalValue(name);
        if (ATOLL_LIKELY(value.word != 0)) {
          *sp++ = value;
          break;
        }
        *sp++ = base[0];
        SAVE();
        CONTINUE(UnknownGlobal(name.symbol));
        break;
      }
      case Op::kPushBlock: {
        SAVE();
        const Ref block = MakeBlock(method->blocks[instruction.b]);
        *sp++ = base[0];
        if (ATOLL_UNLIKELY(block.word == 0)) goto no_memory;
        sp[-1] = block;
        break;
      }
      case Op::kDup:
        sp[0] = sp[-1];
        ++sp;
        break;
      case Op::kDup2:
        sp[0] = sp[-2];
        sp[1] = sp[-1];
        sp += 2;
        break;
      case Op::kPushSecond:
        sp[0] = sp[-2];
        ++sp;
        break;
      case Op::kStoreSlot:
        base[instruction.b] = sp[-1];
        break;
      // [store]
      case Op::kStoreOuter: {
        Context* context = Outwards(base[method->context_slot], instruction.a);
        if (ATOLL_LIKELY(Store(RefOf(context->ptr()), &context->elements()[instruction.b], sp[-1])))
          break;
        goto frozen;
      }
      case Op::kStoreField:
        if (ATOLL_LIKELY(Store(base[0], &To<Instance>(base[0])->fields()[instruction.b], sp[-1])))
          break;
        goto frozen;
      // [/store]
      case Op::kStoreStatic: {
        const uint32_t place = To<ClassObject>(base[0])->info->first_static + instruction.b;
        if (ATOLL_UNLIKELY(!Statics::Set(*isolate_, place, sp[-1]))) goto no_memory;
        break;
      }
      case Op::kPop:
        --sp;
        break;
      case Op::kCount:
        sp[-2] = Small(SmallOf(sp[-2]) + 1);
        break;
      case Op::kMakeContext: {
        SAVE();
        const ObjectPtr made = mutator.AllocateArray(universe.context_type(), instruction.b);
        if (ATOLL_UNLIKELY(!made)) {
          *sp++ = base[0];
          goto no_memory;
        }
        auto* context = reinterpret_cast<Context*>(made.address());
        Ref& slot = base[method->context_slot];
        context->elements()[0] = slot;
        for (uint32_t i = 1; i < instruction.b; ++i) context->elements()[i] = nil;
        slot = RefOf(made);
        break;
      }
      case Op::kAdd:
        ARITHMETIC(__builtin_add_overflow(SmallOf(sp[-2]), SmallOf(sp[-1]), &result))
      case Op::kSubtract:
        ARITHMETIC(__builtin_sub_overflow(SmallOf(sp[-2]), SmallOf(sp[-1]), &result))
      case Op::kMultiply:
        ARITHMETIC(__builtin_mul_overflow(SmallOf(sp[-2]), SmallOf(sp[-1]), &result))
      case Op::kLess:
        COMPARISON(<)
      case Op::kLessEqual:
        COMPARISON(<=)
      case Op::kGreater:
        COMPARISON(>)
      case Op::kGreaterEqual:
        COMPARISON(>=)
      case Op::kEqual:
      case Op::kIdentical:
        COMPARISON(==)
      case Op::kNotEqual:
        COMPARISON(!=)
      // [send]
      case Op::kSend:
      send : {
        CallSite& site = method->sites[instruction.b];
        const uint32_t type_id = universe.TypeIdOfValue(sp[-1 - site.arity]);
        const Method* callee = site.Find(type_id);
        if (ATOLL_UNLIKELY(callee == nullptr)) {
          Method* found = universe.ClassOfType(type_id)->Lookup(site.selector);
          if (found == nullptr) {
            SAVE();
            CONTINUE(DoesNotUnderstand(site.selector, site.arity));
            break;
          }
          site.Remember(type_id, found);
          callee = found;
        }
        if (callee->primitive != nullptr) {
          SAVE();
          Ref* const receiver = sp - 1 - site.arity;
          const Outcome outcome = callee->primitive(*this, receiver);
          if (ATOLL_LIKELY(outcome == Outcome::kValue)) {
            sp = receiver + 1;
            break;
          }
          // Reckoned from the frame, since the stack may have moved.
          CONTINUE(Dispatch(outcome, callee,
                            outcome == Outcome::kFailed
                                ? stack_.frame->base + static_cast<size_t>(receiver - base)
                                : 0));
          break;
        }
        SAVE();
        CONTINUE(PushFrame(callee, site.arity));
        // A send polls, and so does a jump back: here another thread may stop this one.
        if (ATOLL_UNLIKELY(mutator.PollPending() || --fuel_ == 0)) goto poll;
        break;
      }
      // [/send]
      case Op::kSendSuper: {
        const CallSite& site = method->sites[instruction.b];
        const Class* above = site.super_of->superclass;
        const Method* callee = above == nullptr ? nullptr : above->Lookup(site.selector);
        SAVE();
        CONTINUE(callee == nullptr ? DoesNotUnderstand(site.selector, site.arity)
                                   : Invoke(callee, site.arity));
        break;
      }
      case Op::kJump:
        pc = method->code.data() + instruction.b;
        break;
      // [poll]
      case Op::kJumpBack:
        pc = method->code.data() + instruction.b;
        if (ATOLL_LIKELY(!mutator.PollPending() && --fuel_ != 0)) break;
      poll:
        fuel_ = kPollsPerLook;
        SAVE();
        if (!isolate_->Poll()) return Outcome::kStopped;
        break;
      // [/poll]
      case Op::kJumpIfNotTrue:
        JUMP_IF_NOT(universe.true_object(), universe.false_object(), false)
        break;
      case Op::kJumpIfNotFalse:
        JUMP_IF_NOT(universe.false_object(), universe.true_object(), false)
        break;
      case Op::kJumpIfFalseKeep:
        JUMP_IF_NOT(universe.true_object(), universe.false_object(), true)
        break;
      case Op::kJumpIfTrueKeep:
        JUMP_IF_NOT(universe.false_object(), universe.true_object(), true)
        break;
      case Op::kReturnSelf:
        *sp++ = base[0];
        [[fallthrough]];
      case Op::kReturn:
        base[0] = sp[-1];
        stack_.top = base + 1;
        stack_.PopFrame();
        if (ATOLL_UNLIKELY(stack_.frame == nullptr)) return Outcome::kValue;
        LOAD();
        break;
      case Op::kReturnNonLocal:
        SAVE();
        CONTINUE(ReturnNonLocal(sp[-1]));
        break;
      no_memory:
        SAVE();
        CONTINUE(Dispatch(FailOfMemory(), nullptr, IndexOf(sp - 1)));
        break;
      frozen:
        *sp++ = base[0];
        SAVE();
        CONTINUE(Dispatch(Fail("a frozen object cannot be changed"), nullptr, IndexOf(sp - 1)));
        break;
    }
  }
}

// ---- Sends

// Receiver and arguments are topmost; the frame's other slots become nil. False: no room.
bool Process::TryPushFrame(const Method* method, int arity) {
  const size_t needed = method->slots() + kSpare;
  if (ATOLL_UNLIKELY(static_cast<size_t>(stack_.values_end - stack_.top) < needed ||
                     stack_.next_frame() == stack_.frames_end)) {
    if (!stack_.Reserve(needed, stack_limit_)) return false;
  }
  Frame* frame = stack_.next_frame();
  frame->method = method;
  frame->pc = method->code.data();
  frame->activation = 0;
  Ref* const base = stack_.top - 1 - arity;
  frame->base = static_cast<uint32_t>(base - stack_.values);
  stack_.frame = frame;
  const Ref nil = universe_.nil();
  for (int i = 0; i < method->locals; ++i) *stack_.top++ = nil;
  return true;
}

Outcome Process::PushFrame(const Method* method, int arity) {
  return ATOLL_LIKELY(TryPushFrame(method, arity)) ? Outcome::kFrame : StackOverflow(arity);
}

Outcome Process::Invoke(const Method* method, int arity) {
  if (method->primitive == nullptr) return PushFrame(method, arity);
  Ref* const receiver = stack_.top - 1 - arity;
  const size_t index = IndexOf(receiver);
  return Dispatch(method->primitive(*this, receiver), method, index);
}

Outcome Process::Send(Symbol* selector, int arity) {
  const Class* info = universe_.ClassOf(stack_.top[-1 - arity]);
  const Method* method = info->Lookup(selector);
  return method == nullptr ? DoesNotUnderstand(selector, arity) : Invoke(method, arity);
}

// What comes of a primitive's outcome; `method` is null where it was no primitive's.
Outcome Process::Dispatch(Outcome outcome, const Method* method, size_t receiver) {
  switch (outcome) {
    case Outcome::kValue:
      stack_.top = stack_.values + receiver + 1;
      return outcome;
    case Outcome::kFailed: {
      const std::string where = method == nullptr ? "" : NameOf(method) + ": ";
      return Raise(receiver, where + error_);
    }
    case Outcome::kFrame:
    case Outcome::kStopped:
      break;
  }
  return outcome;
}

Outcome Process::Evaluate(const Closure* closure, int arity) {
  const Method* code = closure->code;
  if (code->arity != arity) {
    return Fail("the block takes " + std::to_string(code->arity) + " arguments, and gets " +
                std::to_string(arity));
  }
  if (!TryPushFrame(code, arity)) return StackOverflow(arity);
  Ref* const base = stack_.values + stack_.frame->base;
  base[arity + 1] = base[0];
  base[0] = closure->self;
  base[code->context_slot] = closure->context;
  return Outcome::kFrame;
}

Outcome Process::Restart() {
  Frame& frame = *stack_.frame;
  const Method& method = *frame.method;
  Ref* const base = stack_.values + frame.base;
  frame.pc = method.code.data();
  stack_.top = base + 1 + method.arity + method.locals;
  if (method.context_slot != 0) {
    base[method.context_slot] =
        method.is_block ? To<Closure>(base[method.arity + 1])->context : universe_.nil();
  }
  return Outcome::kFrame;
}

Outcome Process::DoesNotUnderstand(Symbol* selector, int arity) {
  Class* info = universe_.ClassOf(stack_.top[-1 - arity]);
  const Method* method = info->Lookup(universe_.selectors().does_not_understand);
  if (method == nullptr) {
    return Die("instances of " + info->name->text + " understand neither #" + selector->text +
               " nor #doesNotUnderstand:arguments:");
  }
  const Ref array = NewArray(static_cast<size_t>(arity));
  Ref* const receiver = stack_.top - 1 - arity;
  if (array.word == 0) return Dispatch(FailOfMemory(), nullptr, IndexOf(receiver));
  for (int i = 0; i < arity; ++i) To<Array>(array)->elements()[i] = receiver[1 + i];  // fresh
  stack_.top = receiver + 1;
  Push(selector->object);
  Push(array);
  return Invoke(method, 2);
}

Outcome Process::UnknownGlobal(Symbol* name) {
  Push(name->object);
  return Send(universe_.selectors().unknown_global, 1);
}

// ---- Returns

Outcome Process::ReturnNonLocal(Ref value) {
  Frame& frame = *stack_.frame;
  Ref* const base = stack_.values + frame.base;
  const Ref block = base[frame.method->arity + 1];
  const uint64_t home = To<Closure>(block)->home;
  for (Frame* at = stack_.frame; at >= stack_.frames; --at) {
    if (at->activation != home) continue;
    Ref* const home_base = stack_.values + at->base;
    home_base[0] = value;
    stack_.top = home_base + 1;
    stack_.frame = at;
    stack_.PopFrame();
    return Outcome::kValue;
  }
  // The method has returned before: its object decides what the block's value is.
  stack_.PopFrame();
  stack_.top = base + 1;
  Push(block);
  return Send(universe_.selectors().escaped_block, 1);
}

// ---- Blocks, literals, globals

Ref Process::MakeBlock(const Method* code) {
  Frame& frame = *stack_.frame;
  const ObjectPtr made = mutator().Allocate(*universe_.classes().block_of[code->arity]->type);
  if (ATOLL_UNLIKELY(!made)) return {};
  auto* closure = reinterpret_cast<Closure*>(made.address());
  const Ref* const base = stack_.values + frame.base;
  const Method& method = *frame.method;
  closure->self = base[0];  // the first stores into a fresh object need no barrier
  closure->context = method.context_slot == 0 ? universe_.nil() : base[method.context_slot];
  closure->code = code;
  if (code->returns_non_locally) {
    if (method.is_block) {
      closure->home = To<Closure>(base[method.arity + 1])->home;
    } else {
      if (frame.activation == 0) {
        if (next_activation_ == activations_end_) {
          next_activation_ = universe_.TakeActivations(&activations_end_);
        }
        frame.activation = next_activation_++;
      }
      closure->home = frame.activation;
    }
  }
  return RefOf(made);
}

Ref Process::GlobalValue(const GlobalName& name) const {
  const Ref own = Statics::Get(*isolate_, name.index);
  return own.word != 0 ? own : name.shared_value();
}

// On the stack, and then in its place.
Ref Process::MakeLiteralArray(const Method& method, size_t index) {
  const Method::LiteralArray& literal = method.arrays[index];
  const Ref array = NewArray(literal.elements.size());
  if (array.word == 0 || !Reserve(literal.elements.size() + 1)) return {};
  Push(array);
  for (size_t i = 0; i < literal.elements.size(); ++i) {
    Ref element = literal.elements[i];
    if (literal.nested[i] >= 0) {
      element = MakeLiteralArray(method, static_cast<size_t>(literal.nested[i]));
    }
    if (element.word == 0) return {};
    const Ref at = stack_.top[-1];
    Store(at, &To<Array>(at)->elements()[i], element);
  }
  const Ref made = *--stack_.top;
  return Statics::Set(*isolate_, literal.place, made) ? made : Ref{};
}

// ---- Errors

Outcome Process::Raise(size_t receiver, const std::string& words) {
  stack_.top = stack_.values + receiver + 1;
  const Ref text = NewString(words);
  if (text.word == 0) return Die(words);
  Push(text);
  return Send(universe_.selectors().error, 1);
}

Outcome Process::FailOfMemory() {
  const std::string why = mutator().last_error().message();
  if (is_over_limit_) return Die("out of memory again: " + why);
  is_over_limit_ = true;
  // Room to tell of it.
  constexpr size_t kReserve = size_t{1} << 20;
  if (const size_t limit = universe_.options().isolate_limit_bytes; limit != 0) {
    mutator().region().SetLimit(limit + kReserve);
  }
  return Fail("out of memory: " + why);
}

Outcome Process::StackOverflow(int arity) {
  const size_t receiver = IndexOf(stack_.top - 1 - arity);
  if (has_overflowed_) return Die("the stack overflows again");
  has_overflowed_ = true;
  stack_limit_ += stack_limit_ / 4 + 4096;  // room to tell of it
  return Raise(receiver, "the stack overflows: recursion without end, or deeper than " +
                             std::to_string(universe_.options().stack_limit_bytes >> 20) + " MiB");
}

}  // namespace som
