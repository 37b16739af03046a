// The interpreter's loop.

#include <atoll/atoll.h>

#include "interpreter-inl.h"
#include "process-inl.h"

namespace som {

namespace {

ATOLL_ALWAYS_INLINE Context* Outwards(Ref context, int levels) {
  for (; levels > 0; --levels) context = To<Context>(context)->elements()[0];
  return To<Context>(context);
}

}  // namespace

// [loop]
Outcome Process::Interpret() {
  Universe& universe = universe_;
  Atoll::Mutator& mutator = this->mutator();
  const Ref nil = universe.nil();
  Frame* frame;
  const Code* code;
  const Instruction* pc;
  Ref* base;
  Ref* sp;
  SendSite* sent;
  LOAD();
  for (;;) {
    const Instruction instruction = *pc++;
    switch (instruction.op) {
      case Op::kPushSlot:
        *sp++ = base[instruction.b];
        break;
      case Op::kPushOuter:
        *sp++ = Outwards(base[code->context_slot], instruction.a)->elements()[instruction.b];
        break;
      case Op::kPushField:
        *sp++ = To<Instance>(base[0])->fields()[instruction.b];
        break;
      // [/loop]
      case Op::kPushStatic: {
        const uint32_t field = To<ClassObject>(base[0])->info->first_field + instruction.b;
        const Ref value = isolate_->field(field);
        *sp++ = value.word != 0 ? value : nil;
        break;
      }
      case Op::kPushLiteral:
        *sp++ = code->literals[instruction.b];
        break;
      case Op::kPushArray: {
        const Ref made = isolate_->field(code->method->arrays[instruction.b].field);
        if (ATOLL_LIKELY(made.word != 0)) {
          *sp++ = made;
          break;
        }
        SAVE();
        const Ref array = MakeLiteralArray(*code->method, instruction.b);
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
        const GlobalUse& global = code->globals[instruction.b];
        const Ref value = GlobalValue(global.field);
        if (ATOLL_LIKELY(value.word != 0)) {
          *sp++ = value;
          break;
        }
        *sp++ = base[0];
        SAVE();
        CONTINUE(UnknownGlobal(global.name));
        break;
      }
      case Op::kPushBlock: {
        SAVE();
        const Ref block = MakeBlock(code->blocks[instruction.b]);
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
        Context* context = Outwards(base[code->context_slot], instruction.a);
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
        const uint32_t field = To<ClassObject>(base[0])->info->first_field + instruction.b;
        if (ATOLL_UNLIKELY(!isolate_->SetField(field, sp[-1]).ok())) goto no_memory;
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
        Ref& slot = base[code->context_slot];
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
      send:
        sent = &code->sites[instruction.b];
      send_at_site : {
        SendSite& site = *sent;
        const uint32_t type_id = universe.TypeIdOfValue(sp[-1 - site.arity]);
        const Method* callee = site.Find(type_id);
        if (ATOLL_UNLIKELY(callee == nullptr)) {
          SAVE();
          callee = Miss(site, type_id);
          if (callee == nullptr) {
            CONTINUE(DoesNotUnderstand(site.selector(), site.arity));
            break;
          }
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
        SendSite& site = code->sites[instruction.b];
        SAVE();
        const Method* callee = site.Find(SendSite::kSuper);
        if (ATOLL_UNLIKELY(callee == nullptr)) callee = Miss(site, SendSite::kSuper);
        CONTINUE(callee == nullptr ? DoesNotUnderstand(site.selector(), site.arity)
                                   : Invoke(callee, site.arity));
        break;
      }
      case Op::kJump:
        pc = code->begin() + instruction.b;
        break;
      // [poll]
      case Op::kJumpBack:
        pc = code->begin() + instruction.b;
        if (ATOLL_LIKELY(!mutator.PollPending() && --fuel_ != 0)) break;
      poll:
        SAVE();
        if (fuel_ == 0) {
          fuel_ = universe.hot_code().calls_per_look();
          universe.hot_code().NoteLook(*code->method);
        }
        if (!Poll()) return Outcome::kStopped;
        // Other code of a method has the same instructions at the same places.
        if (const Code* now = code->method->code(); ATOLL_UNLIKELY(now != code)) {
          pc = now->begin() + (pc - code->begin());
          code = frame->code = now;
        }
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
      return_topmost:
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

        // ---- Superinstructions

      case Op::kPushSlotSlot:
        sp[0] = base[instruction.b];
        sp[1] = base[pc->b];
        sp += 2;
        ++pc;
        break;
      case Op::kPushFieldSlot:
        sp[0] = To<Instance>(base[0])->fields()[instruction.b];
        sp[1] = base[pc->b];
        sp += 2;
        ++pc;
        break;
      case Op::kSlotToField: {
        const Ref value = base[instruction.b];
        if (ATOLL_LIKELY(Store(base[0], &To<Instance>(base[0])->fields()[pc->b], value))) {
          ++pc;
          break;
        }
        *sp++ = value;
        break;
      }
      case Op::kAddSmall:
        SMALL_OPERAND(__builtin_add_overflow)
      case Op::kSubtractSmall:
        SMALL_OPERAND(__builtin_sub_overflow)
      case Op::kLessJump:
        COMPARE_AND_JUMP(<)
      case Op::kLessEqualJump:
        COMPARE_AND_JUMP(<=)
      case Op::kGreaterJump:
        COMPARE_AND_JUMP(>)
      case Op::kGreaterEqualJump:
        COMPARE_AND_JUMP(>=)
      case Op::kEqualJump:
        COMPARE_AND_JUMP(==)
      case Op::kNotEqualJump:
        COMPARE_AND_JUMP(!=)
      case Op::kLoopTest:
        if (ATOLL_LIKELY(AreSmall(sp[-2], sp[-1]))) {
          if (static_cast<int64_t>(sp[-2].word) <= static_cast<int64_t>(sp[-1].word)) {
            base[pc[6].b] = sp[-2];
            pc += 7;
          } else {
            pc = code->begin() + pc[1].b;
          }
          break;
        }
        sp[0] = sp[-2];
        sp[1] = sp[-1];
        sp += 2;
        break;
      case Op::kCountJumpBack:
        sp[-2] = Small(SmallOf(sp[-2]) + 1);
        pc = code->begin() + pc->b;
        if (ATOLL_LIKELY(!mutator.PollPending() && --fuel_ != 0)) break;
        goto poll;
      case Op::kReturnSlot:
        *sp++ = base[instruction.b];
        goto return_topmost;
      case Op::kReturnField:
        *sp++ = To<Instance>(base[0])->fields()[instruction.b];
        goto return_topmost;

        // ---- Sends that are done in place

      case Op::kInlinedConstant: {
        FIND_INLINED(0)
        sp[-1] = known->value;
        break;
      }
      case Op::kInlinedSelf: {
        FIND_INLINED(0)
        break;
      }
      case Op::kInlinedField: {
        FIND_INLINED(0)
        sp[-1] = To<Instance>(sp[-1])->fields()[known->field];
        break;
      }
      case Op::kInlinedSetField: {
        FIND_INLINED(1)
        if (ATOLL_UNLIKELY(!Store(sp[-2], &To<Instance>(sp[-2])->fields()[known->field], sp[-1]))) {
          goto send_at_site;
        }
        --sp;
        break;
      }
      case Op::kInlinedArrayAt: {
        FIND_INLINED(1)
        auto* array = To<Array>(sp[-2]);
        const auto index = static_cast<uint64_t>(SmallOf(sp[-1]) - 1);
        if (ATOLL_UNLIKELY(!IsSmall(sp[-1]) || index >= array->length)) goto send_at_site;
        sp[-2] = array->elements()[index];
        --sp;
        break;
      }
      case Op::kInlinedArrayAtPut: {
        FIND_INLINED(2)
        auto* array = To<Array>(sp[-3]);
        const auto index = static_cast<uint64_t>(SmallOf(sp[-2]) - 1);
        if (ATOLL_UNLIKELY(!IsSmall(sp[-2]) || index >= array->length ||
                           !Store(sp[-3], &array->elements()[index], sp[-1]))) {
          goto send_at_site;
        }
        sp[-3] = sp[-1];
        sp -= 2;
        break;
      }
      case Op::kInlinedArrayLength: {
        FIND_INLINED(0)
        sp[-1] = Small(static_cast<int64_t>(To<Array>(sp[-1])->length));
        break;
      }
      case Op::kInlinedStringLength: {
        FIND_INLINED(0)
        sp[-1] = Small(static_cast<int64_t>(To<String>(sp[-1])->length));
        break;
      }
      case Op::kInlinedNew: {
        FIND_INLINED(0)
        SAVE();
        const Class& info = *To<ClassObject>(known->value)->info;
        const ObjectPtr made = Allocate(info);
        if (ATOLL_UNLIKELY(!made)) goto send_at_site;  // where it is an error of that method
        Ref* fields = reinterpret_cast<Instance*>(made.address())->fields();
        for (size_t i = 0; i < info.fields.size(); ++i) fields[i] = nil;
        sp[-1] = RefOf(made);
        break;
      }

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
