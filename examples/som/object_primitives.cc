// Object, Array, and the evaluation of Blocks.

#include <bit>
#include <string>

#include "big_integer.h"
#include "primitives.h"
#include "process.h"

namespace som {
namespace {

std::string ClassNameOf(Process& process, Ref value) {
  return process.universe().ClassOf(value)->name->text();
}

// ---- Object

Outcome ClassOf(Process& process, Ref* values) {
  return Process::Return(values, process.universe().ClassOf(values[0])->object);
}

Outcome ObjectSize(Process& process, Ref* values) {
  const bool is_small = IsSmall(values[0]);
  const size_t size = is_small ? sizeof(Word) : process.mutator().SizeOf(PtrOf(values[0]));
  return Process::Return(values, Small(static_cast<int64_t>(size)));
}

Outcome Identical(Process& process, Ref* values) {
  bool same = values[0] == values[1];
  if (!same && !IsSmall(values[0]) && !IsSmall(values[1]) &&
      process.universe().KindOf(values[0]) == Kind::kInteger &&
      process.universe().KindOf(values[1]) == Kind::kInteger) {
    same = CompareIntegers(values[0], values[1]) == 0;
  }
  return Process::Return(values, process.universe().Boolean(same));
}

// Numbers are values: equal ones of a class have equal hashes.
Outcome Hashcode(Process& process, Ref* values) {
  if (IsSmall(values[0])) return Outcome::kValue;
  const Kind kind = process.universe().KindOf(values[0]);
  if (kind == Kind::kInteger || kind == Kind::kDouble) {
    const uint64_t bits = kind == Kind::kInteger
                              ? LowBits(values[0])
                              : std::bit_cast<uint64_t>(To<Double>(values[0])->value);
    return Process::Return(values, Small(static_cast<int64_t>((bits ^ bits >> 32) & UINT32_MAX)));
  }
  return Process::Return(values, Small(process.mutator().IdentityHash(PtrOf(values[0]))));
}

Outcome Inspect(Process& process, Ref* values) {
  std::printf("%s\n", ClassNameOf(process, values[0]).c_str());
  return Outcome::kValue;
}
Outcome Halt(Process& process, Ref*) {
  process.PrintStack(stderr);
  return Outcome::kValue;
}

// The selector of a perform:, which takes so many arguments; null: process.Fail has been called.
Symbol* SelectorOf(Process& process, Ref value, int64_t arguments) {
  if (process.universe().KindOf(value) != Kind::kSymbol) {
    process.Fail("a selector is a Symbol, not an instance of " + ClassNameOf(process, value));
    return nullptr;
  }
  Symbol* selector = To<Symbol>(value);
  const int arity = selector->Arity();
  if (arity == arguments) return selector;
  process.Fail("#" + selector->text() + " takes " + std::to_string(arity) +
               " arguments, and gets " + std::to_string(arguments));
  return nullptr;
}

// Puts the elements of the array at `array` in the place of values[1] and all behind it. Then
// receiver and arguments are topmost. The stack may move.
bool SpreadArguments(Process& process, Ref* values, Ref* array) {
  const auto count = To<Array>(*array)->length;
  const auto at = values - process.stack().values;
  const Ref arguments = *array;
  if (!process.Reserve(count + 1)) return false;
  process.stack().top = process.stack().values + at + 1;
  for (size_t i = 0; i < count; ++i) process.Push(To<Array>(arguments)->elements()[i]);
  return true;
}

bool IsArray(Process& process, Ref value) {
  return process.universe().KindOf(value) == Kind::kArray;
}

Outcome Perform(Process& process, Ref* values) {
  Symbol* selector = SelectorOf(process, values[1], 0);
  if (selector == nullptr) return Outcome::kFailed;
  process.stack().top = values + 1;
  return Process::Changed(process.Send(selector, 0));
}

Outcome PerformWithArguments(Process& process, Ref* values) {
  if (!IsArray(process, values[2])) return process.Fail("the arguments are an Array");
  const auto count = static_cast<int>(To<Array>(values[2])->length);
  Symbol* selector = SelectorOf(process, values[1], count);
  if (selector == nullptr) return Outcome::kFailed;
  if (!SpreadArguments(process, values, &values[2])) return process.Fail("too many arguments");
  return Process::Changed(process.Send(selector, count));
}

// With receiver and arguments topmost: the method that instances of `info` would run.
Outcome InvokeIn(Process& process, Ref info, Symbol* selector, int arity) {
  const Method* method = To<ClassObject>(info)->info->Lookup(selector);
  if (method == nullptr) {
    return process.Fail("instances of " + To<ClassObject>(info)->info->name->text() +
                        " do not understand #" + selector->text());
  }
  return Process::Changed(process.Invoke(method, arity));
}

// Primitives rely on what their receiver is.
bool IsClassOf(Process& process, Ref info, Ref receiver) {
  if (process.universe().KindOf(info) == Kind::kClass &&
      process.universe().ClassOf(receiver)->IsSubclassOf(To<ClassObject>(info)->info)) {
    return true;
  }
  process.Fail("it is no class that the receiver inherits from");
  return false;
}

Outcome PerformInSuperclass(Process& process, Ref* values) {
  Symbol* selector = SelectorOf(process, values[1], 0);
  if (selector == nullptr || !IsClassOf(process, values[2], values[0])) return Outcome::kFailed;
  const Ref info = values[2];
  process.stack().top = values + 1;
  return InvokeIn(process, info, selector, 0);
}

Outcome PerformWithArgumentsInSuperclass(Process& process, Ref* values) {
  if (!IsArray(process, values[2])) return process.Fail("the arguments are an Array");
  const auto count = static_cast<int>(To<Array>(values[2])->length);
  Symbol* selector = SelectorOf(process, values[1], count);
  if (selector == nullptr || !IsClassOf(process, values[3], values[0])) return Outcome::kFailed;
  const Ref info = values[3];
  if (!SpreadArguments(process, values, &values[2])) return process.Fail("too many arguments");
  return InvokeIn(process, info, selector, count);
}

// The field of that number, from 1; null: process.Fail has been called.
Ref* FieldAt(Process& process, Ref object, Ref index) {
  const Class* info = process.universe().ClassOf(object);
  const auto count = static_cast<int64_t>(info->fields.size());
  if (info->kind == Kind::kInstance && IsSmall(index) && SmallOf(index) >= 1 &&
      SmallOf(index) <= count) {
    return &To<Instance>(object)->fields()[SmallOf(index) - 1];
  }
  process.Fail("instances of " + info->name->text() + " have fields 1 to " +
               std::to_string(info->kind == Kind::kInstance ? count : 0));
  return nullptr;
}

Outcome InstVarAt(Process& process, Ref* values) {
  const Ref* field = FieldAt(process, values[0], values[1]);
  return field == nullptr ? Outcome::kFailed : Process::Return(values, *field);
}

Outcome InstVarAtPut(Process& process, Ref* values) {
  Ref* field = FieldAt(process, values[0], values[1]);
  if (field == nullptr) return Outcome::kFailed;
  if (!process.Store(values[0], field, values[2])) {
    return process.Fail("a frozen object cannot be changed");
  }
  return Process::Return(values, values[2]);
}

Outcome InstVarNamed(Process& process, Ref* values) {
  const Class* info = process.universe().ClassOf(values[0]);
  if (process.universe().IsText(values[1]) && info->kind == Kind::kInstance) {
    for (size_t i = info->fields.size(); i-- > 0;) {
      if (info->fields[i]->view() != process.universe().TextOf(values[1])) continue;
      return Process::Return(values, To<Instance>(values[0])->fields()[i]);
    }
  }
  return process.Fail("instances of " + info->name->text() + " have no such field");
}

// ---- Array

// The element's place; null: process.Fail has been called.
Ref* ElementAt(Process& process, Ref array, Ref index) {
  auto* object = To<Array>(array);
  if (ATOLL_LIKELY(IsSmall(index) && static_cast<uint64_t>(SmallOf(index) - 1) < object->length)) {
    return &object->elements()[SmallOf(index) - 1];
  }
  process.Fail(process.universe().KindOf(index) == Kind::kInteger
                   ? "index " + ToDigits(index) + " is outside 1 to " +
                         std::to_string(object->length)
                   : "an index is an Integer, not an instance of " + ClassNameOf(process, index));
  return nullptr;
}

Outcome At(Process& process, Ref* values) {
  const Ref* element = ElementAt(process, values[0], values[1]);
  return element == nullptr ? Outcome::kFailed : Process::Return(values, *element);
}

Outcome AtPut(Process& process, Ref* values) {
  Ref* element = ElementAt(process, values[0], values[1]);
  if (element == nullptr) return Outcome::kFailed;
  if (!process.Store(values[0], element, values[2])) {
    return process.Fail("a frozen object cannot be changed");
  }
  return Process::Return(values, values[2]);
}

Outcome Length(Process&, Ref* values) {
  return Process::Return(values, Small(static_cast<int64_t>(To<Array>(values[0])->length)));
}

Outcome NewArray(Process& process, Ref* values) {
  constexpr int64_t kMaxLength = int64_t{1} << 40;
  if (!IsSmall(values[1]) || SmallOf(values[1]) < 0 || SmallOf(values[1]) > kMaxLength) {
    return process.Fail("the length of an Array is an Integer from 0 to 2^40");
  }
  const auto length = static_cast<size_t>(SmallOf(values[1]));
  const Class* info = To<ClassObject>(values[0])->info;
  const ObjectPtr made = process.mutator().AllocateArray(*info->type, length);
  if (!made) return process.FailOfMemory();
  Ref* elements = reinterpret_cast<Array*>(made.address())->elements();
  for (size_t i = 0; i < length; ++i) elements[i] = process.universe().nil();
  return Process::Return(values, RefOf(made));
}

// ---- Block

template <int kArity>
Outcome Value(Process& process, Ref* values) {
  return process.Evaluate(To<Closure>(values[0]), kArity);
}
Outcome Restart(Process& process, Ref*) { return process.Restart(); }
Outcome NumArgs(Process&, Ref* values) {
  return Process::Return(values, Small(To<Closure>(values[0])->code->arity));
}

constexpr PrimitiveEntry kObjects[] = {
    {"Object", "class", ClassOf},
    {"Object", "objectSize", ObjectSize},
    {"Object", "==", Identical},
    {"Object", "hashcode", Hashcode},
    {"Object", "inspect", Inspect},
    {"Object", "halt", Halt},
    {"Object", "perform:", Perform},
    {"Object", "perform:withArguments:", PerformWithArguments},
    {"Object", "perform:inSuperclass:", PerformInSuperclass},
    {"Object", "perform:withArguments:inSuperclass:", PerformWithArgumentsInSuperclass},
    {"Object", "instVarAt:", InstVarAt},
    {"Object", "instVarAt:put:", InstVarAtPut},
    {"Object", "instVarNamed:", InstVarNamed},
    {"Array", "at:", At, Op::kInlinedArrayAt},
    {"Array", "at:put:", AtPut, Op::kInlinedArrayAtPut},
    {"Array", "length", Length, Op::kInlinedArrayLength},
    {"Array class", "new:", NewArray},
};

constexpr PrimitiveEntry kBlocks[] = {
    {"Block", "restart", Restart},  {"Block", "numArgs", NumArgs},
    {"Block", "value", Value<0>},   {"Block1", "value", Value<0>},
    {"Block2", "value:", Value<1>}, {"Block3", "value:with:", Value<2>},
};

}  // namespace

std::span<const PrimitiveEntry> ObjectPrimitives() { return kObjects; }
std::span<const PrimitiveEntry> BlockPrimitives() { return kBlocks; }

}  // namespace som
