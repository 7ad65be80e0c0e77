// ClientTest: a fixture with NameServers and broker groups in this process, and our client on top.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/notification.h"
#include "base/testing/reserved_ports.h"
#include "broker/testing/broker_group.h"
#include "broker/testing/grpc_broker_client.h"
#include "client/producer.h"
#include "client/simple_consumer.h"
#include "namesrv/namesrv_service.h"

namespace raftmq::client {

class ClientTest : public ::testing::Test {
 protected:
  void StartNameServers(int count) {
    for (int i = 0; i < count; ++i) {
      namesrv_ports_.push_back(ReservePort());
      name_servers_.emplace_back();
      StartNameServer(i);
    }
  }
  void StartNameServer(int i) {
    namesrv::NameServerOptions options;
    options.listen_address = StrCat("127.0.0.1:", namesrv_ports_[i]);
    auto server = namesrv::NameServer::Start(options, SystemClock());
    ASSERT_TRUE(server.ok()) << server.status();
    name_servers_[i] = *std::move(server);
  }
  void StopNameServer(int i) { name_servers_[i].reset(); }

  std::string NamesrvAddr() const {
    std::string all;
    for (int port : namesrv_ports_) all += StrCat(all.empty() ? "" : ";", "127.0.0.1:", port);
    return all;
  }

  // broker-a, broker-b, …, or as group_names_ has them, of so many members, all running.
  void StartGroups(int groups, int members) {
    for (int g = 0; g < groups; ++g) {
      broker::BrokerGroup::Options options;
      options.folder =
          StrCat(testing::TempDir(), "/client-",
                 testing::UnitTest::GetInstance()->current_test_info()->name(), "-", getpid());
      const size_t number = groups_.size();
      options.name = number < group_names_.size()
                         ? group_names_[number]
                         : std::string("broker-") + static_cast<char>('a' + number);
      options.members = members;
      options.namesrvAddr = NamesrvAddr();
      options.configure = configure_;
      groups_.push_back(std::make_unique<broker::BrokerGroup>(options));
      groups_.back()->StartAll();
    }
  }

  // In every group; returns when the NameServers that run route to all of its queues.
  void CreateTopic(const std::string& topic, int queues,
                   ::raftmq::v1::TopicType type = ::raftmq::v1::NORMAL) {
    for (auto& group : groups_) CreateTopicIn(*group, topic, queues, type);
    AwaitRoute(topic, groups_.size());
  }
  // In one of the groups; AwaitRoute is the caller's.
  static void CreateTopicIn(const broker::BrokerGroup& group, const std::string& topic, int queues,
                            ::raftmq::v1::TopicType type = ::raftmq::v1::NORMAL) {
    const broker::BrokerClient admin(group.port(0), "JAVA");
    const grpc::Status status = admin.UpdateTopic(topic, queues, type);
    ASSERT_TRUE(status.ok()) << status.error_message();
  }
  // Until every NameServer knows the topic in so many groups.
  void AwaitRoute(const std::string& topic, size_t groups) {
    WaitUntil([&] {
      for (auto& server : name_servers_) {
        if (server == nullptr) continue;
        if (server->table().Route(topic).size() != groups) return false;
      }
      return true;
    });
  }

  // Who leads, by the NameServers' table; -1 if nobody does.
  int LeaderOf(const broker::BrokerGroup& group) {
    for (const namesrv::Group& g : name_servers_[0]->table().Groups()) {
      if (g.broker_name != group.name()) continue;
      for (const namesrv::GroupMember& m : g.members) {
        if (m.leader) return static_cast<int>(m.id.value()) - 1;
      }
    }
    return -1;
  }

  // A test that waits too long fails.
  template <typename F>
  static void WaitUntil(F condition) {
    const int64_t give_up_ms = SystemClock()->MonotonicMillis() + 30'000;
    while (!condition()) {
      ASSERT_LT(SystemClock()->MonotonicMillis(), give_up_ms) << "waited 30 s in vain";
      absl::Notification never;
      never.WaitForNotificationWithTimeout(absl::Milliseconds(2));
    }
  }

  std::unique_ptr<Producer> StartProducer(ProducerOptions options = {}) {
    options.namesrvAddr = NamesrvAddr();
    auto producer = Producer::Start(options);
    CHECK(producer.ok()) << producer.status();
    return *std::move(producer);
  }
  std::unique_ptr<SimpleConsumer> StartConsumer(const std::string& topic,
                                                SimpleConsumerOptions options = {}) {
    options.namesrvAddr = NamesrvAddr();
    options.topic = topic;
    options.consumerGroup = "readers";
    options.awaitDuration = 2'000;
    auto consumer = SimpleConsumer::Start(options);
    CHECK(consumer.ok()) << consumer.status();
    return *std::move(consumer);
  }

  static Message Make(const std::string& topic, const std::string& body) {
    Message message;
    message.topic = topic;
    message.body = body;
    return message;
  }

  // Receives and acks until `count` messages have come; their bodies.
  static std::vector<std::string> ReceiveBodies(SimpleConsumer* consumer, size_t count) {
    std::vector<std::string> bodies;
    const int64_t give_up_ms = SystemClock()->MonotonicMillis() + 30'000;
    while (bodies.size() < count && SystemClock()->MonotonicMillis() < give_up_ms) {
      auto messages = consumer->Receive(32);
      if (!messages.ok()) continue;
      for (const ReceivedMessage& m : *messages) bodies.push_back(m.body);
      for (const absl::Status& acked : consumer->Ack(*messages)) EXPECT_TRUE(acked.ok()) << acked;
    }
    return bodies;
  }

  // Set before StartGroups.
  std::vector<std::string> group_names_;
  // More of each member's configuration.
  std::function<void(broker::BrokerConfig*)> configure_;
  std::vector<int> namesrv_ports_;
  std::vector<std::unique_ptr<namesrv::NameServer>> name_servers_;
  std::vector<std::unique_ptr<broker::BrokerGroup>> groups_;
};

}  // namespace raftmq::client
