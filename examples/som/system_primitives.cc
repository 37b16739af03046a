// System: globals, classes, output, time, collections.

#include <chrono>
#include <cstdio>
#include <optional>
#include <string>
#include <thread>

#include "class_loader.h"
#include "files.h"
#include "primitives.h"
#include "process.h"

namespace som {
namespace {

// The symbol that a global is named by; null: process.Fail has been called.
Symbol* NameIn(Process& process, Ref value) {
  if (process.universe().KindOf(value) == Kind::kSymbol) return To<Symbol>(value);
  process.Fail("a global is named by a Symbol, not by an instance of " +
               process.universe().ClassOf(value)->name->text());
  return nullptr;
}
// The field that is a global; none: process.Fail has been called.
std::optional<uint32_t> FieldNamedBy(Process& process, Ref value) {
  const Symbol* symbol = NameIn(process, value);
  if (symbol == nullptr) return std::nullopt;
  const auto field = process.universe().FieldOfGlobal(symbol);
  if (!field) process.Fail("no memory for a global");
  return field;
}
Outcome Global(Process& process, Ref* values) {
  const auto field = FieldNamedBy(process, values[1]);
  if (!field) return Outcome::kFailed;
  const Ref value = process.GlobalValue(*field);
  return Process::Return(values, value.word != 0 ? value : process.universe().nil());
}

Outcome GlobalPut(Process& process, Ref* values) {
  const auto field = FieldNamedBy(process, values[1]);
  if (!field) return Outcome::kFailed;
  if (!process.isolate().SetField(*field, values[2]).ok()) {
    return process.Fail("no memory for a global");
  }
  return Process::Return(values, values[2]);
}

Outcome HasGlobal(Process& process, Ref* values) {
  const auto field = FieldNamedBy(process, values[1]);
  if (!field) return Outcome::kFailed;
  const Ref value = process.GlobalValue(*field);
  return Process::Return(values, process.universe().Boolean(value.word != 0));
}

// nil if there is no such file; an error if it is wrong.
Outcome Load(Process& process, Ref* values) {
  Symbol* symbol = NameIn(process, values[1]);
  if (symbol == nullptr) return Outcome::kFailed;
  const ClassLoader::Loaded loaded = process.universe().loader().Load(symbol->text());
  switch (loaded.outcome) {
    case ClassLoader::Outcome::kLoaded:
      return Process::Return(values, loaded.info->object);
    case ClassLoader::Outcome::kNotFound:
      return Process::Return(values, process.universe().nil());
    case ClassLoader::Outcome::kWrong:
      break;
  }
  return process.Fail(loaded.error);
}

// nil if it cannot be read.
Outcome LoadFile(Process& process, Ref* values) {
  if (!process.universe().IsText(values[1])) return process.Fail("the name of a file is a String");
  const std::string path(process.universe().TextOf(values[1]));
  std::string text;
  std::string why;
  FileRead read;
  {
    // [native]
    const Atoll::NativeScope native(process.mutator());  // reading may take long
    read = ReadFile(path, &text, &why);
    // [/native]
  }
  if (read != FileRead::kDone) return Process::Return(values, process.universe().nil());
  return process.ReturnNew(values, process.NewString(text));
}

Outcome Exit(Process& process, Ref* values) {
  if (!IsSmall(values[1])) return process.Fail("an exit code is an Integer");
  return process.Exit(SmallOf(values[1]));
}

template <bool kToError, bool kNewline>
Outcome Print(Process& process, Ref* values) {
  if (!process.universe().IsText(values[1])) {
    return process.Fail("what is printed is a String, not an instance of " +
                        process.universe().ClassOf(values[1])->name->text());
  }
  const std::string_view text = process.universe().TextOf(values[1]);
  std::FILE* to = kToError ? stderr : stdout;
  if (kToError) std::fflush(stdout);
  std::fwrite(text.data(), 1, text.size(), to);
  if (kNewline) std::fputc('\n', to);
  return Outcome::kValue;
}
Outcome PrintNewline(Process&, Ref*) {
  std::fputc('\n', stdout);
  return Outcome::kValue;
}
Outcome PrintStackTrace(Process& process, Ref*) {
  std::fflush(stdout);
  process.PrintStackTrace();
  return Outcome::kValue;
}

// When the program was started, not when it first asked.
const std::chrono::steady_clock::time_point kStart = std::chrono::steady_clock::now();
int64_t MicrosSinceStart() {
  const auto passed = std::chrono::steady_clock::now() - kStart;
  return std::chrono::duration_cast<std::chrono::microseconds>(passed).count();
}
Outcome Time(Process&, Ref* values) {
  return Process::Return(values, Small(MicrosSinceStart() / 1000));
}
Outcome Ticks(Process&, Ref* values) { return Process::Return(values, Small(MicrosSinceStart())); }

Outcome SleepMillis(Process& process, Ref* values) {
  if (!IsSmall(values[1]) || SmallOf(values[1]) < 0)
    return process.Fail("a time is an Integer from 0 on");
  const Atoll::NativeScope native(process.mutator());
  std::this_thread::sleep_for(std::chrono::milliseconds(SmallOf(values[1])));
  return Outcome::kValue;
}

Outcome FullGc(Process& process, Ref* values) {
  const bool done = process.mutator().Collect(Atoll::Mutator::Collection::kMajor).ok();
  return Process::Return(values, process.universe().Boolean(done));
}

// An Array: collections, milliseconds in them, bytes of blocks; of this isolate.
Outcome GcStats(Process& process, Ref* values) {
  const Atoll::RegionStats stats = process.mutator().region().stats();
  const Ref array = process.NewArray(3);
  if (array.word == 0) return process.FailOfMemory();
  Ref* elements = To<Array>(array)->elements();
  elements[0] = Small(static_cast<int64_t>(stats.minors + stats.majors));
  elements[1] = Small(static_cast<int64_t>(stats.collection_nanos / 1'000'000));
  elements[2] = Small(static_cast<int64_t>(stats.block_bytes));
  return Process::Return(values, array);
}

// Classes are compiled as they are loaded, in no time worth counting.
Outcome TotalCompilationTime(Process&, Ref* values) { return Process::Return(values, Small(0)); }

constexpr PrimitiveEntry kSystem[] = {
    {"System", "global:", Global},
    {"System", "global:put:", GlobalPut},
    {"System", "hasGlobal:", HasGlobal},
    {"System", "load:", Load},
    {"System", "loadFile:", LoadFile},
    {"System", "exit:", Exit},
    {"System", "printString:", Print<false, false>},
    {"System", "printNewline", PrintNewline},
    {"System", "errorPrint:", Print<true, false>},
    {"System", "errorPrintln:", Print<true, true>},
    {"System", "printStackTrace", PrintStackTrace},
    {"System", "time", Time},
    {"System", "ticks", Ticks},
    {"System", "sleepMillis:", SleepMillis},
    {"System", "fullGC", FullGc},
    {"System", "gcStats", GcStats},
    {"System", "totalCompilationTime", TotalCompilationTime},
};

}  // namespace

std::span<const PrimitiveEntry> SystemPrimitives() { return kSystem; }

}  // namespace som
