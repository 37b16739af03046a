// Class, Method and Primitive.

#include <string>
#include <utility>

#include "class_loader.h"
#include "primitives.h"
#include "process.h"

namespace som {
namespace {

Class* InfoOf(Ref value) { return To<ClassObject>(value)->info; }

Outcome Name(Process&, Ref* values) {
  return Process::Return(values, InfoOf(values[0])->name->ref());
}

Outcome Superclass(Process& process, Ref* values) {
  const Class* above = InfoOf(values[0])->superclass;
  return Process::Return(values, above == nullptr ? process.universe().nil() : above->object);
}

Outcome New(Process& process, Ref* values) {
  const Class* info = InfoOf(values[0]);
  if (ATOLL_UNLIKELY(info->kind != Kind::kInstance)) {
    return process.Fail("instances of " + info->name->text() + " are not made by new");
  }
  const ObjectPtr made = process.Allocate(*info);
  if (ATOLL_UNLIKELY(!made)) return process.FailOfMemory();
  Ref* fields = reinterpret_cast<Instance*>(made.address())->fields();
  for (size_t i = 0; i < info->fields.size(); ++i) fields[i] = process.universe().nil();
  return Process::Return(values, RefOf(made));
}

Outcome NewString(Process& process, Ref* values) {
  return process.ReturnNew(values, process.NewString(""));
}

// A new Array of as many objects of Program as there are; no reference into it needs a barrier.
template <typename Items, typename ToObject>
Outcome ReturnArray(Process& process, Ref* values, const Items& items, ToObject to_object) {
  Ref array;
  do {
    array = process.NewArray(items.size());
    if (array.word == 0) return process.FailOfMemory();
  } while (To<Array>(array)->length != items.size());  // a method may have been defined meanwhile
  for (size_t i = 0; i < items.size(); ++i) To<Array>(array)->elements()[i] = to_object(items[i]);
  return Process::Return(values, array);
}

Outcome Fields(Process& process, Ref* values) {
  return ReturnArray(process, values, InfoOf(values[0])->fields,
                     [](const Symbol* symbol) { return symbol->ref(); });
}
Outcome Methods(Process& process, Ref* values) {
  return ReturnArray(process, values, InfoOf(values[0])->methods,
                     [](const Method* method) { return method->object; });
}

Outcome HasMethod(Process& process, Ref* values) {
  for (const Method* method : InfoOf(values[0])->methods) {
    if (method->selector->ref() == values[1]) {
      return Process::Return(values, process.universe().true_object());
    }
  }
  return Process::Return(values, process.universe().false_object());
}

// Class compile: 'a = ( ^1 )'. Answers the method.
Outcome Compile(Process& process, Ref* values) {
  const Kind kind = process.universe().KindOf(values[1]);
  if (kind != Kind::kString && kind != Kind::kSymbol) {
    return process.Fail("the source of a method is a String");
  }
  std::string source(process.universe().TextOf(values[1]));
  std::string error;
  const Method* method =
      process.universe().loader().Define(*InfoOf(values[0]), std::move(source), &error);
  return method == nullptr ? process.Fail(error) : Process::Return(values, method->object);
}

Outcome Signature(Process&, Ref* values) {
  return Process::Return(values, To<MethodObject>(values[0])->info->selector->ref());
}
Outcome Holder(Process&, Ref* values) {
  return Process::Return(values, To<MethodObject>(values[0])->info->holder->object);
}

Outcome InvokeOnWith(Process& process, Ref* values) {
  const Method* method = To<MethodObject>(values[0])->info;
  const Universe& universe = process.universe();
  if (universe.KindOf(values[2]) != Kind::kArray) return process.Fail("the arguments are an Array");
  const auto count = static_cast<int>(To<Array>(values[2])->length);
  if (method->arity != count) {
    return process.Fail("the method takes " + std::to_string(method->arity) +
                        " arguments, and gets " + std::to_string(count));
  }
  if (!universe.ClassOf(values[1])->IsSubclassOf(method->holder)) {
    return process.Fail("its receivers are instances of " + method->holder->name->text() +
                        ", not of " + universe.ClassOf(values[1])->name->text());
  }
  const auto at = values - process.stack().values;
  const Ref receiver = values[1];
  const Ref arguments = values[2];
  if (!process.Reserve(static_cast<size_t>(count) + 1)) return process.Fail("too many arguments");
  process.stack().top = process.stack().values + at;
  process.Push(receiver);
  for (int i = 0; i < count; ++i) process.Push(To<Array>(arguments)->elements()[i]);
  return Process::Changed(process.Invoke(method, count));
}

constexpr PrimitiveEntry kReflection[] = {
    {"Class", "name", Name},
    {"Class", "superclass", Superclass},
    {"Class", "new", New, Op::kInlinedNew},
    {"String class", "new", NewString},
    {"Class", "fields", Fields},
    {"Class", "methods", Methods},
    {"Class", "hasMethod:", HasMethod},
    {"Class", "compile:", Compile},
    {"Method", "signature", Signature},
    {"Method", "holder", Holder},
    {"Method", "invokeOn:with:", InvokeOnWith},
    {"Primitive", "signature", Signature},
    {"Primitive", "holder", Holder},
    {"Primitive", "invokeOn:with:", InvokeOnWith},
};

}  // namespace

std::span<const PrimitiveEntry> ReflectionPrimitives() { return kReflection; }

}  // namespace som
