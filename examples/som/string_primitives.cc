// String and Symbol.

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>

#include "primitives.h"
#include "process.h"

namespace som {
namespace {

std::string_view TextOf(Process& process, Ref value) { return process.universe().TextOf(value); }

Outcome Length(Process& process, Ref* values) {
  return Process::Return(values, Small(static_cast<int64_t>(TextOf(process, values[0]).size())));
}

Outcome Concatenate(Process& process, Ref* values) {
  if (!process.universe().IsText(values[1])) return process.Fail("the argument is a String");
  const size_t first = TextOf(process, values[0]).size();
  const size_t second = TextOf(process, values[1]).size();
  // May collect: the texts are looked at afterwards.
  const ObjectPtr made =
      process.mutator().AllocateArray(*process.universe().classes().string->type, first + second);
  if (!made) return process.FailOfMemory();
  char* bytes = reinterpret_cast<String*>(made.address())->bytes();
  std::memcpy(bytes, TextOf(process, values[0]).data(), first);
  std::memcpy(bytes + first, TextOf(process, values[1]).data(), second);
  return Process::Return(values, RefOf(made));
}

Outcome AsSymbol(Process& process, Ref* values) {
  const auto symbol = process.universe().program().Intern(TextOf(process, values[0]));
  return symbol.ok() ? Process::Return(values, symbol.value())
                     : process.Fail("no memory for a Symbol");
}

Outcome AsString(Process& process, Ref* values) {
  const std::string text(TextOf(process, values[0]));
  return process.ReturnNew(values, process.NewString(text));
}

// Equal texts have equal hashes, in all isolates.
Outcome Hashcode(Process& process, Ref* values) {
  uint32_t hash = 2166136261U;  // FNV-1a
  for (const char c : TextOf(process, values[0])) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  }
  return Process::Return(values, Small(hash));
}

// A Symbol equals a String of its text, though it is not the same object.
Outcome Equal(Process& process, Ref* values) {
  const bool equal =
      values[0] == values[1] || (process.universe().IsText(values[1]) &&
                                 TextOf(process, values[0]) == TextOf(process, values[1]));
  return Process::Return(values, process.universe().Boolean(equal));
}

Outcome Substring(Process& process, Ref* values) {
  const std::string_view text = TextOf(process, values[0]);
  const auto length = static_cast<int64_t>(text.size());
  if (!AreSmall(values[1], values[2])) return process.Fail("positions are Integers");
  const int64_t first = SmallOf(values[1]);
  const int64_t last = SmallOf(values[2]);
  if (first < 1 || last > length || first > last + 1) {
    return process.Fail("positions " + std::to_string(first) + " to " + std::to_string(last) +
                        " are outside 1 to " + std::to_string(length));
  }
  const std::string part(
      text.substr(static_cast<size_t>(first - 1), static_cast<size_t>(last - first + 1)));
  return process.ReturnNew(values, process.NewString(part));
}

Outcome CharAt(Process& process, Ref* values) {
  const std::string_view text = TextOf(process, values[0]);
  const Ref index = values[1];
  if (!IsSmall(index) || SmallOf(index) < 1 || SmallOf(index) > static_cast<int64_t>(text.size())) {
    return process.Fail("a position is an Integer from 1 to " + std::to_string(text.size()));
  }
  const char found = text[static_cast<size_t>(SmallOf(index) - 1)];
  return process.ReturnNew(values, process.NewString({&found, 1}));
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsWhiteSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
// All that is not ASCII is taken for letters.
bool IsLetter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || static_cast<signed char>(c) < 0;
}

template <bool (*kTest)(char)>
Outcome AllAre(Process& process, Ref* values) {
  const std::string_view text = TextOf(process, values[0]);
  const bool all = !text.empty() && std::all_of(text.begin(), text.end(), kTest);
  return Process::Return(values, process.universe().Boolean(all));
}

constexpr PrimitiveEntry kStrings[] = {
    {"String", "length", Length, Op::kInlinedStringLength},
    {"String", "concatenate:", Concatenate},
    {"String", "asSymbol", AsSymbol},
    {"String", "asString", AsString},
    {"String", "hashcode", Hashcode},
    {"String", "=", Equal},
    {"String", "primSubstringFrom:to:", Substring},
    {"String", "charAt:", CharAt},
    {"String", "isDigits", AllAre<IsDigit>},
    {"String", "isLetters", AllAre<IsLetter>},
    {"String", "isWhiteSpace", AllAre<IsWhiteSpace>},
    {"Symbol", "asString", AsString},
};

}  // namespace

std::span<const PrimitiveEntry> StringPrimitives() { return kStrings; }

}  // namespace som
