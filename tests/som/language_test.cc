// What programs mean.
#include "som_fixture.h"

namespace som {
namespace {

using ::testing::HasSubstr;

class LanguageTest : public SomTest {};

TEST_F(LanguageTest, SendsBindUnaryBinaryKeyword) {
  EXPECT_EQ(Value("3 + 4 * 2"), "14");
  EXPECT_EQ(Value("3 + (4 * 2)"), "11");
  EXPECT_EQ(Value("#(7 8 9) at: 1 + 1"), "8");
  EXPECT_EQ(Value("3 - -4 negated"), "-1");
}

TEST_F(LanguageTest, BlocksCaptureVariablesThatStay) {
  const Ran ran = RunMethods(R"(
    counter = ( | n | n := 0. ^[ n := n + 1. n ] )
    adder: a = ( ^[:b | a := a + b. a ] )
    nested = ( | x | x := 1. ^[ | y | y := x + 1. [ | z | z := x + y. x := z. z ] ] )
    run = (
      | one two add inner |
      one := self counter. two := self counter.
      one value. one value. (one value * 10 + two value) println.
      add := self adder: 5. add value: 1. (add value: 2) println.
      inner := self nested value. inner value println. inner value println.
      ([:a :b | a - b ] value: 7 with: 3) println.
      [] value println
    ))");
  EXPECT_EQ(ran.out, "31\n8\n3\n5\n4\nnil\n") << ran.err;
}

TEST_F(LanguageTest, EachRoundOfALoopHasItsOwnVariables) {
  EXPECT_EQ(Output(R"(
      | blocks i |
      blocks := Vector new.
      1 to: 3 do: [:n | | twice | twice isNil println. twice := n * 2. blocks append: [ n + twice ] ].
      i := 0.
      [ i < 2 ] whileTrue: [ | own | own := i. i := i + 1. blocks append: [ own ] ].
      blocks do: [:block | block value println ])"),
            "true\ntrue\ntrue\n3\n6\n9\n0\n1\n");
}

TEST_F(LanguageTest, SoHasABlockInALoopThatIsCompiledInPlace) {
  EXPECT_EQ(Output(R"(
      | blocks i |
      blocks := Vector new.
      1 to: 3 do: [:n | n > 0 ifTrue: [ | v | v := n. blocks append: [ v ] ] ].
      i := 0.
      [ i < 2 ] whileTrue: [ i := i + 1. true and: [ | w | w := i * 10. blocks append: [ w ]. true ] ].
      blocks do: [:block | block value println ])"),
            "1\n2\n3\n10\n20\n");
}

TEST_F(LanguageTest, DeeplyNestedLoopsAreCompiledInNoTime) {
  std::string loops = "n := n + 1";
  for (int i = 0; i < 100; ++i) {
    const std::string name = "v" + std::to_string(i);
    loops = "| " + name + " | " + name + " := 0. [ " + name + " < 1 ] whileTrue: [ " + name +
            " := " + name + " + 1. true ifTrue: [ " + loops + " ] ]";
  }
  EXPECT_EQ(Output("| n | n := 0. true ifTrue: [ " + loops + " ]. n println"), "1\n");
}

TEST_F(LanguageTest, NonLocalReturn) {
  const Ran ran = RunMethods(R"(
    find: x in: array = ( array do: [:e | #(1) do: [:f | e = x ifTrue: [ ^'found' ] ] ]. ^'none' )
    run = (
      (self find: 3 in: #(1 2 3)) println.
      (self find: 4 in: #(1 2 3)) println.
      self deep: 100
    )
    deep: n = ( n = 0 ifTrue: [ ^self ]. [ ^self deep: n - 1 ] value )
    )");
  EXPECT_EQ(ran.out, "found\nnone\n") << ran.err;
}

TEST_F(LanguageTest, AnEscapedBlockAsksItsObject) {
  const Ran ran = RunMethods(R"(
    | count |
    escaping = ( ^[:x | ^x ] )
    escapingDeep = ( [ [ ^[ ^43 ] ] value ] value )
    escapedBlock: block = ( count := count + 1. ^666 )
    run = (
      count := 0.
      (1 + (self escaping value: 5)) println.
      self escapingDeep value println.
      count println
    ))");
  EXPECT_EQ(ran.out, "667\n666\n2\n") << ran.err;
}

TEST_F(LanguageTest, RestartBeginsTheFrameAgain) {
  const Ran ran = RunMethods(R"(
    | n |
    run = (
      n := 0.
      [ n := n + 1. n < 5 ] whileTrue: self block.
      n println.
      self upTo: 3
    )
    block = ( ^[ nil ] )
    upTo: limit = (
      | kept |
      kept := [ limit ].
      n := n - 1.
      n println.
      n > limit ifFalse: [ ^self ].
      kept restart
    )
    )");
  EXPECT_EQ(ran.out, "5\n4\n3\n") << ran.err;
}

TEST_F(LanguageTest, SuperBeginsAboveTheHolder) {
  Write("Low",
        "Low = High ( name = ( ^'low ' + super name ) viaBlock = ( ^[ super name ] value ) )");
  Write("High", "High = ( name = ( ^'high of ' + self kind ) kind = ( ^'?' ) )");
  Write("Lowest", "Lowest = Low ( kind = ( ^'lowest' ) )");
  EXPECT_EQ(Value("Lowest new name"), "low high of lowest");
  EXPECT_EQ(Value("Lowest new viaBlock"), "high of lowest");
}

TEST_F(LanguageTest, SelfIsNotChanged) {
  EXPECT_EQ(
      Output("| that | that := super. self := 43. (that == self) println. (self := 5) println"),
      "true\n5\n");
}

TEST_F(LanguageTest, ASymbolEqualsAStringOfItsText) {
  EXPECT_EQ(Value("#foo = 'foo'"), "true");
  EXPECT_EQ(Value("'foo' = #foo"), "true");
  EXPECT_EQ(Value("#foo = #foo"), "true");
  EXPECT_EQ(Value("#foo = #fo"), "false");
  EXPECT_EQ(Value("'foo' = 3"), "false");
  EXPECT_EQ(Value("#foo == 'foo'"), "false");
  EXPECT_EQ(Value("#foo == #foo asString"), "false");
  EXPECT_EQ(Value("#foo hashcode = 'foo' hashcode"), "true");
}

TEST_F(LanguageTest, TicksCountFromTheStart) { EXPECT_EQ(Value("system ticks > 0"), "true"); }

TEST_F(LanguageTest, DoesNotUnderstandGetsSelectorAndArguments) {
  const Ran ran = RunMethods(R"(
    doesNotUnderstand: selector arguments: arguments = (
      ^selector + ' ' + arguments length )
    run = ( self foo println. (self a: 1 b: 2) println. (self +++ 3) println )
    )");
  EXPECT_EQ(ran.out, "foo 0\na:b: 2\n+++ 1\n") << ran.err;
}

TEST_F(LanguageTest, ConditionsThatAreNoBooleanDoNotUnderstandThem) {
  const Ran ran = RunMethods(R"(
    doesNotUnderstand: selector arguments: arguments = ( ^selector )
    run = (
      (self ifTrue: [ 1 ] ifFalse: [ 2 ]) println.
      (self and: [ true ]) println.
      (self ifTrue: [ 1 ]) println.
      self ifFalse: [ 'never' println ].
      [ self ] whileTrue: [ 'never' println ].
      'on' println
    ))");
  EXPECT_EQ(ran.out, "ifTrue:ifFalse:\nand:\nifTrue:\non\n") << ran.err;
}

TEST_F(LanguageTest, ValuesThatNobodyWantsAreLeftNowhere) {
  EXPECT_EQ(Output(R"(
      | x y |
      x := 1.
      y := 10 - ([ 1 to: 3 do: [:i | false and: [ x := 3 ]. true or: [ x := 4 ]. true and: [ x := x + 1 ] ]. x ] value).
      y println.
      x println.
      y := 1.
      (7 - (true ifTrue: [ false and: [ y := 9 ]. 2 ])) println.
      y println)"),
            "6\n4\n5\n1\n");
}

TEST_F(LanguageTest, UnknownGlobalsAreAskedFor) {
  const Ran ran = RunMethods(R"(
    unknownGlobal: name = ( ^'no ' + name )
    run = ( Nowhere println. system global: #Nowhere put: 5. Nowhere println )
    )");
  EXPECT_EQ(ran.out, "no Nowhere\n5\n") << ran.err;
}

TEST_F(LanguageTest, ClassesAreLoadedWhenTheyAreNamed) {
  Write("Late",
        "Late = ( hello = ( ^'late' ) ---- | count | next = ( count isNil ifTrue: [ count := 0 ]. "
        "count := count + 1. ^count ) )");
  EXPECT_EQ(Output("(system hasGlobal: #Late) println. Late new hello println. (system hasGlobal: "
                   "#Late) println. "
                   "Late next. Late next println"),
            "false\nlate\ntrue\n2\n");
}

TEST_F(LanguageTest, ClassSideFieldsAreInheritedButNotShared) {
  Write("Above", "Above = ( ---- | n | n = ( ^n ) n: x = ( n := x ) )");
  Write("Below", "Below = Above ( ---- | m | m: x = ( m := x ) both = ( ^self n + m ) )");
  EXPECT_EQ(Output("Above n: 1. Below n: 10. Below m: 5. Above n println. Below n println. Below "
                   "both println. Below class class println"),
            "1\n10\n15\nMetaclass\n");
}

TEST_F(LanguageTest, AFieldHidesTheSuperclassesOfItsName) {
  Write("Above", "Above = ( | x | above = ( ^x ) above: v = ( x := v ) )");
  Write("Below", "Below = Above ( | x | below = ( ^x ) below: v = ( x := v ) )");
  EXPECT_EQ(Output("| b | b := Below new. b above: 1. b below: 2. b above println. b below "
                   "println. Below fields length println"),
            "1\n2\n2\n");
}

TEST_F(LanguageTest, Literals) {
  EXPECT_EQ(Value("'a\\tb\\\\\\'' length"), "5");
  EXPECT_EQ(Value("'\\0rest' length"), "5");
  EXPECT_EQ(Value("#at:put:"), "at:put:");
  EXPECT_EQ(Value("#'two words' = 'two words' asSymbol"), "true");
  EXPECT_EQ(Value("#foo == 'foo' asSymbol"), "true");
  EXPECT_EQ(Value("#(1 #(2 #x) 'y' -3.5) length"), "4");
  EXPECT_EQ(Value("(#(1 #(2 #x)) at: 2) at: 2"), "x");
  EXPECT_EQ(Value("-2.25"), "-2.25");
  EXPECT_EQ(Value("12345678901234567890123"), "12345678901234567890123");
}

TEST_F(LanguageTest, ALiteralArrayIsTheSameEachTime) {
  const Ran ran = RunMethods(
      "a = ( ^#(1 2) )\n run = ( self a at: 1 put: 9. (self a at: 1) println. (self a == self a) "
      "println )");
  EXPECT_EQ(ran.out, "9\ntrue\n") << ran.err;
}

TEST_F(LanguageTest, Reflection) {
  const Ran ran = RunMethods(R"(
    | a |
    a = ( ^a ) a: x = ( a := x )
    run = (
      (3 perform: #class) println.
      (3 perform: #between:and: withArguments: #(1 4)) println.
      (Main methods at: 2) signature println.
      (Main methods at: 1) holder println.
      (Main methods at: 1) class println.
      (Object methods at: 1) class println.
      (Main methods at: 2) invokeOn: self with: #(55).
      ((Main methods at: 1) invokeOn: self with: #()) println.
      ((Object methods at: 1) invokeOn: 23 with: #()) println.
      (self instVarAt: 1) println. self instVarAt: 1 put: 6. (self instVarNamed: #a) println.
      (self respondsTo: #a:) println. (self respondsTo: #b) println.
      (self perform: #isNil inSuperclass: Object) println.
      Main superclass println. Object superclass println. 3 class class class println.
      Main fields length println. Main name println. Main class name println
    ))");
  EXPECT_EQ(
      ran.out,
      "Integer\ntrue\na:\nMain\nMethod\nPrimitive\n55\nInteger\n55\n6\ntrue\nfalse\nfalse\nObject\n"
      "nil\nMetaclass\n1\nMain\nMain class\n")
      << ran.err;
}

TEST_F(LanguageTest, TheBootstrapIsClosed) {
  EXPECT_EQ(Output("Object class superclass println. Class class class println. Metaclass class "
                   "class println. "
                   "Metaclass class name println. Object class class println. nil class println. "
                   "true class superclass println"),
            "Class\nMetaclass\nMetaclass\nMetaclass class\nMetaclass\nNil\nBoolean\n");
}

TEST_F(LanguageTest, DeepRecursionIsNoMatterOfTheNativeStack) {
  const Ran ran = RunMethods(
      "down: n = ( n = 0 ifTrue: [ ^0 ]. ^1 + (self down: n - 1) )\n run = ( (self down: 30000) "
      "println )");
  EXPECT_EQ(ran.out, "30000\n") << ran.err;
}

}  // namespace
}  // namespace som
