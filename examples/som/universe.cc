#include "universe.h"

#include <gmp.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "big_integer.h"
#include "class_loader.h"
#include "process.h"

namespace som {

using Atoll::Status;

Universe::Universe(const UniverseOptions& options) : options_(options) {}

Universe::~Universe() {
  if (group_ != nullptr) group_->Shutdown();
  hot_code_.reset();  // its compiler ends before the group that it compiles for
  group_.reset();
  loader_.reset();
  std::free(static_cast<void*>(class_of_type_));
}

Atoll::Result<std::unique_ptr<Universe>> Universe::Create(const UniverseOptions& options) {
  std::unique_ptr<Universe> universe(new Universe(options));
  auto group = Atoll::IsolateGroup::Create(
      {.name = "som", .heap = options.heap, .client = universe.get(), .workers = options.workers});
  if (!group.ok()) return group.status();
  universe->group_ = std::move(group).value();
  universe->hot_code_ = std::make_unique<HotCode>(*universe, options.hot_code);
  // Symbols are made in managed state, hence in an isolate.
  auto loads = Atoll::EnteredIsolate::Enter(*universe->group_, {.name = "core"});
  if (!loads.ok()) return loads.status();
  if (Status status = universe->LoadCore(); !status.ok()) return status;
  return universe;
}

// ---- Types

// [core_types]
Atoll::TypeInfo Universe::CoreTypeInfo(Kind kind) {
  Atoll::TypeInfo info;
  info.layout = Atoll::Layout::kLeaf;
  info.length_offset = Atoll::kHeaderSize;
  switch (kind) {
    case Kind::kArray:
      return Atoll::DescribeRefArray("");
    case Kind::kBlock:
      info.layout = Atoll::Layout::kFixed;
      info.fixed_size = sizeof(Closure);
      info.ref_offsets = {offsetof(Closure, self), offsetof(Closure, context)};
      break;
    case Kind::kInteger:
      info.fixed_size = sizeof(BigInteger);
      info.element_size = sizeof(uint64_t);
      info.length_width = 4;
      break;
    case Kind::kString:
      info.fixed_size = sizeof(String);
      info.element_size = 1;
      break;
    case Kind::kSymbol:
      info.fixed_size = sizeof(Symbol);
      info.element_size = 1;
      break;
    case Kind::kPort:
      info.fixed_size = sizeof(PortObject);
      break;
    case Kind::kIsolate:
      info.fixed_size = sizeof(IsolateObject);
      break;
    case Kind::kWeakReference:
      info.layout = Atoll::Layout::kWeakRef;
      info.fixed_size = sizeof(WeakReference);
      break;
    case Kind::kInstance:
    case Kind::kDouble:
    case Kind::kClass:
    case Kind::kMethod:
      info.fixed_size = sizeof(Double);
      static_assert(sizeof(Double) == sizeof(ClassObject) &&
                    sizeof(Double) == sizeof(MethodObject));
      break;
  }
  return info;
}
// [/core_types]

Status Universe::RegisterTypes(Atoll::Heap& heap) {
  for (const auto& [name, kind] : std::initializer_list<std::pair<const char*, Kind>>{
           {"Integer", Kind::kInteger},
           {"Double", Kind::kDouble},
           {"String", Kind::kString},
           {"Symbol", Kind::kSymbol},
           {"Array", Kind::kArray},
           {"Block", Kind::kBlock},
           {"Block1", Kind::kBlock},
           {"Block2", Kind::kBlock},
           {"Block3", Kind::kBlock},
           {"Class", Kind::kClass},
           {"Metaclass", Kind::kClass},
           {"Method", Kind::kMethod},
           {"Primitive", Kind::kMethod},
           {"Port", Kind::kPort},
           {"Isolate", Kind::kIsolate},
           {"WeakReference", Kind::kWeakReference}}) {
    Atoll::TypeInfo info = CoreTypeInfo(kind);
    info.name = name;
    auto type = heap.RegisterType(info);
    if (!type.ok()) return type.status();
    core_types_.push_back({name, kind, type.value()});
  }
  auto context = heap.RegisterType(Atoll::DescribeRefArray("Context"));
  if (!context.ok()) return context.status();
  context_type_ = context.value();
  auto kept = heap.RegisterType(Atoll::DescribeRefArray("symbols of the program"));
  if (!kept.ok()) return kept.status();
  kept_type_ = kept.value();
  return Status::Ok();
}

const Atoll::Type* Universe::CoreType(std::string_view class_name, Kind* kind) const {
  for (const CoreTypeEntry& entry : core_types_) {
    if (entry.name != class_name) continue;
    *kind = entry.kind;
    return entry.type;
  }
  return nullptr;
}

Status Universe::CreateGroup(Atoll::IsolateGroup& group) {
  constexpr size_t kTypes = size_t{Atoll::header::kMaxTypeId} + 1;
  class_of_type_ = static_cast<std::atomic<Class*>*>(std::calloc(kTypes, sizeof(Class*)));
  if (class_of_type_ == nullptr) {
    return {Atoll::StatusCode::kResourceExhausted, "no memory for the table of classes"};
  }
  if (Status status = RegisterTypes(group.heap()); !status.ok()) return status;
  Kind ignored;
  integer_type_id_ = CoreType("Integer", &ignored)->id();
  return group.program().SetSymbolType(*CoreType("Symbol", &ignored));
}

// ---- The core

Status Universe::LoadCore() {
  loader_ = std::make_unique<ClassLoader>(*this);
  Status status;
  const auto check = [&](const char* name, const ClassLoader::Loaded& loaded) -> Class* {
    if (!status.ok() || loaded.outcome == ClassLoader::Outcome::kLoaded) return loaded.info;
    status = {Atoll::StatusCode::kInvalidArgument,
              loaded.outcome == ClassLoader::Outcome::kWrong
                  ? loaded.error
                  : std::string("the core class ") + name +
                        " is in no folder of the class path; name the folder of a core library "
                        "by -cp"};
    return nullptr;
  };
  check("Object", loader_->LoadRoots());
  const auto load = [&](const char* name) -> Class* {
    return status.ok() ? check(name, loader_->Load(name)) : nullptr;
  };
  classes_.class_ = load("Class");
  classes_.metaclass = load("Metaclass");
  classes_.nil = load("Nil");
  classes_.true_ = load("True");
  classes_.false_ = load("False");
  classes_.integer = load("Integer");
  classes_.double_ = load("Double");
  classes_.string = load("String");
  classes_.array = load("Array");
  classes_.block_of[0] = load("Block1");
  classes_.block_of[1] = load("Block2");
  classes_.block_of[2] = load("Block3");
  classes_.system = load("System");
  // Known by their names alone; a core without them is none.
  for (const char* name : {"Object", "Boolean", "Symbol", "Block", "Method", "Primitive"})
    load(name);
  if (!status.ok()) return status;
  const auto no_memory = [&] {
    status = {Atoll::StatusCode::kResourceExhausted, "no memory for the core objects"};
  };
  const auto intern = [&](const char* text) {
    Symbol* symbol = Intern(text);
    if (symbol == nullptr) no_memory();
    return symbol;
  };
  selectors_ = {.does_not_understand = intern("doesNotUnderstand:arguments:"),
                .unknown_global = intern("unknownGlobal:"),
                .escaped_block = intern("escapedBlock:"),
                .error = intern("error:"),
                .initialize = intern("initialize:"),
                .value = intern("value"),
                .value_with = intern("value:")};
  const auto singleton = [&](const Class* info) {
    const ObjectPtr object = group_->heap().AllocateProgram(*info->type);
    if (!object) no_memory();
    return RefOf(object);
  };
  nil_ = singleton(classes_.nil);
  true_ = singleton(classes_.true_);
  false_ = singleton(classes_.false_);
  system_ = singleton(classes_.system);
  for (const auto& [name, value] : {std::pair("system", system_), std::pair("nil", nil_),
                                    std::pair("true", true_), std::pair("false", false_)}) {
    const Symbol* symbol = intern(name);
    if (symbol != nullptr && !SetGlobal(symbol, value)) no_memory();
  }
  return status;
}

// ---- Symbols and globals

// [intern]
Symbol* Universe::Intern(std::string_view text) {
  const Atoll::Result<Ref> symbol = program().Intern(text);
  if (!symbol.ok()) return nullptr;
  // No safepoint in between: a symbol that nothing refers to may go at the next one.
  return Keep(To<Symbol>(symbol.value())) ? To<Symbol>(symbol.value()) : nullptr;
}

bool Universe::Keep(const Symbol* symbol) {
  const std::lock_guard<std::mutex> lock(names_mutex_);
  if (kept_.contains(symbol)) return true;
  if (keeper_ == nullptr || kept_there_ == keeper_->length) {
    constexpr size_t kAtOnce = 254;
    const ObjectPtr made = group_->heap().AllocateProgram(*kept_type_, kAtOnce);
    if (!made) return false;
    keeper_ = reinterpret_cast<Array*>(made.address());
    kept_there_ = 0;
  }
  Atoll::Store<Atoll::PlainPointers>(Atoll::Isolate::Current()->mutator(), keeper_->ptr(),
                                     Atoll::Slot(&keeper_->elements()[kept_there_++].word),
                                     symbol->ref());
  kept_.insert(symbol);
  return true;
}
// [/intern]

std::optional<uint32_t> Universe::FieldOfGlobal(const Symbol* name) {
  if (!Keep(name)) return std::nullopt;
  const std::lock_guard<std::mutex> lock(names_mutex_);
  if (const auto found = globals_.find(name); found != globals_.end()) return found->second;
  const auto added = program().AddField(Ref{});
  if (!added.ok()) return std::nullopt;
  const auto field = static_cast<uint32_t>(added.value());
  globals_.emplace(name, field);
  return field;
}

bool Universe::SetGlobal(const Symbol* name, Ref value) {
  const auto field = FieldOfGlobal(name);
  return field && program().SetInitialField(*field, value).ok();
}

// ---- Literals

Ref Universe::StringLiteral(std::string_view text) {
  Kind ignored;
  const ObjectPtr object =
      group_->heap().AllocateProgram(*CoreType("String", &ignored), text.size());
  if (object) {
    std::memcpy(reinterpret_cast<String*>(object.address())->bytes(), text.data(), text.size());
  }
  return RefOf(object);
}

Ref Universe::DoubleLiteral(double value) {
  Kind ignored;
  const ObjectPtr object = group_->heap().AllocateProgram(*CoreType("Double", &ignored));
  if (object) reinterpret_cast<Double*>(object.address())->value = value;
  return RefOf(object);
}

Ref Universe::IntegerLiteral(std::string_view digits) {
  const Magnitude number = Magnitude::Parse(digits);
  if (int64_t small; number.ToInt64(&small) && FitsSmall(small)) return Small(small);
  Kind ignored;
  const ObjectPtr object =
      group_->heap().AllocateProgram(*CoreType("Integer", &ignored), number.limbs.size());
  if (object) number.CopyTo(reinterpret_cast<BigInteger*>(object.address()));
  return RefOf(object);
}

std::string_view Universe::TextOf(Ref value) const {
  auto* string = To<String>(value);  // or a Symbol, which is laid out as one
  return {string->bytes(), string->length};
}

// ---- Counts

void Universe::NoteExit(std::chrono::nanoseconds duration) {
  const std::lock_guard<std::mutex> lock(exits_mutex_);
  exits_.Record(static_cast<uint64_t>(duration.count()));
}

Atoll::Histogram Universe::exits() const {
  const std::lock_guard<std::mutex> lock(exits_mutex_);
  return exits_;
}

// ---- The group

Status Universe::InitializeIsolate(Atoll::Isolate& isolate) {
  isolate.set_data(new Process(*this, isolate));
  return Status::Ok();
}

void Universe::OnLeave(Atoll::Isolate& isolate) {
  if (isolate.data() != nullptr) Process::Of(isolate).LeaveTurn();
}

void Universe::CleanupIsolate(Atoll::IsolateId, void* data) { delete static_cast<Process*>(data); }

void Universe::VisitRoots(Atoll::Isolate& isolate, Atoll::RootVisitor& visitor) {
  if (isolate.data() != nullptr) Process::Of(isolate).VisitRoots(visitor);
}

namespace {

struct MainStart {
  Universe& universe;
  const std::vector<std::string>& arguments;
};

// The main isolate's first turn.
void StartMain(Atoll::Isolate& isolate, void* data) {
  const MainStart& start = *static_cast<MainStart*>(data);
  Process& process = Process::Of(isolate);
  process.set_is_main();
  process.stack().Take();
  const size_t count = start.arguments.size();
  if (!process.Reserve(count + 3))
    return isolate.Fail({Atoll::StatusCode::kResourceExhausted, "no memory for a stack"});
  process.Push(start.universe.system());
  const Ref array = process.NewArray(count);
  if (array.word == 0) return isolate.Fail(process.mutator().last_error());
  process.Push(array);
  for (size_t i = 0; i < count; ++i) {
    const Ref text = process.NewString(start.arguments[i]);
    if (text.word == 0) return isolate.Fail(process.mutator().last_error());
    const Ref at = process.stack().top[-1];
    process.Store(at, &To<Array>(at)->elements()[i], text);
  }
  process.Run(start.universe.selectors().initialize, 1);
}

}  // namespace

int Universe::Run(const std::vector<std::string>& arguments) {
  MainStart start{*this, arguments};
  const auto ended = [](void* data, const Atoll::ExitInfo& info) {
    auto& self = *static_cast<Universe*>(data);
    if (info.reason == Atoll::ExitReason::kFailed && !self.has_exit_) {
      std::fprintf(stderr, "som: %s\n", info.error.message().c_str());
      self.EndAll(1);
    }
    const std::lock_guard<std::mutex> lock(self.end_mutex_);
    self.main_has_ended_ = true;
    self.end_.notify_all();
  };
  const auto main = group_->Spawn({.entry = StartMain,
                                   .data = &start,
                                   .name = "main",
                                   .limit_bytes = options_.isolate_limit_bytes,
                                   .on_exit = {ended, this}});
  if (!main.ok()) {
    if (has_exit_) return exit_code_;  // interrupted before it began
    std::fprintf(stderr, "som: %s\n", main.status().message().c_str());
    return 1;
  }
  {
    std::unique_lock<std::mutex> lock(end_mutex_);
    end_.wait(lock, [&] { return main_has_ended_ || has_exit_; });
  }
  // The main isolate may end before the others; an exit ends them all.
  if (!has_exit_) group_->WaitUntilEmpty();
  group_->Shutdown();
  std::fflush(stdout);
  return exit_code_;
}

void Universe::Interrupt(int exit_code) {
  EndAll(exit_code);
  group_->Shutdown();
}

void Universe::EndAll(int exit_code) {
  const std::lock_guard<std::mutex> lock(end_mutex_);
  if (has_exit_) return;
  exit_code_ = exit_code;
  has_exit_ = true;
  end_.notify_all();
}

}  // namespace som
