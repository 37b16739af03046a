// Classes that are made ready for use when they are needed first: by a thread of the compiler,
// which is in no isolate, while isolates call their methods, and miss.
#include <array>
#include <atomic>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "atoll/background_compiler.h"
#include "atoll/become.h"
#include "tests/isolate/isolate_fixture.h"

namespace Atoll {
namespace {

constexpr uintptr_t kClasses = 48;  // named 1 .. kClasses; class n inherits from n / 2
constexpr uintptr_t kSelectors = 6;

/// What a finalized class is: Program objects, a type, and fields of its own.
struct Class {
  ObjectPtr methods;  ///< an array: for each selector a pair, whose id says of whom and which it is
  const Type* type;
  size_t first_field;
  uint64_t version;  ///< of all its methods
};

uint64_t MethodId(uintptr_t key, uintptr_t selector, uint64_t version) {
  return version << 32 | key << 8 | selector;
}

/// The embedder: its table of classes is guarded by the program's lock, and what compiles a class
/// finalizes it and those that it inherits from.
class Finalizer final : public CompilerClient {
 public:
  Finalizer(IsolateGroup& group, const TestTypes& types) : group_(group), types_(types) {}

  void* Compile(uintptr_t key, const CompileJob&) override {
    EXPECT_EQ(MutatorThread::Current(), nullptr);
    const ExclusiveProgramLock lock(group_.program().lock());
    return Finalize(key);
  }
  void Install(uintptr_t key, void* made) override {
    EXPECT_EQ(made, classes_[key].get());
    installed.fetch_add(1);
  }
  void Discard(uintptr_t, void*) override {}

  /// With the lock shared: the method, or null if the class is not finalized. It is, or it is not.
  const void* LookUp(uintptr_t selector, uintptr_t key) {
    EXPECT_EQ(finalizing_.load(), 0u) << "a class is being finalized beside a look-up";
    const Class* found = classes_[key].get();
    if (found == nullptr) return nullptr;
    EXPECT_EQ(ArrayLength(found->methods), kSelectors);
    for (uintptr_t i = 0; i < kSelectors; ++i) {
      const ObjectPtr method = Load(found->methods, ElementAt(i));
      if (!method || IdAt(method) != MethodId(key, i, found->version)) {
        ADD_FAILURE() << "class " << key << " is not whole: method " << i;
      }
    }
    EXPECT_TRUE(key / 2 == 0 || classes_[key / 2] != nullptr) << "its superclass comes first";
    platform::YieldThread();
    EXPECT_EQ(finalizing_.load(), 0u);
    const ObjectPtr method = Load(found->methods, ElementAt(selector));
    return reinterpret_cast<const void*>(method.address());
  }
  /// In a Change: other methods for a class that is finalized.
  void Replace(const StoppedScope& stopped, uintptr_t key) {
    Class* found = classes_[key].get();
    if (found == nullptr) return;
    ++found->version;
    FillMethods(key, *found);
    for (uintptr_t i = 0; i < kSelectors; ++i) group_.program().ResetCallSites(stopped, i);
  }
  uint64_t VersionOf(uintptr_t key) const { return classes_[key]->version; }
  size_t FirstFieldOf(uintptr_t key) const { return classes_[key]->first_field; }

  std::atomic<size_t> installed{0};
  std::atomic<size_t> finalized{0};

 private:
  static size_t ArrayLength(ObjectPtr array) { return IdAt(array, 8); }

  // With the lock exclusively, or in a stop with it.
  Class* Finalize(uintptr_t key) {
    if (classes_[key] != nullptr) return classes_[key].get();
    if (key / 2 != 0) Finalize(key / 2);
    EXPECT_EQ(finalizing_.exchange(key), 0u);
    auto made = std::make_unique<Class>();
    TypeInfo info;
    const std::string name = "Class" + std::to_string(key);
    info.name = name;
    auto type = group_.heap().RegisterType(info);
    EXPECT_TRUE(type.ok()) << type.status().message();
    made->type = type.value();
    made->methods = group_.heap().AllocateProgram(*types_.array, kSelectors);
    EXPECT_TRUE(made->methods);
    FillMethods(key, *made);
    const Ref values[] = {Immediate(key), RefOf(made->methods)};
    auto fields = group_.program().AddFields(values);
    EXPECT_TRUE(fields.ok()) << fields.status().message();
    made->first_field = fields.value();
    finalized.fetch_add(1);
    classes_[key] = std::move(made);
    finalizing_.store(0);
    return classes_[key].get();
  }
  void FillMethods(uintptr_t key, Class& of) {
    for (uintptr_t i = 0; i < kSelectors; ++i) {
      const ObjectPtr method = group_.heap().AllocateProgram(*types_.pair);
      IdAt(method) = MethodId(key, i, of.version);
      SlotAt(of.methods, ElementAt(i)).StoreRawRelease(RefOf(method));
      platform::YieldThread();  // half of it is there
    }
  }

