// The sends, returns and errors that the interpreter meets.

#include <string>

#include "process-inl.h"

namespace som {

// ---- Sends

// [miss]
// What a send calls that its site does not know, and from now on knows; null: nothing. A safepoint.
const Method* Process::Miss(SendSite& site, uint32_t key) {
  const void* found =
      universe_.program().Miss(site.calls, key, [&](uintptr_t, uintptr_t) -> const void* {
        const Class* info = site.super_of == nullptr ? universe_.ClassOfType(key)  // a type id
                                                     : site.super_of->superclass;
        return info == nullptr ? nullptr : info->Lookup(site.selector());
      });
  return static_cast<const Method*>(found);
}
// [/miss]

Outcome Process::PushFrame(const Method* method, int arity) {
  return ATOLL_LIKELY(TryPushFrame(method, arity)) ? Outcome::kFrame : StackOverflow(arity);
}

Outcome Process::Invoke(const Method* method, int arity) {
  if (method->primitive == nullptr) return PushFrame(method, arity);
  Ref* const receiver = stack_.top - 1 - arity;
  const size_t index = IndexOf(receiver);
  return Dispatch(method->primitive(*this, receiver), method, index);
}

Outcome Process::Send(const Symbol* selector, int arity) {
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
      const std::string where = method == nullptr ? "" : method->Name() + ": ";
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
  const Method& method = frame.method();
  Ref* const base = stack_.values + frame.base;
  frame.pc = frame.code->begin();
  stack_.top = base + 1 + method.arity + method.locals;
  if (method.context_slot != 0) {
    base[method.context_slot] =
        method.is_block ? To<Closure>(base[method.arity + 1])->context : universe_.nil();
  }
  return Outcome::kFrame;
}

Outcome Process::DoesNotUnderstand(const Symbol* selector, int arity) {
  Class* info = universe_.ClassOf(stack_.top[-1 - arity]);
  const Method* method = info->Lookup(universe_.selectors().does_not_understand);
  if (method == nullptr) {
    return Die("instances of " + info->name->text() + " understand neither #" + selector->text() +
               " nor #doesNotUnderstand:arguments:");
  }
  const Ref array = NewArray(static_cast<size_t>(arity));
  Ref* const receiver = stack_.top - 1 - arity;
  if (array.word == 0) return Dispatch(FailOfMemory(), nullptr, IndexOf(receiver));
  for (int i = 0; i < arity; ++i) To<Array>(array)->elements()[i] = receiver[1 + i];  // fresh
  stack_.top = receiver + 1;
  Push(selector->ref());
  Push(array);
  return Invoke(method, 2);
}

Outcome Process::UnknownGlobal(const Symbol* name) {
  Push(name->ref());
  return Send(universe_.selectors().unknown_global, 1);
}

// ---- Returns

Outcome Process::ReturnNonLocal(Ref value) {
  Frame& frame = *stack_.frame;
  Ref* const base = stack_.values + frame.base;
  const Ref block = base[frame.method().arity + 1];
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
  const Method& method = frame.method();
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
  return isolate_->SetField(literal.field, made).ok() ? made : Ref{};
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
