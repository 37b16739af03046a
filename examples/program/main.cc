// A program that isolates share: fields, symbols, calls, and a compiler beside them.
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>

#include "atoll/atoll.h"

namespace {

using Atoll::Isolate;
using Atoll::Ref;

[[noreturn]] void GiveUp(const Atoll::Status& status) {
  std::fprintf(stderr, "%s\n", status.message().c_str());
  std::exit(1);
}
template <typename T>
T OrExit(Atoll::Result<T> result) {
  if (!result.ok()) GiveUp(result.status());
  return std::move(result).value();
}
void OrExit(const Atoll::Status& status) {
  if (!status.ok()) GiveUp(status);
}

Ref IntRef(int64_t value) { return Ref{static_cast<Atoll::Word>(value) << 1 | 1}; }
int64_t AsInt(Ref ref) { return static_cast<int64_t>(ref.word) >> 1; }

// Code is a C++ function here; a class is a number.
using Code = int64_t (*)(int64_t);
int64_t Increment(int64_t n) { return n + 1; }
int64_t Twice(int64_t n) { return 2 * n; }
const void* AsTarget(Code code) { return reinterpret_cast<const void*>(code); }
constexpr uintptr_t kInteger = 1;

class Vm final : public Atoll::GroupClient {
 public:
  // [load]
  Atoll::Status CreateGroup(Atoll::IsolateGroup& group) override {
    program = &group.program();
    auto type = group.heap().RegisterType(Atoll::DescribeDataArray<char>("Symbol"));
    if (!type.ok()) return type.status();
    if (auto status = program->SetSymbolType(*type.value()); !status.ok()) return status;
    const Ref next = OrExit(program->Intern("next"));
    OrExit(program->AddField(next));  // what nothing refers to goes; this stays
    selector = next.word;
    counter = OrExit(program->AddField(IntRef(41)));
    methods[kInteger] = Increment;
    return {};
  }
  // [/load]

  // [call]
  int64_t Call(Atoll::CallSite& site, uintptr_t receiver_class, int64_t argument) {
    const void* target = site.Lookup(receiver_class);
    if (target == nullptr) {
      target = program->Miss(site, receiver_class,
                             [this](uintptr_t, uintptr_t key) { return AsTarget(methods[key]); });
    }
    return reinterpret_cast<Code>(const_cast<void*>(target))(argument);
  }
  // [/call]

  // [change]
  Atoll::Status Replace(uintptr_t receiver_class, Code code) {
    return program->Change(Atoll::SafepointLevel::kDeopt, "a method is replaced",
                           [&](const Atoll::StoppedScope& stopped) {
                             methods[receiver_class] = code;
                             program->ResetCallSites(stopped, selector);
                           });
  }
  // [/change]

  Atoll::Program* program = nullptr;
  size_t counter = 0;
  uintptr_t selector = 0;
  std::map<uintptr_t, Code> methods;  // under the program's lock
};

// [compiler]
class Compiler final : public Atoll::CompilerClient {
 public:
  void* Compile(uintptr_t, const Atoll::CompileJob& job) override {
    if (job.is_unwanted()) return nullptr;
    return reinterpret_cast<void*>(Twice);
  }
  void Install(uintptr_t, void* code) override {
    // Release: whoever calls it finds it whole.
    compiled.store(reinterpret_cast<Code>(code), std::memory_order_release);
  }
  void Discard(uintptr_t, void*) override {}

  std::atomic<Code> compiled{nullptr};
};
// [/compiler]

}  // namespace

int main() {
  Vm vm;
  Atoll::GroupOptions options;
  options.client = &vm;
  auto group = OrExit(Atoll::IsolateGroup::Create(options));
  Compiler client;
  Atoll::BackgroundCompiler compiler(*group, client);
  Atoll::CallSite site(vm.selector);
  bool is_right = true;
  {
    auto entered = OrExit(Atoll::EnteredIsolate::Enter(*group, {}));
    Isolate& isolate = entered->isolate();
    // [fields]
    const int64_t initial = AsInt(isolate.field(vm.counter));  // 41, the program's
    OrExit(isolate.SetField(vm.counter, IntRef(vm.Call(site, kInteger, initial))));
    const int64_t own = AsInt(isolate.field(vm.counter));  // 42, this isolate's
    // [/fields]
    OrExit(vm.Replace(kInteger, Twice));
    is_right = initial == 41 && own == 42 && vm.Call(site, kInteger, own) == 84 &&
               OrExit(vm.program->Intern("next")).word == vm.selector &&
               AsInt(vm.program->InitialField(vm.counter)) == 41;
    compiler.Request(kInteger);
    // The compiler waits for each isolate to have polled.
    while (compiler.stats().installed == 0) isolate.Poll();
  }
  is_right = is_right && client.compiled.load()(21) == 42;
  std::printf("%s\n", is_right ? "right" : "wrong");
  return is_right ? 0 : 1;
}
