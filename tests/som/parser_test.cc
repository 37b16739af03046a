// Class files that are wrong: what is said, and where.
#include "parser.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "lexer.h"

namespace som {
namespace {

using ::testing::HasSubstr;

std::string ErrorOf(const std::string& source) {
  SourceError error;
  const auto node = ParseClass("A.som", source, &error);
  EXPECT_EQ(node == nullptr, static_cast<bool>(error));
  return error ? error.ToString() : "";
}

struct Wrong {
  const char* source;
  const char* error;
};

TEST(ParserTest, EveryKindOfErrorHasItsPlace) {
  for (const Wrong& wrong : std::vector<Wrong>{
           {"", "A.som:1:1: expected the name of a class, found the end of the file"},
           {"A (", "A.som:1:3: expected = behind the name of the class, found '('"},
           {"A = B", "A.som:1:6: expected ( before the fields and methods"},
           {"A = (", "A.som:1:6: expected a method, or ) at the end of the class"},
           {"A = ()\nB", "A.som:2:1: nothing may follow the class, found identifier 'B'"},
           {"A = ( | a b ", "A.som:1:13: expected a name, or | at the end of the names"},
           {"A = ( | 3 | )",
            "A.som:1:9: expected a name, or | at the end of the names, found number 3"},
           {"A = ( foo )", "A.som:1:11: expected = behind the pattern of method foo, found ')'"},
           {"A = ( foo = bar )", "A.som:1:13: expected ( or primitive behind foo ="},
           {"A = ( at: = () )", "A.som:1:11: expected the name of a parameter of at:, found '='"},
           {"A = ( + 3 = () )", "A.som:1:9: expected the name of a parameter of +, found number 3"},
           {"A = ( foo = ( ^3. 4 ) )", "A.som:1:19: nothing can follow ^, found number 4"},
           {"A = ( foo = ( self bar", "A.som:1:23: expected ) at the end of method foo"},
           {"A = ( foo = ( (3 ) )", "A.som:1:21: expected a method, or ) at the end of the class"},
           {"A = ( foo = ( (3 ]) )",
            "A.som:1:18: expected ) at the end of the expression in parentheses"},
           {"A = ( foo = ( [ 3 ) )", "A.som:1:19: expected ] at the end of the block, found ')'"},
           {"A = ( foo = ( [:a :b :c | 3 ] ) )", "A.som:1:15: a block has at most two parameters"},
           {"A = ( foo = ( [:a 3 ] ) )", "A.som:1:19: expected | behind the block's parameters"},
           {"A = ( foo = ( [: | 3 ] ) )", "A.som:1:18: expected the name of a block's parameter"},
           {"A = ( foo = ( #(1 2 )", "A.som:1:22: expected ) at the end of method foo"},
           {"A = ( foo = ( #(1 a) ) )", "A.som:1:19: expected an expression, found identifier 'a'"},
           {"A = ( foo = ( #(1 2", "a literal, or ) at the end of the array that begins at line 1"},
           {"A = ( foo = ( 3 + ) )", "A.som:1:19: expected an expression, found ')'"},
           {"A = ( foo = ( self at: ) )", "A.som:1:24: expected an expression, found ')'"},
           {"A = ( foo = ( a := ) )", "A.som:1:20: expected an expression, found ')'"},
           {"A = (\n foo = ( 'abc )\n)", "A.som:2:10: the string that begins here has no end"},
           {"A = (\n\"comment\n)", "A.som:2:1: the comment that begins here has no end"},
           {"A = ( foo = ( 'a\\q' ) )", "A.som:1:17: \\q is no escape"},
           {"A = ( foo = ( # ) )", "A.som:1:15: behind # stands a name"},
           {"A = ( foo = ( 3 ; 4 ) )", "A.som:1:17: ';' begins nothing that SOM knows"},
           {"A = ( foo = ( - ) )", "A.som:1:17: expected an expression, found ')'"},
       }) {
    EXPECT_THAT(ErrorOf(wrong.source), HasSubstr(wrong.error)) << wrong.source;
  }
}

TEST(ParserTest, DeepNestingIsRefusedNotOverflown) {
  const std::string open(100'000, '(');
  EXPECT_THAT(ErrorOf("A = ( foo = " + open), HasSubstr("nested more than 500 deep"));
  std::string blocks = "A = ( foo = (";
  std::string arrays = blocks;
  for (int i = 0; i < 100'000; ++i) {
    blocks += '[';
    arrays += "#(";
  }
  EXPECT_THAT(ErrorOf(blocks), HasSubstr("nested more than 500 deep"));
  EXPECT_THAT(ErrorOf(arrays), HasSubstr("nested more than 500 deep"));
  // A chain of sends is nested in the tree, though not in the text; so is one in a nest of others.
  std::string sums = "A = ( foo = ( ^1";
  std::string unary = sums;
  for (int i = 0; i < 100'000; ++i) {
    sums += " + 1";
    unary += " abs";
  }
  EXPECT_THAT(ErrorOf(sums), HasSubstr("built of more than 2000 levels"));
  EXPECT_THAT(ErrorOf(unary), HasSubstr("built of more than 2000 levels"));
  std::string both = "A = ( foo = ( ";
  for (int level = 0; level < 150; ++level) both += "[ (";
  both += "1";
  for (int level = 0; level < 150; ++level)
    both += " + 1 abs abs abs + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1) ]";
  EXPECT_THAT(ErrorOf(both + " ) )"), HasSubstr("built of more than 2000 levels"));
}

TEST(ParserTest, WhatIsRightHasNoError) {
  for (const char* source : {
           "A = ()",
           "A = nil ( | a | foo = primitive ---- | b | bar = ( ^b ) )",
           "A = B ( + x = ( ^self ) at: a put: b = ( | c d | c := d := 3. ^c ) )",
           "A = ( foo = ( ^[:a :b || c | c := a. c ] value: -3 with: #(1 -2.5 #a: #+ 'x' #(1)) ) )",
           "A = ( foo = ( || ) )",
           "A = ( \"comment\" foo = ( 'two\nlines' print. ) )",
       }) {
    EXPECT_EQ(ErrorOf(source), "") << source;
  }
}

TEST(ParserTest, BinaryBindsCloserThanKeyword) {
  SourceError error;
  const auto node = ParseClass("A.som", "A = ( foo = ( a b: c + d e f: -1 ) )", &error);
  ASSERT_NE(node, nullptr) << error.ToString();
  const Expression& send = *node->instance_side.methods[0].body.statements[0];
  EXPECT_EQ(send.text, "b:f:");
  ASSERT_EQ(send.parts.size(), 3u);
  EXPECT_EQ(send.parts[1]->text, "+");
  EXPECT_EQ(send.parts[1]->parts[1]->text, "e");
  EXPECT_EQ(send.parts[2]->text, "-1");
}

}  // namespace
}  // namespace som
