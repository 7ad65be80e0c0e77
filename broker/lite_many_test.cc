// Thousands of lite topics under one parent, and clients that subscribed to more than a thousand
// each, against a real broker over real connections.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <iostream>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/thread.h"
#include "broker/testing/broker_group.h"
#include "broker/testing/grpc_broker_client.h"

namespace raftmq::broker {
namespace {

constexpr int kLiteTopics = 5'000;
constexpr int kClients = 4;
constexpr int kSenders = 8;
constexpr int64_t kPatienceMs = 240'000;
constexpr char kGroup[] = "agents";

std::string NameOf(int lite_topic) { return StrCat("session-", lite_topic); }

// Of this process: the broker and its clients.
int64_t ResidentKiB() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    int64_t kib = 0;
    if (word == "VmRSS:" && status >> kib) return kib;
  }
  return 0;
}

class LiteManyTest : public testing::Test {
 protected:
  LiteManyTest() { group_.StartAll(); }

  BrokerClient Client(const std::string& id) {
    BrokerClient client(group_.port(0), "JAVA");
    client.client_id = id;
    return client;
  }
  int64_t Passed() const { return SystemClock()->MonotonicMillis() - began_ms_; }
  void Say(const std::string& what) {
    std::cout << what << ": " << Passed() << " ms since the start, " << ResidentKiB() / 1024
              << " MiB\n";
  }

  void Subscribe(int client_number) {
    const BrokerClient client = Client(StrCat("c", client_number));
    grpc::ClientContext context;
    client.Fill(&context, 60'000);
    v2::SyncLiteSubscriptionRequest request;
    request.set_action(v2::PARTIAL_ADD);
    request.mutable_topic()->set_name("sessions");
    request.mutable_group()->set_name(kGroup);
    for (int i = client_number; i < kLiteTopics; i += kClients) {
      request.add_lite_topic_set(NameOf(i));
    }
    ASSERT_GT(request.lite_topic_set_size(), 1'000);
    v2::SyncLiteSubscriptionResponse response;
    ASSERT_TRUE(client.messaging()->SyncLiteSubscription(&context, request, &response).ok());
    ASSERT_EQ(response.status().code(), v2::OK) << response.status().message();
  }

  // One message to each lite topic; its body is the lite topic's name.
  void SendAll() {
    std::atomic<int> next{0};
    std::vector<std::thread> senders;
    for (int s = 0; s < kSenders; ++s) {
      senders.push_back(StartThread("sender", [&] {
        const BrokerClient client = Client("sender");
        for (int i = next++; i < kLiteTopics; i = next++) {
          v2::Message message = BrokerClient::MakeMessage("sessions", NameOf(i), StrCat("id-", i));
          message.mutable_system_properties()->set_message_type(v2::LITE);
          message.mutable_system_properties()->set_lite_topic(NameOf(i));
          const auto sent = client.Send(std::move(message), nullptr, 60'000);
          EXPECT_EQ(sent.status().code(), v2::OK) << sent.status().message();
        }
      }));
    }
    for (std::thread& sender : senders) sender.join();
  }

  static bool AckAll(const BrokerClient& client, const std::vector<v2::Message>& messages) {
    grpc::ClientContext context;
    client.Fill(&context, 60'000);
    v2::AckMessageRequest request;
    request.mutable_group()->set_name(kGroup);
    request.mutable_topic()->set_name("sessions");
    for (const v2::Message& message : messages) {
      v2::AckMessageEntry* entry = request.add_entries();
      entry->set_receipt_handle(message.system_properties().receipt_handle());
      entry->set_lite_topic(message.system_properties().lite_topic());
    }
    v2::AckMessageResponse response;
    return client.messaging()->AckMessage(&context, request, &response).ok() &&
           response.status().code() == v2::OK;
  }

  // Receives until it has as many as it subscribed to, and then nothing more comes; how often each
  // lite topic's message came.
  std::map<std::string, int> Consume(int client_number) {
    const BrokerClient client = Client(StrCat("c", client_number));
    v2::ReceiveMessageRequest request = BrokerClient::MakeReceive("sessions", kGroup, 2);
    request.mutable_invisible_duration()->set_seconds(600);
    std::map<std::string, int> came;
    while (Passed() < kPatienceMs) {
      const Received received = client.Receive(request, 60'000);
      for (const v2::Message& message : received.messages) {
        EXPECT_EQ(message.body(), message.system_properties().lite_topic());
        ++came[message.body()];
      }
      if (!received.messages.empty()) {
        EXPECT_TRUE(AckAll(client, received.messages));
      } else if (came.size() >= kLiteTopics / kClients) {
        break;
      }
    }
    return came;
  }

  const int64_t began_ms_ = SystemClock()->MonotonicMillis();
  BrokerGroup group_{{.folder = StrCat(testing::TempDir(), "/lite-many-", getpid()),
                      .members = 1,
                      .namesrvAddr = "",
                      .configure = {}}};
};

TEST_F(LiteManyTest, EachMessageOfThousandsOfLiteTopicsReachesItsSubscriberOnce) {
  ASSERT_TRUE(Client("operator").UpdateTopic("sessions", 4, adm::LITE).ok());
  Say("started");
  for (int c = 0; c < kClients; ++c) Subscribe(c);
  Say("subscribed");
  std::vector<std::map<std::string, int>> came(kClients);
  std::vector<std::thread> consumers;
  for (int c = 0; c < kClients; ++c) {
    consumers.push_back(StartThread("consumer", [&, c] { came[c] = Consume(c); }));
  }
  SendAll();
  Say("sent");
  for (std::thread& consumer : consumers) consumer.join();
  Say("consumed");
  for (int i = 0; i < kLiteTopics; ++i) {
    for (int c = 0; c < kClients; ++c) {
      const auto found = came[c].find(NameOf(i));
      const int times = found == came[c].end() ? 0 : found->second;
      EXPECT_EQ(times, i % kClients == c ? 1 : 0) << NameOf(i) << " at client " << c;
    }
  }
}

}  // namespace
}  // namespace raftmq::broker
