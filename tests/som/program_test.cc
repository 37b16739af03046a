// What isolates share of a program while it runs: symbols, classes, methods, call sites.
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <set>

#include "class_loader.h"
#include "som_fixture.h"

namespace som {
namespace {

using ::testing::HasSubstr;

class ProgramTest : public SomTest {
 protected:
  /// The program that ran, as it was at its end.
  struct Counts {
    ClassLoader::Counts loaded;
    Atoll::CallSiteStats calls;
    HotCode::Stats hot;
    size_t fields = 0;
  };
  Counts counts;

  ProgramTest() {
    after_run = [this](Universe& universe) {
      universe.hot_code().compiler().WaitUntilIdle();
      counts = {universe.loader().Count(), universe.program().call_site_stats(),
                universe.hot_code().stats(), universe.program().field_count()};
    };
  }
  size_t SitesThatAre(Atoll::CallSiteState state) const {
    return counts.loaded.sites[static_cast<size_t>(state)];
  }
};

// ---- Symbols, globals

TEST_F(ProgramTest, ASymbolIsOneForAllIsolates) {
  EXPECT_EQ(Output(R"(
      | port |
      port := Port new.
      Isolate spawn: [ port send: #atoll. port send: ('la' + 'goon') asSymbol ].
      (port receive == #atoll) println.
      system fullGC.
      (port receive == #lagoon) println.
      ('ree' + 'f') asSymbol println.
      (('ree' + 'f') asSymbol == ('r' + 'eef') asSymbol) println)"),
            "true\ntrue\nreef\ntrue\n");
}

TEST_F(ProgramTest, SymbolsThatNothingRefersToGo) {
  size_t symbols = 0;
  after_run = [&](Universe& universe) {
    ASSERT_TRUE(universe.group().heap().CollectAll().ok());
    symbols = universe.program().symbol_count();
  };
  ASSERT_EQ(RunMethods("run = ( #kept println )").code, 0);
  const size_t of_the_program = symbols;
  const Ran ran = RunMethods(R"(
    run = ( | kept |
      kept := #kept.
      1 to: 5000 do: [:i | ('key' + i asString) asSymbol ].
      system fullGC.
      ('ke' + 'pt') asSymbol == kept ifTrue: [ #kept println ] ))");
  EXPECT_EQ(ran.out, "kept\n") << ran.err;
  EXPECT_LE(symbols, of_the_program + 20) << "the names in the second program";
}

TEST_F(ProgramTest, AGlobalIsWhatTheProgramSaysUntilTheIsolateSaysOtherwise) {
  Write("Late", "Late = ( ---- | n | next = ( n isNil ifTrue: [ n := 0 ]. n := n + 1. ^n ) )");
  EXPECT_EQ(Output(R"(
      | port |
      port := Port new.
      (system hasGlobal: #Late) println.
      Isolate spawn: [ port send: (system load: #Late) next. port send: Late next ].
      port receive println. port receive println.
      Late next println.
      system global: #Late put: 5.
      Late println.
      Isolate spawn: [ port send: Late next ].
      port receive println)"),
            "false\n1\n2\n1\n5\n1\n");
}

TEST_F(ProgramTest, AClassThatTwoIsolatesLoadAtOnceIsOne) {
  Write("Late", "Late = ( answer = ( ^42 ) ---- )");
  const Ran ran = RunMethods(R"(
    run = ( | port first |
      port := Port new.
      20 timesRepeat: [ Isolate spawn: [ port send: Late. port send: Late new ] ].
      first := nil.
      40 timesRepeat: [ | got |
          got := port receive.
          got == Late ifFalse: [
              got answer = 42 ifTrue: [ got := got class ] ].
          got == Late ifFalse: [ 'another class' println ] ].
      Late name println ))");
  EXPECT_EQ(ran.out, "Late\n") << ran.err;
  const size_t with_late = counts.loaded.classes;
  EXPECT_EQ(RunMethods("run = ( Port new close. Isolate current )").code, 0);
  EXPECT_EQ(with_late, counts.loaded.classes + 1);
}

// ---- Call sites

TEST_F(ProgramTest, ACallSiteGoesThroughItsStates) {
  for (int i = 1; i <= 7; ++i) {
    const std::string n = std::to_string(i);
    Write("Kind" + n, "Kind" + n + " = ( weigh: x = ( ^x * " + n + " ) )");
  }
  options.hot_code.calls = 0;
  EXPECT_EQ(RunMethods(R"(
      one: x = ( ^x weigh: 1 )
      some: x = ( ^x weigh: 10 )
      many: x = ( ^x weigh: 100 )
      run = ( | all |
        all := Array new: 7.
        all at: 1 put: Kind1 new. all at: 2 put: Kind2 new. all at: 3 put: Kind3 new.
        all at: 4 put: Kind4 new. all at: 5 put: Kind5 new. all at: 6 put: Kind6 new.
        all at: 7 put: Kind7 new.
        1 to: 3 do: [:round |
            (self one: (all at: 1)) println.
            1 to: 3 do: [:i | (self some: (all at: i)) print ]. '' println.
            1 to: 7 do: [:i | (self many: (all at: i)) print ]. '' println ] ))")
                .out,
            "1\n102030\n100200300400500600700\n1\n102030\n100200300400500600700\n"
            "1\n102030\n100200300400500600700\n");
  EXPECT_GE(counts.calls.to_megamorphic, 1u);
  EXPECT_GE(SitesThatAre(Atoll::CallSiteState::kMegamorphic), 1u);
  EXPECT_GE(SitesThatAre(Atoll::CallSiteState::kPolymorphic), 1u);
  EXPECT_GE(SitesThatAre(Atoll::CallSiteState::kMonomorphic), 1u);
  const uint64_t misses = counts.calls.misses;
  // Whoever has met a class does not miss again.
  EXPECT_LE(misses, SitesThatAre(Atoll::CallSiteState::kMonomorphic) +
                        4 * SitesThatAre(Atoll::CallSiteState::kPolymorphic) +
                        7 * SitesThatAre(Atoll::CallSiteState::kMegamorphic));
}

TEST_F(ProgramTest, SendsToSuperFindTheMethodsAbove) {
  Write("Base", "Base = ( name = ( ^'base' ) only = ( ^super foo ) )");
  Write("Derived", "Derived = Base ( name = ( ^'derived from ' + super name ) )");
  EXPECT_EQ(Output(R"(
      3 timesRepeat: [ Derived new name println ].
      Base compile: 'name = ( ^#other asString )'.
      Derived new name println)"),
            "derived from base\nderived from base\nderived from base\nderived from other\n");
  EXPECT_THAT(Error("Base new only"), HasSubstr("Base does not understand #foo"));
}

// ---- Methods that are defined while others run

TEST_F(ProgramTest, AMethodIsReplacedAndAdded) {
  Write("Point", "Point = ( | x | x = ( ^x ) x: v = ( x := v ) )");
  Write("Point3", "Point3 = Point ( )");
  EXPECT_EQ(Output(R"(
      | p q |
      p := Point new. p x: 3. q := Point3 new. q x: 5.
      1 to: 4 do: [:i |
          i = 2 ifTrue: [ Point compile: 'x = ( ^x * 10 )' ].
          i = 3 ifTrue: [ Point3 compile: 'x = ( ^super x + 1 )' ].
          i = 4 ifTrue: [ (Point compile: 'x = ( ^0 - x )') signature println ].
          p x println. q x println ].
      (Point hasMethod: #y) println.
      Point compile: 'y = ( | a | a := 7. ^[ a + x ] value )'.
      p y println. (Point hasMethod: #y) println.
      Point class compile: 'of: v = ( | p | p := self new. p x: v. ^p )'.
      (Point of: 9) y println)"),
            "3\n5\n30\n50\n30\n51\nx\n-3\n-4\nfalse\n10\ntrue\n16\n");
}

TEST_F(ProgramTest, WhatCannotBeCompiledIsSaidAndChangesNothing) {
  EXPECT_THAT(Error("Main compile: 'foo = ( ^'"), HasSubstr("a method of Main:1:"));
  EXPECT_THAT(Error("Main compile: 'foo = ( ) bar = ( )'"), HasSubstr("nothing may follow"));
  EXPECT_THAT(Error("Main compile: ''"), HasSubstr("expected a method"));
  EXPECT_THAT(Error("Main compile: 'foo = ( x := 3 )'"), HasSubstr("'x' cannot be assigned to"));
  EXPECT_THAT(Error("Main compile: 3"), HasSubstr("the source of a method is a String"));
}

TEST_F(ProgramTest, WhoRunsAMethodThatIsReplacedGoesOnInIt) {
  EXPECT_EQ(Output(R"(
      | log |
      log := Array new: 1.
      Main compile: 'slow: b = ( b value. ^#old )'.
      log at: 1 put: (self slow: [ Main compile: 'slow: b = ( ^#new )' ]).
      (log at: 1) println.
      (self slow: [ nil ]) println)"),
            "old\nnew\n");
}

TEST_F(ProgramTest, AMethodIsReplacedWhileManyIsolatesCallIt) {
  options.workers = 3;
  options.hot_code.calls = 500;
  Write("Shared", "Shared = ( value = ( ^1 ) twice = ( ^self value + self value ) )");
  // Each isolate sees values that never go back, and both calls of `twice` may differ by a change.
  const Ran ran = RunMethods(R"(
    run = ( | port |
      port := Port new.
      4 timesRepeat: [
          Isolate spawn: [:p | | it last now ok |
              it := Shared new. last := 0. ok := true.
              [ last < 100 ] whileTrue: [
                  now := it twice.
                  now < last ifTrue: [ ok := false ].
                  last := now ].
              p send: ok ] with: port ].
      2 to: 50 do: [:i | Shared compile: 'value = ( ^' + i asString + ' )' ].
      4 timesRepeat: [ port receive println ] ))");
  EXPECT_EQ(ran.out, "true\ntrue\ntrue\ntrue\n") << ran.err;
  EXPECT_EQ(counts.calls.stops, 49u);
  EXPECT_GE(counts.hot.jobs.requests, 1u);
}

// ---- Optimized code

constexpr const char* kCell = R"(Cell = ( | a b |
    a = ( ^a ) a: x = ( a := x ) b = ( ^b ) b: x = ( b := x ) me = ( ^self ) seven = ( ^7 )
    big = ( ^12345678901234567890 ) nothing = ( ) name = ( ^#cell ) ))";

TEST_F(ProgramTest, WhatIsDoneInPlaceIsTheSame) {
  Write("Cell", kCell);
  Write("Other", R"(Other = ( | x y b |
      a = ( ^'o' ) a: z = ( y := z. ^y ) b = ( ^b ) b: z = ( b := z ) seven = ( ^8 ) ))");
  EXPECT_EQ(Output(R"(
      | cell other all |
      cell := Cell new. other := Other new.
      all := Array new: 3.
      all at: 1 put: cell. all at: 2 put: other. all at: 3 put: Cell new.
      1 to: 6 do: [:i |
          (cell a: i) == cell ifFalse: [ 'setter' println ].
          cell b: cell a + 1.
          cell nothing == cell ifFalse: [ 'empty' println ].
          i = 6 ifTrue: [ (cell a + cell b + cell me seven) println. cell big println ] ].
      1 to: 3 do: [:round |
          all do: [:e | e a: round. e b: round. (e b + e seven) print. e a print. ' ' print ] ].
      '' println.
      cell name println. all length println. 'four' length println. #sym length println.
      (all at: 2) == other ifFalse: [ 'at' println ])"),
            "20\n12345678901234567890\n81 9o 81 92 10o 92 103 11o 103 \ncell\n3\n4\n3\n");
  EXPECT_GE(counts.hot.jobs.installed, 1u);
  EXPECT_GE(counts.hot.sends_in_place, 5u);
}

// What cannot be done in place is a send, with the errors that a send has.
TEST_F(ProgramTest, WhatIsDoneInPlaceFailsAsASendDoes) {
  CompileAtOnce();
  Write("Cell", kCell);
  EXPECT_THAT(Error("| array | array := Array new: 5. 1 to: 6 do: [:i | array at: i put: i ]"),
              HasSubstr("Array>>at:put:: index 6 is outside 1 to 5"));
  EXPECT_THAT(Error("| array | array := Array new: 5. 1 to: 6 do: [:i | array at: i ]"),
              HasSubstr("Array>>at:: index 6 is outside 1 to 5"));
  EXPECT_THAT(Error("| array | array := (Array new: 6) freeze. 1 to: 3 do: [:i | array at: i ]. "
                    "array at: 1 put: 1"),
              HasSubstr("frozen"));
  EXPECT_THAT(Error("| c | c := Cell new. 1 to: 6 do: [:i | c a: i. i = 5 ifTrue: [ c := c freeze "
                    "] ]"),
              HasSubstr("a frozen object cannot be changed"));
  EXPECT_THAT(Error("| c | c := Cell new. 1 to: 6 do: [:i | c a. i = 5 ifTrue: [ c := 3 ] ]"),
              HasSubstr("Integer does not understand #a"));
  options.isolate_limit_bytes = size_t{2} << 20;
  EXPECT_THAT(Error("| list | [ true ] whileTrue: [ | c | c := Cell new. c a: list. list := c ]"),
              HasSubstr("ERROR: Class>>new: out of memory: "));
  options.isolate_limit_bytes = 0;
  EXPECT_THAT(RunMethods("less: x than: y = ( x < y ifTrue: [ ^1 ]. ^2 )\n"
                         "run = ( 1 to: 5 do: [:i | self less: i than: 3 ]. "
                         "(self less: 2.5 than: 3) println. self less: nil than: 3 )")
                  .err,
              HasSubstr("Nil does not understand #<"));
}

// Superinstructions do with numbers that are not small what the instructions do.
TEST_F(ProgramTest, SuperinstructionsKnowTheirLimits) {
  EXPECT_EQ(Output(R"(
      | big x |
      big := 4611686018427387900.
      1 to: 8 do: [:i | big := big + 1. x := big - 3. big > 4611686018427387903 ifTrue: [ big print. ' ' print ] ].
      x println.
      1 to: 3 do: [:i | x := 2.5 + i. x := x - 1. x < 3.0 ifTrue: [ x println ] ].
      1 to: 2.5 do: [:i | i println ].
      (1 to: 0) length println.
      x := 3. [ x > 0 ] whileTrue: [ x := x - 1 ]. x println.
      [ x >= 3 ] whileFalse: [ x := x + 1 ]. x println.
      [ x <> 5 ] whileTrue: [ x := x + 1 ]. x println)"),
            "4611686018427387904 4611686018427387905 4611686018427387906 4611686018427387907 "
            "4611686018427387908 4611686018427387905\n2.5\n1\n2\n0\n0\n3\n5\n");
}

TEST_F(ProgramTest, AReplacedMethodIsNotDoneInPlaceAnyMore) {
  CompileAtOnce();
  Write("Cell", kCell);
  const Ran ran = RunMethods(R"(
    sum: cell = ( ^cell a + cell seven )
    run = ( | cell |
      cell := Cell new. cell a: 1.
      5 timesRepeat: [ self sum: cell ].
      (self sum: cell) println.
      Cell compile: 'a = ( ^a * 100 )'.
      (self sum: cell) println.
      5 timesRepeat: [ self sum: cell ].
      Cell compile: 'seven = ( ^1000 )'.
      (self sum: cell) println ))");
  EXPECT_EQ(ran.out, "8\n107\n1100\n") << ran.err;
  EXPECT_GE(counts.hot.invalidated, 2u);
  EXPECT_GE(counts.hot.jobs.installed, 3u) << "what was invalidated is made again";
}

// A frame that is in optimized code when that is invalidated goes on in it, by sends.
TEST_F(ProgramTest, AFrameInInvalidatedCodeDoesNotUseIt) {
  CompileAtOnce();
  Write("Cell", kCell);
  const Ran ran = RunMethods(R"(
    run = ( | cell |
      cell := Cell new. cell a: 1.
      1 to: 12 do: [:i |
          cell a print.
          i = 8 ifTrue: [ Cell compile: 'a = ( ^2 )' ] ].
      '' println ))");
  EXPECT_EQ(ran.out, "111111112222\n") << ran.err;
}

// ---- Compilations that something comes between

class Gate {
 public:
  void Open() {
    const std::lock_guard<std::mutex> lock(mutex_);
    is_open_ = true;
    opened_.notify_all();
  }
  void Wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    opened_.wait(lock, [this] { return is_open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable opened_;
  bool is_open_ = false;
};

TEST_F(ProgramTest, AMethodIsReplacedWhileItIsCompiled) {
  Write("Cell", kCell);
  // The compiler waits with the method in hand until that has been replaced: by a program that goes
  // on when it is told so by a method that it has been asked for.
  Gate replaced;
  std::atomic<int> compiled{0};
  options.hot_code.calls = 2;
  options.hot_code.calls_per_look = 1;
  options.hot_code.before_compile = [&](const Method& method) {
    if (method.selector->view() != "work:") return;
    if (compiled.fetch_add(1) == 0) replaced.Wait();
  };
  after_run = [then = after_run, &replaced](Universe& universe) {
    // Shutdown has waited for nothing: what is compiled is compiled by then, or cancelled.
    replaced.Open();
    then(universe);
  };
  const Ran ran = RunMethods(R"(
    work: cell = ( ^cell a )
    run = ( | cell |
      cell := Cell new. cell a: 1.
      20 timesRepeat: [ self work: cell ].
      Main compile: 'work: cell = ( ^cell a + 1 )'.
      (self work: cell) println ))");
  EXPECT_EQ(ran.out, "2\n") << ran.err;
  // It was in the compiler's hands, or in its queue.
  EXPECT_GE(counts.hot.jobs.cancelled, 1u);
}

TEST_F(ProgramTest, AnIsolateIsKilledWhileItsCompilationIsQueued) {
  Gate killed;
  options.hot_code.calls = 2;
  options.hot_code.calls_per_look = 1;
  options.hot_code.before_compile = [&](const Method&) { killed.Wait(); };
  after_run = [then = after_run, &killed](Universe& universe) {
    killed.Open();
    then(universe);
  };
  const Ran ran = RunMethods(R"(
    work: x = ( ^x + 1 )
    run = ( | port isolate |
      port := Port new.
      isolate := Isolate spawn: [ | n |
          n := 0.
          [ true ] whileTrue: [ n := self work: n. n = 1000 ifTrue: [ port send: n ] ] ].
      port receive println.
      isolate onEnd: port.
      isolate kill.
      port receive println ))");
  EXPECT_EQ(ran.out, "1000\nthe isolate ended early: it was killed\n") << ran.err;
  EXPECT_GE(counts.hot.jobs.installed, 1u) << "the job belongs to no isolate";
  EXPECT_EQ(counts.hot.jobs.cancelled, 0u);
}

TEST_F(ProgramTest, WhatManyIsolatesMakeHotIsCompiledOnce) {
  options.hot_code.calls_per_look = 7;
  options.hot_code.calls = 70;
  std::mutex mutex;
  std::multiset<const Method*> compiled;
  options.hot_code.before_compile = [&](const Method& method) {
    const std::lock_guard<std::mutex> lock(mutex);
    compiled.insert(&method);
  };
  const Ran ran = RunMethods(R"(
    work: x = ( ^x + 1 )
    run = ( | port |
      port := Port new.
      8 timesRepeat: [
          Isolate spawn: [ | n | n := 0. 500 timesRepeat: [ n := self work: n ]. port send: n ] ].
      8 timesRepeat: [ port receive ].
      'done' println ))");
  EXPECT_EQ(ran.out, "done\n") << ran.err;
  EXPECT_GE(compiled.size(), 1u);
  for (const Method* method : compiled) EXPECT_EQ(compiled.count(method), 1u) << method->Name();
}

}  // namespace
}  // namespace som