  IsolateGroup& group_;
  const TestTypes& types_;
  std::array<std::unique_ptr<Class>, kClasses + 1> classes_;
  std::atomic<uintptr_t> finalizing_{0};
};

class ClassFinalizationTest : public IsolateTest {
 protected:
  void Start(int threads) {
    finalizer_ = std::make_unique<Finalizer>(group(), types());
    compiler_ = std::make_unique<BackgroundCompiler>(group(), *finalizer_, threads);
    before_end = [this] { compiler_->Stop(); };
    for (uintptr_t i = 0; i < kSelectors; ++i) sites_.emplace_back(i);
  }
  /// Calls until there is something to call; null: it is killed.
  const void* Call(Isolate& isolate, CallSite& site, uintptr_t key) {
    for (;;) {
      const void* target = site.Lookup(key);
      if (target == nullptr) {
        target = group().program().Miss(site, key, [this](uintptr_t selector, uintptr_t missed) {
          return finalizer_->LookUp(selector, missed);
        });
      }
      if (target != nullptr) return target;
      compiler_->Request(key);
      if (!isolate.Poll()) return nullptr;
      platform::YieldThread();
    }
  }

  std::unique_ptr<Finalizer> finalizer_;
  std::unique_ptr<BackgroundCompiler> compiler_;
  std::deque<CallSite> sites_;
};

TEST_F(ClassFinalizationTest, AHelperFinalizesWhileIsolatesMiss) {
  options.workers = 3;
  Start(/*threads=*/2);
  std::atomic<int> running{3};
  std::atomic<size_t> calls{0};
  for (uintptr_t n = 0; n < 3; ++n) {
    Spawn([&, n](Isolate& isolate) {
      for (uintptr_t i = 0; i < kClasses; ++i) {
        const uintptr_t key = 1 + (i * 5 + n * 17) % kClasses;
        for (uintptr_t selector = 0; selector < kSelectors; ++selector) {
          const void* target = Call(isolate, sites_[selector], key);
          ASSERT_NE(target, nullptr);
          const uint64_t id = IdAt(ObjectPtr(reinterpret_cast<uintptr_t>(target)));
          EXPECT_EQ(id & 0xFFFF'FFFF, MethodId(key, selector, 0));
          NewPair(isolate, id);
          calls.fetch_add(1);
        }
        if (!isolate.Poll()) return;
      }
      running.fetch_sub(1);
    });
  }
  for (int i = 0; running.load() != 0; ++i) {
    const uintptr_t key = 1 + static_cast<uintptr_t>(i) % kClasses;
    const Status status =
        group().program().Change(SafepointLevel::kDeopt, "new methods", [&](const auto& stopped) {
          finalizer_->Replace(stopped, key);
          compiler_->InvalidateAll(stopped);
        });
    EXPECT_TRUE(status.ok()) << status.message();
    if (i % 4 == 0) CollectAll();
    // Changes go before misses: isolates get somewhere between two of them.
    const size_t before = calls.load();
    while (running.load() != 0 && calls.load() < before + 10) platform::YieldThread();
  }
  exits.WaitFor(3);
  compiler_->WaitUntilIdle();
  EXPECT_EQ(finalizer_->finalized.load(), kClasses) << "each once, whoever asks";
  EXPECT_GT(finalizer_->installed.load(), 0u);
  // What was linked last is what there is: no call found methods that had been replaced before.
  RunIsolate([&](Isolate& isolate) {
    for (uintptr_t key = 1; key <= kClasses; ++key) {
      for (uintptr_t selector = 0; selector < kSelectors; ++selector) {
        const void* target = Call(isolate, sites_[selector], key);
        EXPECT_EQ(IdAt(ObjectPtr(reinterpret_cast<uintptr_t>(target))),
                  MethodId(key, selector, finalizer_->VersionOf(key)));
      }
      const size_t field = finalizer_->FirstFieldOf(key);
      EXPECT_EQ(ValueOf(isolate.field(field)), key);
      EXPECT_EQ(IdAt(Load(ObjectOf(isolate.field(field + 1)), ElementAt(0))),
                MethodId(key, 0, finalizer_->VersionOf(key)));
    }
  });
}

// What is compiled relies on a class that has no subclass; meanwhile another helper makes one.
class Hierarchy final : public CompilerClient {
 public:
  explicit Hierarchy(IsolateGroup& group) : group_(group) {}

  static constexpr uintptr_t kCaller = 1;
  static constexpr uintptr_t kSubclass = 2;

  void* Compile(uintptr_t function, const CompileJob& job) override {
    EXPECT_EQ(MutatorThread::Current(), nullptr);
    if (function == kSubclass) {
      const Status status = group_.program().Change(
          SafepointLevel::kDeopt, "a class gains a subclass", [&](const StoppedScope& stopped) {
            has_subclass_ = true;
            EXPECT_TRUE(compiler->Invalidate(stopped, kCaller)) << "it is being compiled";
          });
      EXPECT_TRUE(status.ok()) << status.message();
      return &subclass_;
    }
    bool relies = false;
    {
      const SharedProgramLock lock(group_.program().lock());
      relies = !has_subclass_;
    }
    compilations.fetch_add(1);
    if (relies) {
      looked.Set();
      while (!job.is_unwanted()) platform::YieldThread();
    }
    return relies ? &relying_ : &general_;
  }
  void Install(uintptr_t function, void* code) override {
    EXPECT_NE(code, &relying_) << "there is a subclass (" << function << ")";
    installed.fetch_add(1);
  }
  void Discard(uintptr_t function, void* code) override {
    EXPECT_EQ(function, kCaller);
    EXPECT_EQ(code, &relying_);
    discarded.fetch_add(1);
  }

  BackgroundCompiler* compiler = nullptr;
  Event looked;
  std::atomic<int> compilations{0};
  std::atomic<int> installed{0};
  std::atomic<int> discarded{0};

 private:
  IsolateGroup& group_;
  bool has_subclass_ = false;  // guarded by the program's lock
  int relying_ = 0;
  int general_ = 0;
  int subclass_ = 0;
};

TEST_F(ClassFinalizationTest, ASubclassMadeByAHelperUndoesWhatAnotherCompiles) {
  Hierarchy hierarchy(group());
  BackgroundCompiler compiler(group(), hierarchy, 2);
  hierarchy.compiler = &compiler;
  before_end = [&] { compiler.Stop(); };
  Event done;
  const IsolateId id = Spawn([&](Isolate& isolate) {
    compiler.Request(Hierarchy::kCaller);
    PollUntil(isolate, [&] { return done.happened(); });
  });
  hierarchy.looked.Wait();
  compiler.Request(Hierarchy::kSubclass);
  compiler.WaitUntilIdle();
  done.Set();
  exits.WaitFor(id);
  EXPECT_EQ(hierarchy.compilations.load(), 2);
  EXPECT_EQ(hierarchy.discarded.load(), 1);
  EXPECT_EQ(hierarchy.installed.load(), 2);
  EXPECT_EQ(compiler.stats().redone, 1u);
  End();
}

// Its code names the class by address: one that has been replaced must not be installed.
class NamesItsClass final : public CompilerClient {
 public:
  NamesItsClass(IsolateGroup& group, size_t field) : group_(group), field_(field) {}

  void* Compile(uintptr_t, const CompileJob& job) override {
    uintptr_t found = 0;
    {
      const SharedProgramLock lock(group_.program().lock());
      found = group_.program().InitialField(field_).word;
    }
    if (compiled_for.empty()) {
      looked.Set();
      while (!job.is_unwanted()) platform::YieldThread();
    }
    compiled_for.push_back(found);
    return reinterpret_cast<void*>(found);
  }
  void Install(uintptr_t, void* code) override {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(code), group_.program().InitialField(field_).word);
  }
  void Discard(uintptr_t, void* code) override {
    EXPECT_NE(reinterpret_cast<uintptr_t>(code), group_.program().InitialField(field_).word);
  }

  Event looked;
  std::vector<uintptr_t> compiled_for;  // of one thread

 private:
  IsolateGroup& group_;
  const size_t field_;
};

TEST_F(ClassFinalizationTest, WhatIsCompiledForAClassThatIsReloadedIsCompiledAgain) {
  const Ref old_class = RefOf(heap().AllocateProgram(*types().pair));
  const Ref new_class = RefOf(heap().AllocateProgram(*types().pair));
  auto field = group().program().AddField(old_class);
  ASSERT_TRUE(field.ok()) << field.status().message();
  NamesItsClass client(group(), field.value());
  BackgroundCompiler compiler(group(), client);
  before_end = [&] { compiler.Stop(); };
  RunIsolate([&](Isolate& isolate) {
    compiler.Request(1);
    client.looked.Wait(isolate);
    const Status status = group().program().Change(
        SafepointLevel::kReload, "a class is reloaded", [&](const StoppedScope& stopped) {
          const Status became = Become(heap(), stopped, {&old_class, 1}, {&new_class, 1});
          EXPECT_TRUE(became.ok()) << became.message();
          EXPECT_TRUE(compiler.Invalidate(stopped, 1));
        });
    EXPECT_TRUE(status.ok()) << status.message();
    EXPECT_EQ(isolate.field(field.value()), new_class);
  });
  compiler.WaitUntilIdle();
  EXPECT_EQ(client.compiled_for, (std::vector<uintptr_t>{old_class.word, new_class.word}));
  EXPECT_EQ(compiler.stats().redone, 1u);
  EXPECT_EQ(compiler.stats().installed, 1u);
  End();
}

}  // namespace
}  // namespace Atoll
