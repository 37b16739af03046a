// Isolates in the language.
#include "som_fixture.h"

namespace som {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class IsolatesTest : public SomTest {};

TEST_F(IsolatesTest, MessagesAreCopiesAndArriveInOrder) {
  EXPECT_EQ(Output(R"(
      | port array |
      port := Port new.
      array := Array with: 1 with: 'two'.
      Isolate spawn: [:p |
          | got |
          got := Array with: 5 with: #six.
          p send: got. got at: 1 put: 0. p send: got. 1 to: 3 do: [:i | p send: i ] ] with: port.
      2 timesRepeat: [ port receive do: [:e | e println ] ].
      3 timesRepeat: [ port receive println ])"),
            "5\nsix\n0\nsix\n1\n2\n3\n");
}

TEST_F(IsolatesTest, ABlockTakesItsVariablesAlong) {
  EXPECT_EQ(Output(R"(
      | port n |
      port := Port new.
      n := 10.
      Isolate spawn: [ n := n + 1. port send: n ].
      port receive println.
      n println)"),
            "11\n10\n");
}

TEST_F(IsolatesTest, GlobalsAndClassSideFieldsAreEachIsolatesOwn) {
  Write("Counter",
        "Counter = ( ---- | n | next = ( n isNil ifTrue: [ n := 0 ]. n := n + 1. ^n ) )");
  EXPECT_EQ(Output(R"(
      | port |
      port := Port new.
      Counter next. Counter next.
      system global: #Setting put: 5.
      Isolate spawn: [:p | p send: Counter next. p send: (system hasGlobal: #Setting) ] with: port.
      port receive println. port receive println. Counter next println)"),
            "1\nfalse\n3\n");
}

TEST_F(IsolatesTest, HandlersRunWhenNothingElseDoes) {
  EXPECT_EQ(Output(R"(
      | port other |
      port := Port new.
      other := Port new.
      port onMessage: [:m | ('handled ' + m) println. m = 3 ifTrue: [ port close ] ].
      Isolate spawn: [ 1 to: 3 do: [:i | port send: i ]. other send: 'waited for' ].
      other receive println.
      other close.
      'the main code ends' println)"),
            "waited for\nthe main code ends\nhandled 1\nhandled 2\nhandled 3\n");
}

TEST_F(IsolatesTest, AHandlerMayWaitItself) {
  EXPECT_EQ(Output(R"(
      | port |
      port := Port new.
      port onMessage: [:m |
          m println.
          (Isolate run: [ m * 100 ]) println.
          m = 2 ifTrue: [ port close ] ].
      Isolate spawn: [ port send: 1. port send: 2 ])"),
            "1\n100\n2\n200\n");
}

TEST_F(IsolatesTest, WhoWaitsGoesOnWithTheStackItHad) {
  const Ran ran = RunMethods(R"(
    deep: n to: port = ( n = 0 ifTrue: [ ^port receive ]. ^n + (self deep: n - 1 to: port) )
    down: n = ( n = 0 ifTrue: [ ^0 ]. ^1 + (self down: n - 1) )
    wait: n then: home = ( | own a b c |
        a := 1. b := Array with: n with: home. own := Port new. c := 'c'.
        home send: own.
        home send: (self deep: n to: own) + (own receive * 1000) + (self down: 300) + a + (b at: 1).
        own close )
    run = ( | home own |
        home := Port new.
        #(0 1 5 13 14 15 16 31 32 60 500) do: [:n |
            Isolate spawn: [:h | self wait: n then: h ] with: home.
            own := home receive.
            own send: 10000.
            system sleepMillis: 1.
            own send: 7.
            (home receive - (n * (n + 1) / 2) - n) println ].
        home close ))");
  EXPECT_EQ(ran.code, 0) << ran.err;
  std::string expected;
  for (int i = 0; i < 11; ++i) expected += "17301\n";
  EXPECT_EQ(ran.out, expected);
}

TEST_F(IsolatesTest, RunGivesTheValueOrTheError) {
  EXPECT_EQ(Output(R"(
      | big |
      (Isolate run: [ 7 ]) println.
      (Isolate run: [ nil ]) println.
      (Isolate run: [:n | n + 1 ] with: 41) println.
      big := Isolate run: [ (1 to: 10000) ].
      (big at: 10000) println.
      (Isolate run: [ Isolate run: [ 'deep' ] ]) println)"),
            "7\nnil\n42\n10000\ndeep\n");
  EXPECT_THAT(Error("Isolate run: [ 3 foo ]. 'never' println"),
              AllOf(HasSubstr("ERROR: Integer does not understand #foo"), HasSubstr("Main>>run")));
  EXPECT_THAT(Error("Isolate run: [ Isolate current kill. [ true ] whileTrue: [ nil ] ]"),
              HasSubstr("ERROR: the isolate ended early: it was killed"));
  EXPECT_THAT(Error("Isolate run: [ system exit ]"),
              HasSubstr("the isolate ended early: it returned"));
}

TEST_F(IsolatesTest, ExitToHandsOverWithoutACopy) {
  EXPECT_EQ(Output(R"(
      | port array |
      port := Port new.
      Isolate spawn: [ Isolate exit: ((1 to: 5000) collect: [:i | Array with: i with: nil ]) to: port. 'never' println ].
      array := port receive.
      array length println. ((array at: 5000) at: 1) println.
      array at: 1 put: 'changed'. (array at: 1) println)"),
            "5000\n5000\nchanged\n");
  EXPECT_THAT(Error("| p | p := Port new. p close. Isolate exit: 3 to: p"),
              HasSubstr("Isolate class>>exit:to:: "));
}

TEST_F(IsolatesTest, EndsAreHeardOf) {
  EXPECT_EQ(Output(R"(
      | port killed |
      port := Port new.
      Isolate spawn: [ 3 ] onEnd: port. port receive println.
      Isolate spawn: [ system exit: 3 ] onEnd: port. port receive println.
      killed := Isolate spawn: [ Port new receive ]. killed onEnd: port. killed kill. port receive println.
      (killed = Isolate current) println.
      killed onEnd: port. port receive println)"),
            "nil\nit exited with 3\nthe isolate ended early: it was killed\nfalse\n"
            "the isolate had ended before it was asked\n");
  EXPECT_THAT(Error("Isolate spawn: [ 3 ] with: 4 onEnd: 5"),
              HasSubstr("third argument is a Port"));
  EXPECT_THAT(Error("Isolate spawn: 3 with: 4 onEnd: Port new"), HasSubstr("begins with a Block"));
}

TEST_F(IsolatesTest, FrozenObjectsAreSharedAndCannotBeChanged) {
  Write("Cell", "Cell = ( | v | v = ( ^v ) v: x = ( v := x ) )");
  EXPECT_EQ(Output(R"(
      | array port |
      port := Port new.
      array := Array with: 1 with: (Array with: 2 with: 'x').
      array isFrozen println.
      array := array freeze.
      array isFrozen println. (array at: 2) isFrozen println.
      Isolate spawn: [:p | p send: array isFrozen. p send: array ] with: port.
      port receive println.
      (port receive == array) println)"),
            "false\ntrue\ntrue\ntrue\ntrue\n");
  EXPECT_THAT(Error("#(1 2) freeze at: 1 put: 3"),
              HasSubstr("ERROR: Array>>at:put:: a frozen object cannot be changed"));
  EXPECT_THAT(Error("Cell new freeze v: 3"), HasSubstr("ERROR: a frozen object cannot be changed"));
  EXPECT_THAT(Error("Cell new freeze instVarAt: 1 put: 3"),
              HasSubstr("a frozen object cannot be changed"));
  EXPECT_THAT(Error("| n b | n := 1. b := [ n := n + 1 ] freeze. b value"),
              HasSubstr("a frozen object cannot be changed"));
}

// ---- Objects that die

TEST_F(IsolatesTest, WeakReferencesKeepNothingAlive) {
  EXPECT_EQ(Output(R"(
      | kept weak array |
      kept := Object new.
      weak := WeakReference on: Object new.
      array := WeakArray new: 4.
      array at: 1 put: kept. array at: 2 put: Object new. array at: 3 put: 5. array at: 4 put: #four.
      system fullGC.
      weak value println.
      (array at: 1) == kept ifTrue: [ 'kept' println ].
      (array at: 2) println. (array at: 3) println. (array at: 4) println.
      array length println)"),
            "nil\nkept\nnil\n5\nfour\n4\n");
  EXPECT_THAT(Error("(WeakArray new: 2) at: 3"), HasSubstr("index 3 is outside 1 to 2"));
  EXPECT_THAT(Error("WeakReference new"), HasSubstr("are not made by new"));
}

TEST_F(IsolatesTest, GuardedObjectsAreGivenBackOnce) {
  EXPECT_EQ(Output(R"(
      | kept dead |
      kept := Array with: 1. kept guard.
      (Array with: 2 with: 3) guard.
      Isolate nextDead println.
      system fullGC.
      dead := Isolate nextDead.
      (dead at: 2) println.
      Isolate nextDead println.
      (kept at: 1) println)"),
            "nil\n3\nnil\n1\n");
  EXPECT_THAT(Error("3 guard"), HasSubstr("Object>>guard: only an object that this isolate may"));
  EXPECT_THAT(Error("#a guard"), HasSubstr("only an object that this isolate may change"));
  EXPECT_THAT(Error("Port new send: Object new guard"), HasSubstr("finalizer"));
}

TEST_F(IsolatesTest, GuardedObjectsGoAlongWhereTheirIsolateExits) {
  EXPECT_EQ(Output(R"(
      | port got |
      port := Port new.
      Isolate spawn: [:p | | mine |
          mine := Array new: 2000.
          1 to: 2000 do: [:i | mine at: i put: Object new ].
          mine guard.
          Isolate exit: mine to: p ] with: port.
      got := port receive.
      got length println.
      got := nil.
      system fullGC.
      Isolate nextDead length println)"),
            "2000\n2000\n");
}

TEST_F(IsolatesTest, OnlyItsIsolateReceivesFromAPort) {
  EXPECT_THAT(Error("| p | p := Port new. Isolate run: [ p receive ]"),
              HasSubstr("ERROR: Port>>receive: the port is closed, or it is another isolate's"));
  EXPECT_THAT(Error("| p | p := Port new. p close. p receive"), HasSubstr("the port is closed"));
  EXPECT_THAT(Error("| p | p := Port new. Isolate run: [ p onMessage: [:m | m ] ]"),
              HasSubstr("another isolate's"));
  EXPECT_EQ(Value("Port new close send: 3"), "false");
}

TEST_F(IsolatesTest, ABlockOfAnotherIsolateCannotReturnFromThisOne) {
  EXPECT_EQ(RunMethods(R"(
      escapedBlock: block = ( ^'escaped' )
      run = ( (Isolate run: [ [ ^3 ] value ]) println )
    )")
                .out,
            "escaped\n");
}

TEST_F(IsolatesTest, AClassThatManyIsolatesLoadAtOnce) {
  Write("Base", "Base = ( ---- base = ( ^1 ) )");
  Write("Late", "Late = Base ( ---- answer = ( ^self base + 41 ) )");
  Write("Broken", "Broken = Base ( foo = ( ");
  EXPECT_EQ(Output(R"(
      | port sum |
      port := Port new.
      50 timesRepeat: [ Isolate spawn: [ port send: Late answer ] ].
      sum := 0.
      50 timesRepeat: [ sum := sum + port receive ].
      sum println)"),
            "2100\n");
  const Ran ran = RunMethods(R"(
    run = ( | port errors |
      port := Port new.
      errors := 0.
      20 timesRepeat: [ Isolate spawn: [ Broken new ] onEnd: port ].
      20 timesRepeat: [ port receive class == String ifTrue: [ errors := errors + 1 ] ].
      port close.
      errors println ))");
  EXPECT_EQ(ran.out, "20\n") << ran.err;
  EXPECT_EQ(ran.code, 0);
}

TEST_F(IsolatesTest, ManyIsolatesThatAllocate) {
  EXPECT_EQ(Output(R"(
      | port sum |
      port := Port new.
      1 to: 20 do: [:i |
          Isolate spawn: [:p |
              | list |
              1 to: 3000 do: [:n | list := Array with: n with: n ].
              p send: (list at: 1) ] with: port ].
      sum := 0.
      20 timesRepeat: [ sum := sum + port receive ].
      sum println)"),
            "60000\n");
}

}  // namespace
}  // namespace som
