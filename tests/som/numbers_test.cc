// Integers of any size, and Doubles.
#include "som_fixture.h"

namespace som {
namespace {

class NumbersTest : public SomTest {
 protected:
  /// Each expression is what stands behind it.
  void ExpectAll(const std::vector<std::pair<std::string, std::string>>& expressions) {
    std::string statements;
    std::string expected;
    for (const auto& [expression, value] : expressions) {
      statements += "(" + expression + ") println.\n";
      expected += value + "\n";
    }
    EXPECT_EQ(Output(statements), expected);
  }
};

TEST_F(NumbersTest, SmallIntegersGrowAndShrink) {
  ExpectAll(
      {{"4611686018427387903 + 1", "4611686018427387904"},
       {"4611686018427387903 + 1 - 1", "4611686018427387903"},
       {"-4611686018427387904 - 1", "-4611686018427387905"},
       {"-4611686018427387904 negated", "4611686018427387904"},
       {"-4611686018427387904 / -1", "4611686018427387904"},
       {"4611686018427387903 * 4611686018427387903", "21267647932558653957237540927630737409"},
       {"(1 << 62) - (1 << 62) + 5", "5"},
       {"9223372036854775807 + 1", "9223372036854775808"},
       {"-9223372036854775808 - 1", "-9223372036854775809"},
       {"(1 << 100) class", "Integer"}});
}

TEST_F(NumbersTest, BigArithmetic) {
  ExpectAll({{"(1 << 130) - 1", "1361129467683753853853498429727072845823"},
             {"(1 << 130) negated + (1 << 129)", "-680564733841876926926749214863536422912"},
             {"(1 << 64) - (1 << 65)", "-18446744073709551616"},
             {"(1 << 100) / (1 << 98)", "4"},
             {"(10 raisedTo: 40) / (10 raisedTo: 20)", "100000000000000000000"},
             {"(10 raisedTo: 40) negated / 7", "-1428571428571428571428571428571428571428"},
             {"(10 raisedTo: 40) negated % 7", "3"},
             {"(10 raisedTo: 40) negated rem: 7", "-4"},
             {"(10 raisedTo: 40) % -7", "-3"},
             {"7 % (10 raisedTo: 40) negated", "-9999999999999999999999999999999999999993"},
             {"7 / (10 raisedTo: 40)", "0"},
             {"(1 << 100) & ((1 << 100) - 1)", "0"},
             {"((1 << 70) - 1) & -2", "1180591620717411303422"},
             {"(1 << 70) bitXor: (1 << 70) + 5", "5"},
             {"-1 << 70", "-1180591620717411303424"},
             {"(1 << 70) >>> 69", "2"},
             {"-1 >>> 1", "9223372036854775807"},
             {"(1 << 100) sqrt", "1125899906842624"},
             {"(0 - (1 << 80)) abs", "1208925819614629174706176"},
             {"(1 << 80) max: 3", "1208925819614629174706176"},
             {"(1 << 80) min: 3", "3"}});
}

TEST_F(NumbersTest, Comparisons) {
  ExpectAll({{"(1 << 80) > (1 << 79)", "true"},
             {"(1 << 80) negated < 3", "true"},
             {"(1 << 80) = (2 << 79)", "true"},
             {"(1 << 80) == (2 << 79)", "true"},
             {"(1 << 80) = 'x'", "false"},
             {"3 = 3.0", "true"},
             {"3 == 3.0", "false"},
             {"3 <= 3.5", "true"},
             {"2.5 > 2", "true"},
             {"3 ~= 4", "true"},
             {"(1 << 80) hashcode = (2 << 79) hashcode", "true"},
             {"((1 << 80) perform: #hashcode inSuperclass: Object) = ((2 << 79) perform: #hashcode "
              "inSuperclass: Object)",
              "true"},
             {"(0.5 perform: #hashcode inSuperclass: Object) = ((1 // 2) perform: #hashcode "
              "inSuperclass: Object)",
              "true"}});
}

TEST_F(NumbersTest, Integers) {
  ExpectAll({{"10 % 3", "1"},
             {"10 % -3", "-2"},
             {"-10 % 3", "2"},
             {"-10 rem: 3", "-1"},
             {"-7 / 2", "-3"},
             {"25 sqrt", "5"},
             {"2 sqrt class", "Double"},
             {"-1 as32BitUnsignedValue", "4294967295"},
             {"(1 << 31) as32BitSignedValue", "-2147483648"},
             {"-9223372036854775296 as32BitUnsignedValue", "512"},
             {"'-922337203685477580700' asInteger", "-922337203685477580700"},
             {"(1 << 70) asDouble", "1180591620717411303424.0"},
             {"100 atRandom between: 0 and: 99", "true"},
             {"1 << 0", "1"},
             {"1 >>> 100", "0"}});
}

TEST_F(NumbersTest, Doubles) {
  ExpectAll({{"1 // 2", "0.5"},
             {"0.1 + 0.2", "0.30000000000000004"},
             {"1.0 * 3", "3.0"},
             {"7 // 7", "1.0"},
             {"5.5 % 2", "1.5"},
             {"-1.999 asInteger", "-1"},
             {"3.0 % -2.0", "1.0"},
             {"-3.0 % 2.0", "-1.0"},
             {"-3 % 2.0", "-1.0"},
             {"2.5 round", "3"},
             {"0.5 round", "1"},
             {"-1.5 round", "-2"},
             {"1.4999 round", "1"},
             {"445.34 round", "445"},
             {"(1 << 80) asDouble asInteger", "1208925819614629174706176"},
             {"Double PositiveInfinity", "Infinity"},
             {"Double PositiveInfinity > (1 << 200)", "true"},
             {"Double fromString: '2.5'", "2.5"},
             {"Double fromString: 'x'", "NaN"},
             {"4.0 sqrt", "2.0"},
             {"0.0 cos", "1.0"},
             {"-0.5 abs", "0.5"}});
}

TEST_F(NumbersTest, AFactorialSurvivesCollections) {
  const Ran ran = RunMethods(R"(
    run = ( | n |
      n := 1. 1 to: 200 do: [:i | n := n * i. system fullGC ]. 1 to: 200 do: [:i | n := n / i ].
      n println ))");
  EXPECT_EQ(ran.out, "1\n") << ran.err;
}

}  // namespace
}  // namespace som
