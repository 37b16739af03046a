// Sources that were damaged, and primitives with any arguments: no crash, no hang.
#include <cstdlib>
#include <random>
#include <sstream>

#include "parser.h"
#include "som_fixture.h"

namespace som {
namespace {

using ::testing::HasSubstr;

class FuzzTest : public SomTest {
 protected:
  FuzzTest() {
    const char* seed = std::getenv("ATOLL_SEED");
    seed_ = seed == nullptr ? 1 : std::strtoull(seed, nullptr, 10);
    random_.seed(seed_);
  }
  static std::string SourceOf(const std::string& program) {
    std::ifstream file(SOM_FOLDER "/programs/" + program + ".som");
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  size_t Below(size_t bound) {
    return std::uniform_int_distribution<size_t>(0, bound - 1)(random_);
  }
  /// A few characters away, doubled, or in another place.
  std::string Damage(std::string text) {
    const size_t damages = 1 + Below(4);
    for (size_t i = 0; i < damages && text.size() > 20; ++i) {
      const size_t from = Below(text.size() - 10);
      const std::string piece = text.substr(from, 1 + Below(8));
      switch (Below(3)) {
        case 0:
          text.erase(from, piece.size());
          break;
        case 1:
          text.insert(Below(text.size()), piece);
          break;
        default:
          text[from] = "()[]|.:=^#'\"-;x3 "[Below(17)];
          break;
      }
    }
    return text;
  }

  uint64_t seed_ = 0;
  std::mt19937_64 random_;
};

TEST_F(FuzzTest, DamagedSourcesAreParsedOrRefused) {
  for (const char* program : {"JsonReader", "Constraints", "Ring"}) {
    const std::string source = SourceOf(program);
    ASSERT_FALSE(source.empty());
    for (int i = 0; i < 1000; ++i) {
      SourceError error;
      const auto node = ParseClass("A.som", Damage(source), &error);
      ASSERT_EQ(node == nullptr, static_cast<bool>(error)) << "seed " << seed_ << ", round " << i;
      if (node == nullptr) {
        ASSERT_GE(error.at.line, 1u);
      }
    }
  }
}

TEST_F(FuzzTest, DamagedSourcesAreLoadedOrRefused) {
  // Not run: what they would do nobody knows.
  const std::string source = SourceOf("JsonReader");
  for (int i = 0; i < 60; ++i) {
    Write("JsonReader", Damage(source));
    const Ran ran = RunMethods(
        "error: words = ( 'refused' println )\nrun = ( (system load: #JsonReader) notNil println "
        ")");
    ASSERT_TRUE(ran.code == 0 || ran.code == 1) << "seed " << seed_ << ", round " << i;
    ASSERT_THAT(ran.out + ran.err,
                ::testing::AnyOf(HasSubstr("true"), HasSubstr("ERROR: System>>load:: ")));
  }
}

TEST_F(FuzzTest, PrimitivesBearAnyArguments) {
  const Ran ran = RunMethods(R"(
    | field |
    run = (
      | values classes port tried |
      port := Port new.
      tried := 0.
      values := Vector new.
      values , 3 , -1 , (1 << 70) , 2.5 , 'text' , '' , #sym , #+ , nil , true , Object , Main , Object class , system.
      values , [ 3 ] , [:x | x ] , [:x :y | y ] , (Object methods at: 1) , (Main methods at: 1) , Isolate current.
      values append: (Array with: 1 with: 'x').
      values append: (Array new: 0).
      values append: Main new.
      values append: Port new.
      values append: (Array with: 1 with: 2) freeze.
      classes := Vector new.
      classes , Object , Class , Integer , Double , String , Symbol , Array , Block , Block1 , Block2 , Block3.
      classes , Method , Primitive , System , Port , Isolate.
      classes do: [:class |
        #(1 2) do: [:side | | methods |
          methods := side = 1 ifTrue: [ class methods ] ifFalse: [ class class methods ].
          methods do: [:method |
            (method class == Primitive and: [ (self blocks: method signature) not ]) ifTrue: [
              values do: [:receiver |
                (self is: receiver kindOf: method holder) ifTrue: [
                  values do: [:argument |
                    tried := tried + 1.
                    Isolate spawn: [ self try: method on: receiver with: argument ] onEnd: port.
                    port receive ] ] ] ] ] ] ].
      tried > 2000 ifTrue: [ 'all tried' println ]
    )
    blocks: name = ( ^#(#receive #kill #onEnd: #sleepMillis: #restart #halt #printStackTrace #inspect) contains: name )
    is: object kindOf: class = (
      | at |
      at := object class.
      [ at isNil ] whileFalse: [ at == class ifTrue: [ ^true ]. at := at superclass ].
      ^false
    )
    "Errors end the isolate; there would be too many words"
    error: words = ( system exit: 0 )
    try: method on: receiver with: argument = (
      | arguments count |
      count := 0.
      method signature do: [:char | char = ':' ifTrue: [ count := count + 1 ] ].
      (count = 0 and: [ (method signature charAt: 1) isLetters not ]) ifTrue: [ count := 1 ].
      arguments := Array new: count.
      1 to: count do: [:i | arguments at: i put: argument ].
      method invokeOn: receiver with: arguments
    )
    )");
  EXPECT_EQ(ran.code, 0);
  EXPECT_THAT(ran.out, HasSubstr("all tried\n")) << ran.err.substr(0, 2000);
}

}  // namespace
}  // namespace som
