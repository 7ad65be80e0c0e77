#include "store/sql_filter.h"

#include <map>

#include "base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "store/reason.h"

namespace raftmq::store {
namespace {

bool Matches(std::string_view expression, const std::map<std::string, std::string>& properties) {
  std::string text;
  for (const auto& [name, value] : properties) AppendProperty(&text, name, value);
  auto filter = SqlFilter::Parse(expression);
  EXPECT_TRUE(filter.ok()) << filter.status();
  return filter.ok() && (*filter)->Matches(PropertiesView(text));
}

struct Case {
  std::string_view expression;
  bool matches;
};

// Of a message with these properties; "none" is not one of them.
const std::map<std::string, std::string> kMessage = {
    {"TAGS", "blue"}, {"KEYS", "k1 k2"}, {"a", "10"},        {"b", "3.5"},
    {"s", "it's"},    {"flag", "TRUE"},  {"city", "Berlin"}, {"big", "9007199254740993"},
};

TEST(SqlFilter, MatchesWhatTheExpressionIsTrueFor) {
  const Case cases[] = {
      {"a = 10", true},
      {"a=10", true},
      {"10 = a", true},
      {"a = 10.0", true},
      {"a <> 10", false},
      {"a <> 11", true},
      {"a > 9", true},
      {"a > 10", false},
      {"a >= 10", true},
      {"a < 9", false},  // as numbers; as texts it would be below
      {"a <= 10", true},
      {"b > 3", true},
      {"b < a", true},
      {"a > -1", true},
      {"a < 1e3", true},
      {"a > .5 and a < +11", true},
      {"big = 9007199254740993", true},
      {"big = 9007199254740992", false},  // doubles cannot tell these two apart
      {"a BETWEEN 10 AND 11", true},
      {"a between 11 and 12", false},
      {"a NOT BETWEEN 1 AND 9", true},
      {"a NOT BETWEEN 1 AND 10", false},
      {"a BETWEEN b AND 20", true},
      {"TAGS = 'blue'", true},
      {"TAGS = 'Blue'", false},
      {"TAGS <> 'red'", true},
      {"TAGS IN ('red', 'blue')", true},
      {"TAGS IN ('red')", false},
      {"TAGS NOT IN ('red', 'green')", true},
      {"a IN (1, 10)", true},
      {"TAGS IN (1, 'blue')", true},
      {"s = 'it''s'", true},
      {"KEYS CONTAINS 'k2'", true},
      {"KEYS CONTAINS 'k3'", false},
      {"KEYS NOT CONTAINS 'k3'", true},
      {"city STARTSWITH 'Ber'", true},
      {"city STARTSWITH 'lin'", false},
      {"city ENDSWITH 'lin'", true},
      {"city NOT ENDSWITH 'lin'", false},
      {"city NOT STARTSWITH 'X'", true},
      {"city CONTAINS ''", false},
      {"flag = TRUE", true},
      {"flag = false", false},
      {"flag", true},
      {"TRUE", true},
      {"FALSE", false},
      {"none IS NULL", true},
      {"a IS NULL", false},
      {"a IS NOT NULL", true},
      {"none is not null", false},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(Matches(c.expression, kMessage), c.matches) << c.expression;
  }
}

TEST(SqlFilter, AndBindsCloserThanOrAndNotCloserThanBoth) {
  const Case cases[] = {
      {"TRUE OR FALSE AND FALSE", true},
      {"(TRUE OR FALSE) AND FALSE", false},
      {"NOT FALSE AND TRUE", true},
      {"NOT (FALSE AND TRUE)", true},
      {"NOT TRUE OR TRUE", true},
      {"NOT NOT a = 10", true},
      {"NOT a = 10", false},
      {"a = 10 and TAGS = 'blue' and not (city = 'Rome' or b > 4)", true},
      {"((((a = 10))))", true},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(Matches(c.expression, kMessage), c.matches) << c.expression;
  }
}

TEST(SqlFilter, WhatIsUnknownStaysUnknownUntilSomethingElseDecides) {
  const Case cases[] = {
      {"none = 1", false},
      {"NOT none = 1", false},
      {"none <> 1", false},
      {"none > 1", false},
      {"none BETWEEN 1 AND 2", false},
      {"none NOT BETWEEN 1 AND 2", false},
      {"none IN ('a')", false},
      {"none NOT IN ('a')", false},
      {"none", false},
      {"NOT none", false},
      {"none = 1 OR a = 10", true},
      {"none = 1 AND a = 10", false},
      {"NOT (none = 1 AND a = 11)", true},  // false decides, whatever the other is
      {"NOT (none = 1 OR a = 10)", false},
      {"none CONTAINS 'x'", false},
      {"none NOT CONTAINS 'x'", false},
      {"NOT (none CONTAINS 'x')", true},  // false, not unknown, as in RocketMQ
      {"city > 5", false},                // no number
      {"NOT city > 5", false},
      {"city = 5", false},
      {"city <> 5", false},
      {"city > TAGS", false},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(Matches(c.expression, kMessage), c.matches) << c.expression;
  }
}

struct Wrong {
  std::string_view expression;
  int position;
  std::string_view says;
};

TEST(SqlFilter, ABadExpressionIsRefusedWithThePosition) {
  const Wrong cases[] = {
      {"", 1, "found the end"},
      {"   ", 4, "found the end"},
      {"a >", 4, "found the end"},
      {"a > 1 b", 7, "expected AND, OR or the end, found \"b\""},
      {"a == 1", 4, "expected a property"},
      {"a != 1", 3, "\"not equal\" is <>"},
      {"a = 'x", 5, "has no end"},
      {"a = \"x\"", 5, "no meaning"},
      {"(a = 1", 7, "expected \")\""},
      {"a = 1)", 6, "found \")\""},
      {"a IN ()", 7, "expected a property"},
      {"a IN (1 2)", 9, "expected \")\""},
      {"a IN (b)", 7, "no properties"},
      {"5 IN (5)", 1, "a property is expected"},
      {"a BETWEEN 5 AND 1", 11, "above the second"},
      {"a BETWEEN 1 OR 2", 13, "expected \"AND\""},
      {"a > 'x'", 5, "only numbers and properties"},
      {"TRUE > a", 1, "only numbers and properties"},
      {"a CONTAINS b", 12, "a text in single quotes"},
      {"a NOT 5", 7, "expected BETWEEN"},
      {"a IS 5", 6, "expected \"NULL\""},
      {"a = NULL", 5, "found \"NULL\""},
      {"5", 2, "a comparison"},
      {"'x' AND TRUE", 5, "a comparison"},
      {"a = 12x", 5, "a number"},
      {"a = 1.2.3", 5, "a number"},
      {"a = 1e999", 5, "a number"},
      {"AND a = 1", 1, "found \"AND\""},
  };
  for (const Wrong& c : cases) {
    const auto filter = SqlFilter::Parse(c.expression);
    ASSERT_FALSE(filter.ok()) << c.expression;
    EXPECT_EQ(ReasonOf(filter.status()), Reason::kIllegalFilter);
    const std::string message(Message(filter.status()));
    EXPECT_THAT(message, testing::HasSubstr(StrCat("position ", c.position, ": "))) << c.expression;
    EXPECT_THAT(message, testing::HasSubstr(std::string(c.says))) << c.expression;
  }
}

TEST(SqlFilter, DepthAndSizeAreBounded) {
  const auto nested = [](int depth) {
    return StrCat(std::string(depth, '('), "a = 1", std::string(depth, ')'));
  };
  EXPECT_TRUE(SqlFilter::Parse(nested(SqlFilter::kMaxDepth)).ok());
  EXPECT_FALSE(SqlFilter::Parse(nested(SqlFilter::kMaxDepth + 1)).ok());
  std::string nots = "TRUE";
  for (int i = 0; i < 1'000; ++i) nots = "NOT " + nots;
  EXPECT_FALSE(SqlFilter::Parse(nots).ok());
  std::string chain = "a = 1";
  while (chain.size() + 9 <= SqlFilter::kMaxBytes) chain += " OR a = 1";
  EXPECT_TRUE(SqlFilter::Parse(chain).ok());
  chain += std::string(SqlFilter::kMaxBytes, ' ');
  EXPECT_FALSE(SqlFilter::Parse(chain).ok());
}

}  // namespace
}  // namespace raftmq::store
