#include "broker/routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/strings.h"

namespace raftmq::broker {
namespace {

RouteView ThreeMembers(int leader) {
  RouteView view;
  view.broker_name = "broker-a";
  for (int i = 0; i < 3; ++i) {
    view.members.push_back(RouteMember{MemberId(i + 1), StrCat("n", i), StrCat("10.0.0.", i + 1),
                                       8081, v2::IPv4, i == leader});
  }
  return view;
}

// "broker-a@10.0.0.1:8081,10.0.0.2:8081", one for each broker.
std::vector<std::string> Text(const std::vector<v2::Broker>& brokers) {
  std::vector<std::string> result;
  for (const v2::Broker& broker : brokers) {
    std::string text = StrCat(broker.name(), "@");
    for (int i = 0; i < broker.endpoints().addresses_size(); ++i) {
      const v2::Address& address = broker.endpoints().addresses(i);
      text += StrCat(i == 0 ? "" : ",", address.host(), ":", address.port());
    }
    result.push_back(text);
  }
  return result;
}

TEST(Routes, TheShapeFollowsFromTheClientsLanguage) {
  const std::vector<std::string> shared = {"broker-a@10.0.0.1:8081,10.0.0.2:8081,10.0.0.3:8081"};
  const std::vector<std::string> virtual_brokers = {
      "broker-a-n0@10.0.0.1:8081", "broker-a-n1@10.0.0.2:8081", "broker-a-n2@10.0.0.3:8081"};
  const std::vector<std::string> physical = {"broker-a@10.0.0.2:8081,10.0.0.1:8081,10.0.0.3:8081"};
  const std::pair<std::string_view, std::vector<std::string>> table[] = {
      {"JAVA", shared},
      {"GO", shared},
      {"CPP", shared},
      {"PYTHON", shared},
      {"RUST", shared},
      {"HTTP", virtual_brokers},
      {"DOTNET", virtual_brokers},
      {"", virtual_brokers},
      {"COBOL", virtual_brokers},
      {"RAFTMQ", physical},
  };
  for (const auto& [header, expected] : table) {
    const RouteShape shape = ShapeFor(ParseClientLanguage(header));
    EXPECT_EQ(Text(BrokersOf(ThreeMembers(/*leader=*/1), shape)), expected) << header;
  }
}

TEST(Routes, AChangeOfLeaderChangesNothingForOfficialClients) {
  for (const RouteShape shape : {RouteShape::kSharedEndpoints, RouteShape::kVirtualBrokers}) {
    EXPECT_EQ(Text(BrokersOf(ThreeMembers(0), shape)), Text(BrokersOf(ThreeMembers(2), shape)));
  }
}

TEST(Routes, AGroupsDnsNameStandsForItsMembersWhereOneAddressIsAllAClientTakes) {
  RouteView view = ThreeMembers(0);
  view.dns_host = "brokers.example.org";
  view.dns_port = 8081;
  EXPECT_EQ(Text(BrokersOf(view, RouteShape::kVirtualBrokers)),
            std::vector<std::string>{"broker-a@brokers.example.org:8081"});
  EXPECT_EQ(BrokersOf(view, RouteShape::kVirtualBrokers)[0].endpoints().scheme(), v2::DOMAIN_NAME);
  EXPECT_EQ(Text(BrokersOf(view, RouteShape::kSharedEndpoints)),
            Text(BrokersOf(ThreeMembers(0), RouteShape::kSharedEndpoints)));
}

TEST(Routes, AMemberThatIsGoneIsLeftOut) {
  RouteView view = ThreeMembers(0);
  view.members.erase(view.members.begin() + 1);
  EXPECT_EQ(Text(BrokersOf(view, RouteShape::kSharedEndpoints)),
            std::vector<std::string>{"broker-a@10.0.0.1:8081,10.0.0.3:8081"});
  EXPECT_EQ(Text(BrokersOf(view, RouteShape::kVirtualBrokers)),
            (std::vector<std::string>{"broker-a-n0@10.0.0.1:8081", "broker-a-n2@10.0.0.3:8081"}));
}

TEST(Routes, AddressFamiliesAreNotMixedAndANameStandsAlone) {
  RouteView view = ThreeMembers(0);
  view.members[1].host = "fd00::2";
  view.members[1].scheme = v2::IPv6;
  view.members[2].host = "mq2";
  view.members[2].scheme = v2::DOMAIN_NAME;
  const auto brokers = BrokersOf(view, RouteShape::kSharedEndpoints);
  EXPECT_EQ(Text(brokers), std::vector<std::string>{"broker-a@10.0.0.1:8081"});
  EXPECT_EQ(brokers[0].endpoints().scheme(), v2::IPv4);
  for (RouteMember& member : view.members) member.scheme = v2::DOMAIN_NAME;
  EXPECT_EQ(BrokersOf(view, RouteShape::kSharedEndpoints)[0].endpoints().addresses_size(), 1);
}

store::TopicConfig Topic(int32_t read, int32_t write, uint8_t perm = 6) {
  store::TopicConfig topic;
  topic.name = "orders";
  topic.read_queues = read;
  topic.write_queues = write;
  topic.perm = perm;
  return topic;
}

TEST(Routes, EachBrokerHasAllQueuesWithQueueZeroFirst) {
  const auto queues =
      QueuesOf(Topic(2, 2), BrokersOf(ThreeMembers(0), RouteShape::kVirtualBrokers));
  ASSERT_EQ(queues.size(), 6);
  EXPECT_EQ(queues[0].id(), 0);
  EXPECT_EQ(queues[2].id(), 0);
  EXPECT_EQ(queues[2].broker().name(), "broker-a-n1");
  EXPECT_EQ(queues[0].topic().name(), "orders");
  EXPECT_EQ(queues[0].permission(), v2::READ_WRITE);
  EXPECT_EQ(queues[0].broker().id(), 0);
  ASSERT_EQ(queues[0].accept_message_types_size(), 1);
  EXPECT_EQ(queues[0].accept_message_types(0), v2::NORMAL);
}

TEST(Routes, PermissionsFollowFromQueueNumbersAndPermAndUselessQueuesAreLeftOut) {
  const auto brokers = BrokersOf(ThreeMembers(0), RouteShape::kSharedEndpoints);
  const auto shrunk = QueuesOf(Topic(/*read=*/3, /*write=*/1), brokers);
  ASSERT_EQ(shrunk.size(), 3);
  EXPECT_EQ(shrunk[0].permission(), v2::READ_WRITE);
  EXPECT_EQ(shrunk[1].permission(), v2::READ);
  EXPECT_EQ(QueuesOf(Topic(2, 2, store::kPermWrite), brokers)[0].permission(), v2::WRITE);
  EXPECT_TRUE(QueuesOf(Topic(2, 2, 0), brokers).empty());
}

TEST(Routes, AMixedTopicAcceptsAllTypes) {
  store::TopicConfig topic = Topic(1, 1);
  topic.type = store::TopicType::kMixed;
  const auto queues = QueuesOf(topic, BrokersOf(ThreeMembers(0), RouteShape::kPhysical));
  EXPECT_EQ(queues[0].accept_message_types_size(), 4);
}

TEST(Routes, AssignmentIsOneEntryPerBrokerUnlessTheGroupIsOrderly) {
  const auto brokers = BrokersOf(ThreeMembers(0), RouteShape::kSharedEndpoints);
  const auto any = AssignmentsOf(Topic(4, 4), /*orderly=*/false, brokers);
  ASSERT_EQ(any.size(), 1);
  EXPECT_EQ(any[0].id(), -1);
  EXPECT_EQ(AssignmentsOf(Topic(4, 4), /*orderly=*/true, brokers).size(), 4);
  EXPECT_TRUE(AssignmentsOf(Topic(4, 4, store::kPermWrite), false, brokers).empty());
}

}  // namespace
}  // namespace raftmq::broker
