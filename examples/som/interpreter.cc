// The interpreter's loop.

#include <atoll/atoll.h>

#include "process-inl.h"

namespace som {

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
      case Op::kPopField:
        if (ATOLL_LIKELY(Store(base[0], &To<Instance>(base[0])->fields()[instruction.b], sp[-1]))) {
          --sp;
          break;
        }
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
      case Op::kPopSlot:
        base[instruction.b] = *--sp;
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
        if (ATOLL_LIKELY(TryPushFrame(callee, site.arity))) {
          LOAD();
        } else {
          CONTINUE(StackOverflow(site.arity));
        }
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
        SAVE();
        if (!Poll()) return Outcome::kStopped;
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
      default:
        __builtin_unreachable();
    }
  }
}

}  // namespace som
