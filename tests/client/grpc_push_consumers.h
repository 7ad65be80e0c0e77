// PushConsumerTest: a fixture for push consumers that note what their listeners get, and a member
// of a group that can die.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "client/push_consumer.h"
#include "raftmq/v1/consumers.grpc.pb.h"
#include "tests/client/grpc_cluster.h"

namespace raftmq::client {

// What listeners of a test saw, by consumer.
class Seen {
 public:
  void Add(const std::string& who, const std::vector<ReceivedMessage>& messages) {
    absl::MutexLock lock(&mu_);
    for (const ReceivedMessage& m : messages) {
      ++times_[m.body];
      bodies_[who].push_back(m.body);
    }
  }
  size_t distinct() const {
    absl::MutexLock lock(&mu_);
    return times_.size();
  }
  int times(const std::string& body) const {
    absl::MutexLock lock(&mu_);
    const auto it = times_.find(body);
    return it == times_.end() ? 0 : it->second;
  }
  std::vector<std::string> Twice() const {
    absl::MutexLock lock(&mu_);
    std::vector<std::string> twice;
    for (const auto& [body, times] : times_) {
      if (times > 1) twice.push_back(body);
    }
    return twice;
  }
  std::vector<std::string> of(const std::string& who) const {
    absl::MutexLock lock(&mu_);
    const auto it = bodies_.find(who);
    return it == bodies_.end() ? std::vector<std::string>() : it->second;
  }

 private:
  mutable absl::Mutex mu_;
  std::map<std::string, int> times_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::vector<std::string>> bodies_ ABSL_GUARDED_BY(mu_);
};

class PushConsumerTest : public ClientTest {
 protected:
  void SetUp() override { StartNameServers(1); }

  PushConsumerOptions Options() {
    PushConsumerOptions options;
    options.namesrvAddr = NamesrvAddr();
    options.consumerGroup = "workers";
    options.subscription = {{"orders", "*"}};
    options.consumeThreadNumber = 4;
    options.lockLeaseMillis = 3'000;
    options.suspendCurrentQueueTimeMillis = 20;
    return options;
  }
  static std::unique_ptr<PushConsumer> Run(PushConsumerOptions options) {
    auto consumer = PushConsumer::Start(std::move(options));
    CHECK(consumer.ok()) << consumer.status();
    return *std::move(consumer);
  }
  PushConsumerOptions OptionsOf(const std::string& who) {
    PushConsumerOptions options = Options();
    options.concurrently = [this, who](const auto& messages, auto&) {
      seen_.Add(who, messages);
      return ConsumeConcurrentlyStatus::kConsumeSuccess;
    };
    return options;
  }
  std::unique_ptr<PushConsumer> RunConcurrently(const std::string& who) {
    return Run(OptionsOf(who));
  }

  void SendAll(int from, int to) {
    auto producer = StartProducer();
    for (int i = from; i < to; ++i) {
      auto sent = producer->Send(Make("orders", StrCat(i)));
      ASSERT_TRUE(sent.ok()) << sent.status();
    }
  }
  // So many queues for each, together all of them.
  void AwaitShares(const std::vector<PushConsumer*>& consumers, std::vector<size_t> shares) {
    WaitUntil([&] {
      std::vector<size_t> now;
      for (PushConsumer* consumer : consumers) now.push_back(consumer->AssignedQueues().size());
      std::sort(now.begin(), now.end());
      return now == shares;
    });
  }

  Seen seen_;
};

// A member by hand, whose process can die: its stream breaks, and nobody renews or lets go.
class MemberByHand {
 public:
  static constexpr char kClientId[] = "zz-by-hand";  // sorted last

  MemberByHand(int port, const std::string& group)
      : stub_(::raftmq::v1::Consumers::NewStub(
            grpc::CreateChannel(StrCat("127.0.0.1:", port), grpc::InsecureChannelCredentials()))) {
    Fill(&watch_context_);
    ::raftmq::v1::WatchGroupRequest request;
    request.set_group(group);
    watch_ = stub_->WatchGroup(&watch_context_, request);
    ::raftmq::v1::GroupMembers members;
    CHECK(watch_->Read(&members));
  }
  std::vector<int32_t> Lock(const std::string& group, const std::string& topic, int queue,
                            int64_t lease_ms) {
    grpc::ClientContext context;
    Fill(&context);
    ::raftmq::v1::LockQueuesRequest request;
    request.set_group(group);
    request.set_topic(topic);
    request.add_queues(queue);
    request.set_lease_ms(lease_ms);
    ::raftmq::v1::LockQueuesResponse response;
    const grpc::Status status = stub_->LockQueues(&context, request, &response);
    CHECK(status.ok()) << status.error_message();
    return {response.queues().begin(), response.queues().end()};
  }
  void Die() {
    watch_context_.TryCancel();
    watch_->Finish();
  }

 private:
  static void Fill(grpc::ClientContext* context) {
    context->AddMetadata("x-mq-client-id", kClientId);
    context->AddMetadata("x-mq-language", "RAFTMQ");
  }

  const std::unique_ptr<::raftmq::v1::Consumers::Stub> stub_;
  grpc::ClientContext watch_context_;
  std::unique_ptr<grpc::ClientReader<::raftmq::v1::GroupMembers>> watch_;
};

}  // namespace raftmq::client
