#include "hot_code.h"

#include "optimizer.h"
#include "universe.h"

namespace som {
namespace {

Method& MethodOf(uintptr_t function) { return *reinterpret_cast<Method*>(function); }

// 0: never reached by counting up.
uint32_t HotLooks(const HotCodeOptions& options) {
  return (options.calls + options.calls_per_look - 1) / options.calls_per_look;
}

}  // namespace

HotCode::HotCode(Universe& universe, const HotCodeOptions& options)
    : universe_(universe),
      options_(options),
      hot_looks_(HotLooks(options)),
      compiler_(universe.group(), *this) {}

HotCode::~HotCode() = default;

void HotCode::Request(Method& method) {
  compiler_.Request(reinterpret_cast<uintptr_t>(&method));
  if (!options_.waits) return;
  const Atoll::NativeScope native(Atoll::Isolate::Current()->mutator());
  compiler_.WaitUntilIdle();
}

// [compile]
void* HotCode::Compile(uintptr_t function, const Atoll::CompileJob& job) {
  Method& method = MethodOf(function);
  if (options_.before_compile) options_.before_compile(method);
  if (job.is_unwanted()) return nullptr;
  // What the call sites say holds while the lock is shared; Invalidate is told if it changes after.
  const Atoll::SharedProgramLock lock(universe_.program().lock());
  return Optimize(universe_, method).release();
}

void HotCode::Install(uintptr_t function, void* made) {
  auto* code = static_cast<Code*>(made);
  MethodOf(function).Install(code);
  const std::lock_guard<std::mutex> lock(mutex_);
  installed_.emplace_back(code);
  sends_in_place_ += code->inlined_sends.size();
}

void HotCode::Discard(uintptr_t, void* code) { Code::Delete()(static_cast<Code*>(code)); }
// [/compile]

// [invalidate]
void HotCode::Invalidate(const Atoll::StoppedScope& stopped, const Symbol* selector,
                         Method* replaced) {
  if (replaced != nullptr) compiler_.Cancel(reinterpret_cast<uintptr_t>(replaced));
  compiler_.InvalidateAll(stopped);
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const Code::Owner& code : installed_) {
    Method& method = *code->method;
    if (code->Invalidate(stopped, selector) == 0 && &method != replaced) continue;
    if (method.code() != code.get()) continue;  // taken back before
    method.Install(nullptr);
    method.heat.store(0, std::memory_order_relaxed);
    ++invalidated_;
  }
}
// [/invalidate]

HotCode::Stats HotCode::stats() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return {compiler_.stats(), invalidated_, sends_in_place_};
}

}  // namespace som
