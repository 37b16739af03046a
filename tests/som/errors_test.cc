// What is wrong with a program, or happens to it: what is said, and that it hurts nobody else.
#include <thread>

#include "som_fixture.h"

namespace som {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class ErrorsTest : public SomTest {};

TEST_F(ErrorsTest, AnErrorPrintsTheStackAndEndsTheProgram) {
  const Ran ran = RunMethods(
      "a = ( ^self b: 3 )\nb: x = ( ^[ x foo ] value )\nrun = ( 'before' println. self a. 'after' "
      "println )");
  EXPECT_EQ(ran.code, 1);
  EXPECT_EQ(ran.out, "before\n");
  EXPECT_THAT(ran.err, AllOf(HasSubstr("ERROR: Integer does not understand #foo"),
                             HasSubstr("a block in Main>>b: (" + PathOf("Main") + ":3:15)"),
                             HasSubstr("Main>>a (" + PathOf("Main") + ":2:13)"),
                             HasSubstr("Main>>run (" + PathOf("Main") + ":4:32)")));
}

TEST_F(ErrorsTest, TheStackIsPrintedWhateverErrorPrints) {
  const Ran ran = RunMethods(
      "error: words = ( ('ERROR: ' + words) println. system exit: 4 )\nrun = ( self foo )");
  EXPECT_EQ(ran.code, 4);
  EXPECT_EQ(ran.out, "ERROR: Main does not understand #foo\n");
  EXPECT_THAT(ran.err, HasSubstr("  Main>>run (" + PathOf("Main") + ":3:14)\n"));
}

TEST_F(ErrorsTest, ErrorsOfTheCompilerHaveTheirPlace) {
  const std::string place = PathOf("Main") + ":3:";
  EXPECT_THAT(Error("x := 3"), HasSubstr(place + "1: 'x' cannot be assigned to"));
  EXPECT_THAT(Error("| a a | a"), HasSubstr(place + "5: the variable 'a' is declared twice"));
  EXPECT_THAT(Error("[:self | 3 ] value: 4"),
              HasSubstr(place + "3: 'self' cannot name a variable"));
  EXPECT_THAT(Error("3 +"), HasSubstr(PathOf("Main") + ":4:1: expected an expression, found ')'"));
}

TEST_F(ErrorsTest, ClassesThatCannotBeLoaded) {
  EXPECT_THAT(Error("Missing new"), HasSubstr("there is no class or global named Missing"));
  Write("Lonely", "Lonely = Missing ()");
  EXPECT_THAT(Error("Lonely new"),
              HasSubstr(PathOf("Lonely") +
                        ":1:10: the superclass Missing is in no folder of the class path"));
  Write("Self", "Self = Self ()");
  EXPECT_THAT(Error("Self new"), HasSubstr(":1:8: the class inherits from itself: Self -> Self"));
  Write("One", "One = Two ()");
  Write("Two", "Two = Three ()");
  Write("Three", "Three = One ()");
  EXPECT_THAT(
      Error("One new"),
      HasSubstr("Three.som:1:9: the class inherits from itself: One -> Two -> Three -> One"));
  Write("Other", "Another = ()");
  EXPECT_THAT(Error("Other new"), HasSubstr(":1:1: the file of class Other defines Another"));
  Write("Broken", "Broken = ( foo = ( ");
  Write("Below", "Below = Broken ()");
  EXPECT_THAT(Error("Below new"),
              HasSubstr("Broken.som:1:20: expected ) at the end of method foo"));
  Write("Fields", "Fields = Array ( | a | )");
  EXPECT_THAT(Error("Fields new"),
              HasSubstr(":1:20: a class that inherits from Array has no fields"));
  EXPECT_THAT(Error("system load: #'../Main'. 3 foo"),
              HasSubstr("Integer does not understand #foo"));
}

TEST_F(ErrorsTest, FilesThatCannotBeRead) {
  std::filesystem::create_directory(PathOf("Folder"));
  EXPECT_THAT(Error("Folder new"),
              HasSubstr(PathOf("Folder") + ": the file cannot be read: Is a directory"));
  std::filesystem::create_symlink(PathOf("Loop"), PathOf("Loop"));
  EXPECT_THAT(Error("Loop new"), HasSubstr(PathOf("Loop") + ": the file cannot be read: "));
  EXPECT_EQ(Value("system loadFile: '" + PathOf("Folder") + "'"), "nil");
  EXPECT_EQ(Value("system loadFile: '" + PathOf("Nowhere") + "'"), "nil");
}

TEST_F(ErrorsTest, AFolderOfTheClassPathThatIsNotThere) {
  Write("File", "");
  options.class_path.push_back(PathOf("File"));
  EXPECT_THAT(Run("Hello").err,
              HasSubstr("classes cannot be looked for in " + PathOf("File") + ": Not a directory"));
  options.class_path.back() = PathOf("Nowhere");
  const Ran ran = Run("Hello");
  EXPECT_EQ(ran.code, -1);
  EXPECT_THAT(ran.err, HasSubstr(": No such file or directory; the class path (-cp) names"));
}

TEST_F(ErrorsTest, AnIsolateThatIsKilledWhileItLoadsAClass) {
  std::string large = "Large = (\n";
  for (int i = 0; i < 2000; ++i) {
    large += "m" + std::to_string(i) + ": x = ( ^[:y | y + x * " + std::to_string(i) + " ] )\n";
  }
  Write("Large", large + "---- answer = ( ^42 ) )");
  // Each is killed somewhere before, in, or after its load; the last load is whole in any case.
  EXPECT_EQ(Output(R"(
      | isolates end |
      end := Port new.
      isolates := Array new: 20.
      1 to: 20 do: [:i |
          isolates at: i put: (Isolate spawn: [ Large new. [ true ] whileTrue: [ nil ] ]) ].
      isolates do: [:each | each onEnd: end. each kill ].
      20 timesRepeat: [ end receive ].
      end close.
      Large answer println.
      ((Large new m7: 3) value: 2) println)"),
            "42\n35\n");
}

TEST_F(ErrorsTest, AStackOverflowEndsItsIsolateAlone) {
  options.stack_limit_bytes = 1 << 20;
  const Ran ran = RunMethods(R"(
    down = ( ^1 + self down )
    run = ( | end sum |
      end := Port new.
      10 timesRepeat: [ Isolate spawn: [ self down ] onEnd: end ].
      Isolate spawn: [ 1 to: 100000 do: [:i | i + i ] ] onEnd: end.
      sum := 0.
      11 timesRepeat: [ end receive isNil ifTrue: [ sum := sum + 1 ] ].
      end close.
      (sum asString + ' ended well') println ))");
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(ran.out, "1 ended well\n");
  EXPECT_THAT(ran.err, HasSubstr("ERROR: the stack overflows"));
}

TEST_F(ErrorsTest, AFailedLoadLeavesNothingBehind) {
  Write("Broken", "Broken = ( foo = ( x := 3 ) )");
  const Ran ran = RunMethods(R"(
    error: words = ( 'wrong' println )
    unknownGlobal: name = ( ^system load: name )
    run = ( [:s | s load: #Broken ] value: self. (system hasGlobal: #Broken) println )
    load: name = ( | p | p := Isolate spawn: [ system load: name ]. ^p )
    )");
  EXPECT_EQ(ran.code, 0);
  EXPECT_EQ(ran.out, "false\n");
}

TEST_F(ErrorsTest, PrimitivesCheckTheirArguments) {
  const std::vector<std::pair<const char*, const char*>> wrongs = {
      {"3 + 'x'", "Integer>>+: the argument is a number, not an instance of String"},
      {"3 / 0", "Integer>>/: division by zero"},
      {"(1 << 80) % 0", "Integer>>%: division by zero"},
      {"3 < nil", "Integer>><: the argument is a number, not an instance of Nil"},
      {"3 & 2.0", "Integer>>&: the argument is an Integer, not an instance of Double"},
      {"1 << -1", "Integer>><<: a shift is by 0 to 2^30 bits, not by -1"},
      {"1 >>> (1 << 80)", "a shift is by 0 or more bits"},
      {"0 atRandom", "below a positive Integer"},
      {"'x1' asInteger", "Integer class>>fromString:: 'x1' is no Integer"},
      {"Integer fromString: 3", "the argument is a String"},
      {"Double PositiveInfinity asInteger", "Infinity is no Integer"},
      {"1.0 * 'x'", "Double>>*: the argument is a number"},
      {"#(1 2) at: 3", "Array>>at:: index 3 is outside 1 to 2"},
      {"#(1 2) at: 0 put: 1", "index 0 is outside 1 to 2"},
      {"#(1 2) at: (1 << 70)", "is outside 1 to 2"},
      {"#(1 2) at: 'x'", "an index is an Integer, not an instance of String"},
      {"Array new: -1", "the length of an Array is an Integer from 0"},
      {"Array new: 'x'", "the length of an Array is an Integer from 0"},
      {"'abc' charAt: 4", "a position is an Integer from 1 to 3"},
      {"'abc' substringFrom: 0 to: 2", "positions 0 to 2 are outside 1 to 3"},
      {"'abc' substringFrom: 'a' to: 2", "positions are Integers"},
      {"'abc' concatenate: 3", "the argument is a String"},
      {"Integer new", "instances of Integer are not made by new"},
      {"Symbol new", "instances of Symbol are not made by new"},
      {"3 perform: 4", "a selector is a Symbol, not an instance of Integer"},
      {"3 perform: #+", "#+ takes 1 arguments, and gets 0"},
      {"3 perform: #+ withArguments: #(1 2)", "#+ takes 1 arguments, and gets 2"},
      {"3 perform: #+ withArguments: 4", "the arguments are an Array"},
      {"3 perform: #length inSuperclass: Array", "it is no class that the receiver inherits from"},
      {"3 perform: #length inSuperclass: 5", "it is no class that the receiver inherits from"},
      {"3 perform: #foo inSuperclass: Object", "instances of Object do not understand #foo"},
      {"(Array methods at: 1) invokeOn: 3 with: #(1)",
       "its receivers are instances of Array, not of Integer"},
      {"(Object methods at: 1) invokeOn: 3 with: #(1)", "the method takes 0 arguments, and gets 1"},
      {"(Object methods at: 1) invokeOn: 3 with: nil", "the arguments are an Array"},
      {"3 instVarAt: 1", "instances of Integer have fields 1 to 0"},
      {"3 instVarNamed: #x", "instances of Integer have no such field"},
      {"system global: 'x'", "a global is named by a Symbol, not by an instance of String"},
      {"system load: 3", "a global is named by a Symbol"},
      {"system printString: 3", "what is printed is a String, not an instance of Integer"},
      {"system exit: nil", "an exit code is an Integer"},
      {"system sleepMillis: -1", "a time is an Integer from 0 on"},
      {"Isolate spawn: 3 with: 4", "an isolate begins with a Block"},
      {"Isolate spawn: [:a :b | a ] with: 4", "takes at most one argument"},
      {"Isolate run: [:a | a ]", "is a Block with 0 parameters"},
      {"Isolate exit: 3 to: 4", "the second argument is a Port"},
      {"Isolate current onEnd: 4", "the argument is a Port"},
  };
  for (const auto& [expression, error] : wrongs) {
    EXPECT_THAT(Error(expression), HasSubstr(error)) << expression;
  }
}

TEST_F(ErrorsTest, AnUnknownPrimitiveFailsWhenItIsCalled) {
  Write("Odd", "Odd = ( fine = ( ^3 ) strange = primitive )");
  EXPECT_EQ(Value("Odd new fine"), "3");
  EXPECT_THAT(Error("Odd new strange"),
              HasSubstr("Odd>>strange: the virtual machine does not know this primitive"));
}

TEST_F(ErrorsTest, AStackOverflowIsAnError) {
  options.stack_limit_bytes = 1 << 20;
  const Ran ran = RunMethods("down = ( ^1 + self down )\nrun = ( self down )");
  EXPECT_EQ(ran.code, 1);
  EXPECT_THAT(ran.err, AllOf(HasSubstr("ERROR: the stack overflows"), HasSubstr("Main>>down"),
                             HasSubstr(" more ...")));
  const Ran again =
      RunMethods("error: words = ( ^self down )\ndown = ( ^1 + self down )\nrun = ( self down )");
  EXPECT_EQ(again.code, 1);
  EXPECT_THAT(again.err, HasSubstr("ERROR: the stack overflows again"));
}

TEST_F(ErrorsTest, AnExhaustedLimitIsAnErrorOfItsIsolateAlone) {
  options.isolate_limit_bytes = size_t{4} << 20;
  const Ran ran = RunMethods(R"(
    grow = ( | list | [ true ] whileTrue: [ list := Array with: list with: list ] )
    run = ( | port |
      port := Port new.
      Isolate spawn: [ self grow ] onEnd: port.
      port receive println.
      port close.
      'on' println
    ))");
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_THAT(ran.out, AllOf(HasSubstr("out of memory: "), HasSubstr("\non\n")));
}

TEST_F(ErrorsTest, ALargeArrayThatIsRefused) {
  options.isolate_limit_bytes = size_t{4} << 20;
  EXPECT_THAT(Error("Array new: 100000000"),
              HasSubstr("ERROR: Array class>>new:: out of memory: "));
}

TEST_F(ErrorsTest, WithoutDoesNotUnderstandThereIsAnErrorStill) {
  Write("Bare", "Bare = nil ( class = primitive )");
  EXPECT_THAT(
      Error("Bare new foo"),
      HasSubstr("instances of Bare understand neither #foo nor #doesNotUnderstand:arguments:"));
}

TEST_F(ErrorsTest, ExitCodes) {
  EXPECT_EQ(RunMethods("run = ( system exit: 7. 'never' println )").code, 7);
  EXPECT_EQ(RunMethods("run = ( system exit. 'never' println )").code, 0);
  const Ran ran =
      RunMethods("run = ( Isolate spawn: [ [ true ] whileTrue: [ nil ] ]. system exit: 5 )");
  EXPECT_EQ(ran.code, 5);
  EXPECT_EQ(ran.err, "");
}

TEST_F(ErrorsTest, AnInterruptEndsEverything) {
  Write("Main",
        "Main = ( run = ( Isolate spawn: [ Port new receive ]. [ true ] whileTrue: [ nil ] ) )");
  auto universe = Universe::Create(options);
  ASSERT_TRUE(universe.ok()) << universe.status().message();
  std::thread interrupt([&] { universe.value()->Interrupt(130); });
  EXPECT_EQ(universe.value()->Run({"Main"}), 130);
  interrupt.join();
}

TEST_F(ErrorsTest, ACoreThatIsMissingOrWrong) {
  options.class_path = {SOM_FOLDER "/programs"};
  EXPECT_THAT(Run("Hello").err,
              HasSubstr("the core class Object is in no folder of the class path"));
  Write("Integer", "Integer = ( + x = ( ^y := 3 ) )");
  options.class_path = {PathOf("Integer").substr(0, PathOf("Integer").rfind('/')),
                        SOM_FOLDER "/lib"};
  EXPECT_THAT(Run("Hello").err, HasSubstr("Integer.som:1:22: 'y' cannot be assigned to"));
}

}  // namespace
}  // namespace som
