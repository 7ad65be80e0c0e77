#include "client/mqadmin/time_text.h"

#include "gtest/gtest.h"

namespace raftmq::mqadmin {
namespace {

TEST(ParseTime, TakesNowMillisecondsAndRocketMqsDates) {
  EXPECT_EQ(*ParseTime("now", 77), 77);
  EXPECT_EQ(*ParseTime("1700000000123", 77), 1'700'000'000'123);
  EXPECT_EQ(*ParseTime("2023-11-14#22:13:20:123", 77), 1'700'000'000'123);
  EXPECT_EQ(*ParseTime("2024-02-29#00:00:00:000", 77), 1'709'164'800'000);
}

TEST(ParseTime, RefusesWhatIsNoTime) {
  for (const char* text :
       {"", "-1", "soon", "2023-11-14", "2023-11-14#22:13:20", "2023-02-29#0:0:0:0",
        "2023-11-14#25:00:00:000", "2023-11-14#22:13:20:123 ", "99999999999999999999"}) {
    const auto time = ParseTime(text, 77);
    EXPECT_EQ(time.status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

}  // namespace
}  // namespace raftmq::mqadmin
