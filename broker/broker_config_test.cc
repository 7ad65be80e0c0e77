#include "broker/broker_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/strings.h"

namespace raftmq::broker {
namespace {

using testing::HasSubstr;

std::string Text(const absl::Status& status) { return std::string(Message(status)); }

TEST(BrokerConfig, AFileOfAGroupOfThreeIsRead) {
  BrokerConfig config;
  ASSERT_TRUE(config
                  .SetFromText("# a comment\n\n"
                               "brokerName = broker-b\r\n"
                               "dLegerSelfId=n1\n"
                               "dLegerPeers=n0-mq0:40911;n1-mq1:40911; n2-[fd00::1]:40911\n"
                               "namesrvAddr=mq0:9876;mq1:9876\n"
                               "flushDiskType=ASYNC_FLUSH\n"
                               "autoCreateTopicEnable=true\n"
                               "listenPort=9000",
                               "broker.conf")
                  .ok());
  EXPECT_TRUE(config.Validate().ok());
  EXPECT_EQ(config.brokerName, "broker-b");
  EXPECT_EQ(config.group(), "broker-b") << "dLegerGroup was not set";
  EXPECT_EQ(config.self_id(), MemberId(2));
  ASSERT_EQ(config.dLegerPeers.size(), 3);
  EXPECT_EQ(config.dLegerPeers[0].id, MemberId(1));
  EXPECT_EQ(config.dLegerPeers[1].address, "mq1:40911");
  EXPECT_EQ(config.dLegerPeers[2].address, "[fd00::1]:40911");
  ASSERT_NE(config.self(), nullptr);
  EXPECT_EQ(config.self()->name, "n1");
  EXPECT_THAT(config.namesrvAddr, testing::ElementsAre("mq0:9876", "mq1:9876"));
  EXPECT_TRUE(config.autoCreateTopicEnable);
  EXPECT_EQ(config.listenPort, 9000);
}

TEST(BrokerConfig, MessagesAreKeptThreeDaysAndExpireAtFourUnlessToldOtherwise) {
  BrokerConfig config;
  EXPECT_EQ(config.fileReservedTime, 72);
  EXPECT_THAT(config.deleteWhen, testing::ElementsAre(4));
  ASSERT_TRUE(config.Set("deleteWhen", "04;16").ok());
  EXPECT_THAT(config.deleteWhen, testing::ElementsAre(4, 16));
  ASSERT_TRUE(config.Set("deleteWhen", "24").ok());
  EXPECT_EQ(config.deleteWhen.size(), 24u);
}

TEST(BrokerConfig, TheThresholdOfMessagesInFlightCountsOnceItIsEnabled) {
  BrokerConfig config;
  ASSERT_TRUE(config.Set("popInflightMessageThreshold", "50").ok());
  EXPECT_EQ(config.max_inflight_per_queue(), 100'000);
  ASSERT_TRUE(config.Set("enablePopMessageThreshold", "true").ok());
  EXPECT_EQ(config.max_inflight_per_queue(), 50);
  EXPECT_FALSE(config.Set("popInflightMessageThreshold", "100001").ok());
}

TEST(BrokerConfig, AnUnknownSettingIsAnErrorThatNamesTheNearest) {
  BrokerConfig config;
  EXPECT_THAT(Text(config.Set("brokername", "x")), HasSubstr("did you mean brokerName?"));
  EXPECT_THAT(Text(config.Set("dLedgerPeers", "x")), HasSubstr("did you mean dLegerPeers?"));
  const absl::Status in_file = config.SetFromText("brokerName=a\nlistenprt=1\n", "broker.conf");
  EXPECT_THAT(Text(in_file), HasSubstr("broker.conf:2"));
  EXPECT_THAT(Text(in_file), HasSubstr("listenPort"));
}

TEST(BrokerConfig, AWrongValueIsAnErrorThatSaysWhatIsExpected) {
  const std::pair<const char*, const char*> wrong[] = {
      {"listenPort", "eighty"},
      {"listenPort", "65536"},
      {"flushDiskType", "sync"},
      {"autoCreateTopicEnable", "yes"},
      {"dLegerPeers", "n0:40911"},
      {"dLegerPeers", "n0-host"},
      {"dLegerPeers", "n0-a:1;n0-b:2"},
      {"dLegerPeers", "x0-a:1"},
      {"mappedFileSizeCommitLog", "0"},
      {"deleteWhen", "25"},
      {"deleteWhen", ";"},
      {"fileReservedTime", "-1"},
  };
  for (const auto& [key, value] : wrong) {
    BrokerConfig config;
    const absl::Status status = config.Set(key, value);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << key << "=" << value;
    EXPECT_THAT(Text(status), HasSubstr(key));
  }
  BrokerConfig config;
  EXPECT_THAT(Text(config.SetFromText("just words\n", "f")), HasSubstr("expected key=value"));
}

TEST(BrokerConfig, SettingsThatContradictEachOtherAreRefused) {
  BrokerConfig not_a_peer;
  ASSERT_TRUE(not_a_peer.Set("dLegerPeers", "n0-a:1;n1-b:1").ok());
  ASSERT_TRUE(not_a_peer.Set("dLegerSelfId", "n5").ok());
  EXPECT_FALSE(not_a_peer.Validate().ok());

  BrokerConfig elections;
  ASSERT_TRUE(elections.Set("electionTimeoutMinMs", "1000").ok());
  EXPECT_FALSE(elections.Validate().ok());

  BrokerConfig tls;
  ASSERT_TRUE(tls.Set("tlsServerKeyPath", "key.pem").ok());
  EXPECT_FALSE(tls.Validate().ok());
}

TEST(BrokerConfig, HelpShowsEverySettingWithItsDefault) {
  const std::string help = DescribeSettings();
  EXPECT_THAT(help, HasSubstr("--listenPort=8081"));
  EXPECT_THAT(help, HasSubstr("--flushDiskType=SYNC_FLUSH"));
  EXPECT_THAT(help, HasSubstr("--dLegerPeers="));
}

TEST(BrokerConfig, MutualTlsNeedsWhatItRestsOn) {
  BrokerConfig config;
  ASSERT_TRUE(config.Set("tlsServerNeedClientAuth", "require").ok());
  EXPECT_THAT(std::string(config.Validate().message()), HasSubstr("tlsServerTrustCertPath"));
  ASSERT_TRUE(config.Set("tlsServerTrustCertPath", "/ca.pem").ok());
  EXPECT_THAT(std::string(config.Validate().message()), HasSubstr("enforcing"))
      << "plaintext would be a way around it";
  ASSERT_TRUE(config.Set("tlsServerMode", "enforcing").ok());
  EXPECT_TRUE(config.Validate().ok());
  ASSERT_TRUE(config.Set("dLegerPeers", "n0-a:1;n1-b:1;n2-c:1").ok());
  EXPECT_THAT(std::string(config.Validate().message()), HasSubstr("tlsClientKeyPath"))
      << "members could not forward to each other";
  ASSERT_TRUE(config.Set("tlsServerKeyPath", "/key.pem").ok());
  ASSERT_TRUE(config.Set("tlsServerCertPath", "/cert.pem").ok());
  EXPECT_TRUE(config.Validate().ok()) << config.Validate();
  ASSERT_TRUE(config.Set("tlsClientCertPath", "/cert.pem").ok());
  EXPECT_FALSE(config.Validate().ok()) << "a certificate without its key";
}

TEST(BrokerConfig, ConsumersAreSentToFollowersOnlyIfItSaysSo) {
  BrokerConfig config;
  EXPECT_FALSE(config.bytes_behind_to_follower().has_value());
  ASSERT_TRUE(config.Set("slaveReadEnable", "true").ok());
  const int64_t by_default = config.bytes_behind_to_follower().value_or(-1);
  EXPECT_GT(by_default, 1 << 20);
  ASSERT_TRUE(config.Set("accessMessageInMemoryMaxRatio", "20").ok());
  EXPECT_EQ(config.bytes_behind_to_follower(), by_default / 2);
  EXPECT_FALSE(config.Set("accessMessageInMemoryMaxRatio", "101").ok());
}

}  // namespace
}  // namespace raftmq::broker
