#include "store/settlement.h"

#include "gtest/gtest.h"

namespace raftmq::store {
namespace {

TEST(Settlement, KeepsItsTextForEver) {
  EXPECT_EQ(EncodeSettlement(TimerRef{1'700'000'000'123, LogPosition(4096)}),
            "T:1700000000123:4096");
  EXPECT_EQ(EncodeSettlement(HalfRef{LogPosition(77)}), "X:77");
  EXPECT_EQ(EncodeSettlement(LeaseRef{"readers", "%RETRY%a|b", QueueId(3), QueueOffset(9), 12}),
            "L:12:3:9:readers:%RETRY%a|b");
  EXPECT_EQ(EncodeSettlement(RedriveRef{"%DLQ%readers", QueueId(3), QueueOffset(9)}),
            "R:3:9:%DLQ%readers");
}

TEST(Settlement, ComesBackFromItsText) {
  const Settlement settlements[] = {
      TimerRef{0, LogPosition(0)}, HalfRef{LogPosition(1)},
      LeaseRef{"g", "t", QueueId(0), QueueOffset(0), 18'446'744'073'709'551'615U},
      RedriveRef{"t", QueueId(0), QueueOffset(7)}};
  for (const Settlement& settlement : settlements) {
    const auto parsed = ParseSettlement(EncodeSettlement(settlement));
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(*parsed, settlement);
  }
}

TEST(Settlement, IsRefusedInAnyOtherForm) {
  for (const char* text : {"",          "T",          "T:1",        "T:1:",
                           "T:-1:2",    "T:1:2:3",    "T: 1:2",     "X",
                           "X:",        "X:a",        "X:01",       "X:99999999999999999999",
                           "L:1:2:3:g", "L:1:2:3::t", "L:1:2:3:g:", "L:1:2:3:g:t:u",
                           "Q:1",       "t:1:2",      "R:1:2",      "R:1:2:",
                           "R:1:02:t",  "R:-1:2:t"}) {
    EXPECT_FALSE(ParseSettlement(text).ok()) << text;
  }
}

}  // namespace
}  // namespace raftmq::store
