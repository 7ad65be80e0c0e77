// What official clients hear of several broker groups, from any broker of any of them.
#include <map>
#include <set>

#include "tests/client/grpc_cluster.h"

namespace raftmq::client {
namespace {

namespace v2 = ::apache::rocketmq::v2;
using ::testing::SizeIs;

class RoutesTest : public ClientTest {
 protected:
  // Of `group`'s member, as a client of this language hears it; "" until it names this many
  // brokers.
  std::string RouteFrom(int group, int member, const std::string& language, size_t brokers) {
    const broker::BrokerClient client(groups_[group]->port(member), language);
    std::string text;
    WaitUntil([&] {
      const v2::QueryRouteResponse route = client.QueryRoute("orders");
      std::set<std::string> names;
      for (const v2::MessageQueue& queue : route.message_queues()) {
        names.insert(queue.broker().name());
      }
      if (names.size() != brokers) return false;
      text = route.DebugString();
      return true;
    });
    return text;
  }

  // Members of each broker of the assignment, by its name.
  std::map<std::string, int> AssignmentFrom(int group, const std::string& language) {
    const broker::BrokerClient client(groups_[group]->port(0), language);
    grpc::ClientContext context;
    client.Fill(&context);
    v2::QueryAssignmentRequest request;
    request.mutable_topic()->set_name("orders");
    request.mutable_group()->set_name("readers");
    v2::QueryAssignmentResponse response;
    EXPECT_TRUE(client.messaging()->QueryAssignment(&context, request, &response).ok());
    std::map<std::string, int> brokers;
    for (const v2::Assignment& assignment : response.assignments()) {
      brokers[assignment.message_queue().broker().name()] +=
          assignment.message_queue().broker().endpoints().addresses_size();
    }
    return brokers;
  }
};

TEST_F(RoutesTest, EveryBrokerOfEveryGroupNamesAllGroupsAlike) {
  StartNameServers(2);
  StartGroups(2, 2);
  CreateTopic("orders", 3);
  for (const auto& [language, brokers] : {std::pair("JAVA", 2), std::pair("HTTP", 4)}) {
    const std::string route = RouteFrom(0, 0, language, brokers);
    for (const auto& [group, member] : {std::pair(0, 1), std::pair(1, 0), std::pair(1, 1)}) {
      EXPECT_EQ(RouteFrom(group, member, language, brokers), route)
          << language << " at member " << member << " of group " << group;
    }
  }
  for (const int group : {0, 1}) {
    EXPECT_EQ(AssignmentFrom(group, "JAVA"),
              (std::map<std::string, int>{{"broker-a", 2}, {"broker-b", 2}}));
    EXPECT_THAT(AssignmentFrom(group, "HTTP"), SizeIs(4));
  }
}

TEST_F(RoutesTest, ATopicOfAnotherGroupAloneIsRoutedThere) {
  StartNameServers(1);
  StartGroups(2, 1);
  const broker::BrokerClient admin(groups_[1]->port(0), "JAVA");
  ASSERT_TRUE(admin.UpdateTopic("orders", 3).ok());
  RouteFrom(0, 0, "JAVA", 1);
  const v2::QueryRouteResponse route =
      broker::BrokerClient(groups_[0]->port(0), "JAVA").QueryRoute("orders");
  ASSERT_EQ(route.message_queues_size(), 3);
  EXPECT_EQ(route.message_queues(0).broker().name(), "broker-b");
  EXPECT_EQ(route.message_queues(0).broker().endpoints().addresses(0).port(), groups_[1]->port(0));
  EXPECT_EQ(broker::BrokerClient(groups_[0]->port(0), "JAVA").QueryRoute("none").status().code(),
            v2::TOPIC_NOT_FOUND);
}

TEST_F(RoutesTest, AGroupOrMemberThatDiesLeavesTheOthersRoutes) {
  StartNameServers(1);
  StartGroups(2, 2);
  CreateTopic("orders", 1);
  RouteFrom(0, 0, "HTTP", 4);
  groups_[1]->Stop(1);
  RouteFrom(0, 0, "HTTP", 3);
  groups_[1]->StopAll();
  RouteFrom(0, 0, "HTTP", 2);
  groups_[1]->StartAll();
  RouteFrom(0, 0, "HTTP", 4);
}

}  // namespace
}  // namespace raftmq::client
