#include "broker/host_names.h"

#include "base/strings.h"
#include "base/testing/fake_clock.h"
#include "base/testing/manual_task_runner.h"
#include "gtest/gtest.h"

namespace raftmq::broker {
namespace {

class HostNamesTest : public ::testing::Test {
 protected:
  absl::StatusOr<ResolvedHost> Resolve(const std::string& host) {
    ++look_ups_;
    if (host == "nowhere") return absl::UnavailableError("no such host");
    return ResolvedHost{StrCat("10.0.0.", look_ups_), v2::IPv4};
  }

  int look_ups_ = 0;
  FakeClock clock_;
  ManualTaskRunner resolve_{&clock_};
  HostNames hosts_{&clock_, &resolve_, [this](const std::string& host) { return Resolve(host); }};
};

TEST_F(HostNamesTest, NumericHostsNeedNoLookUp) {
  EXPECT_EQ(hosts_.Lookup("10.1.2.3").scheme, v2::IPv4);
  EXPECT_EQ(hosts_.Lookup("fe80::1").scheme, v2::IPv6);
  bool known = false;
  hosts_.WhenKnown({"10.1.2.3", "fe80::1"}, [&] { known = true; });
  EXPECT_TRUE(known);
  resolve_.RunDue();
  EXPECT_EQ(look_ups_, 0);
}

TEST_F(HostNamesTest, ANameIsGivenAsItIsUntilItIsResolvedAndAgainAfterHalfAMinute) {
  EXPECT_EQ(hosts_.Lookup("mq0").scheme, v2::DOMAIN_NAME);
  EXPECT_EQ(hosts_.Lookup("mq0").host, "mq0");
  resolve_.RunDue();
  EXPECT_EQ(hosts_.Lookup("mq0").host, "10.0.0.1");
  clock_.AdvanceMillis(30'001);
  EXPECT_EQ(hosts_.Lookup("mq0").host, "10.0.0.1") << "nobody waits";
  resolve_.RunDue();
  EXPECT_EQ(hosts_.Lookup("mq0").host, "10.0.0.2");
}

TEST_F(HostNamesTest, WhoWaitsIsCalledWhenEachWasLookedUpInVainOrNot) {
  int calls = 0;
  hosts_.WhenKnown({"mq0", "nowhere"}, [&] { ++calls; });
  EXPECT_EQ(calls, 0);
  resolve_.RunDue();
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(look_ups_, 2);
  hosts_.WhenKnown({"mq0", "nowhere"}, [&] { ++calls; });
  EXPECT_EQ(calls, 2) << "at once";
  EXPECT_EQ(hosts_.Lookup("nowhere").scheme, v2::DOMAIN_NAME);
}

}  // namespace
}  // namespace raftmq::broker
