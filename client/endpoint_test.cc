#include "client/endpoint.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace raftmq::client {
namespace {

using ::testing::ElementsAre;

TEST(Addresses, AreSplitAndGetTheDefaultPort) {
  auto addresses = ParseAddresses("host1:9876;host2, [::1]:80 [::2]", 9876);
  ASSERT_TRUE(addresses.ok()) << addresses.status();
  EXPECT_THAT(*addresses, ElementsAre("host1:9876", "host2:9876", "[::1]:80", "[::2]:9876"));
}

TEST(Addresses, BadPortsAndNoAddressAreRefusedWithTheText) {
  for (const char* bad : {"h:0", "h:65536", "h:x", "h:1x", ":80", "h:"}) {
    auto addresses = ParseAddresses(bad, 1);
    ASSERT_FALSE(addresses.ok()) << bad;
    EXPECT_NE(addresses.status().message().find(bad), std::string::npos) << addresses.status();
  }
  EXPECT_FALSE(ParseAddresses("", 1).ok());
  EXPECT_FALSE(ParseAddresses(" ;, ", 1).ok());
}

}  // namespace
}  // namespace raftmq::client
