// Producer::Impl: sends over all their tries, and what a producer has besides them: transactions
// that it is asked about, requests that wait for replies. For sources of client/ only: it includes
// gRPC.
//
// Thread-safe. Answers come on the instance's thread "mq-client-cq", pauses end on "mq-client".
#pragma once

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/random.h"
#include "client/grpc_client_instance.h"
#include "client/grpc_group_calls.h"
#include "client/grpc_pending_requests.h"
#include "client/grpc_transaction_checks.h"
#include "client/message_conversion.h"
#include "client/message_id.h"
#include "client/producer.h"
#include "client/queue_choice.h"

namespace raftmq::client {

struct Producer::Impl {
  enum class Mode { kSync, kAsync, kOneway };

  // One send over all its tries.
  struct Call {
    Mode mode = Mode::kSync;
    int tries = 1;  // at most
    std::string topic;
    std::string message_group;
    bool has_priority = false;
    std::optional<MessageQueue> fixed_queue;
    std::optional<AckLevel> ack_level;
    int64_t body_bytes = 0;
    apache::rocketmq::v2::SendMessageRequest request;
    apache::rocketmq::v2::SendMessageResponse response;
    std::unique_ptr<grpc::ClientContext> context;
    std::string broker_name;  // of the newest try
    std::string address;      // of the newest try; "": it got no route
    std::string failed_address;
    std::optional<int32_t> queue;
    int64_t try_began_ms = 0;
    int64_t deadline_ms = 0;  // monotonic
    int attempts = 0;
    bool may_be_stored = false;  // by some try
    SendCallback done;           // not with kOneway
  };
  using CallPtr = std::shared_ptr<Call>;

  Impl(ProducerOptions o, std::unique_ptr<ClientInstance> client);
  // Waits for what is under way.
  ~Impl();

  absl::Status Check(const std::vector<Message>& messages) const;
  absl::Status Admit(Mode mode, int64_t body_bytes);
  bool HasRoom(Mode mode, int64_t body_bytes) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // Takes back what Admit counted.
  void Release(Mode mode, int64_t body_bytes);
  // One message that nobody waits for, to a queue of its own or one that is picked. An error was
  // refused here; `done`, which one-way sends do not have, was not called then.
  absl::Status BeginToQueue(Mode mode, Message message, const MessageQueue& queue,
                            SendCallback& done);
  absl::Status BeginSelecting(Mode mode, Message message, OwnedSelector select, SendCallback& done);
  // `half`: of a transaction.
  void Begin(Mode mode, std::vector<Message> messages, std::optional<MessageQueue> queue,
             SendCallback done, bool half = false);
  absl::StatusOr<std::vector<SendReceipt>> SendAndWait(std::vector<Message> messages,
                                                       std::optional<MessageQueue> queue,
                                                       bool half = false);
  void Try(CallPtr call);
  std::optional<QueueChoice::Chosen> Choose(const Call& call, const TopicRoute& route);
  void SendTo(CallPtr call, const TopicRoute& route);
  void OnAnswer(CallPtr call, const grpc::Status& status);
  void RetryOrFail(CallPtr call, absl::Status failure);
  absl::Status Explain(const Call& call, const absl::Status& failure) const;
  void Finish(Call& call, absl::StatusOr<std::vector<SendReceipt>> result);

  const ProducerOptions options;
  std::unique_ptr<ClientInstance> owned_instance;
  ClientInstance* const instance;  // the same; tasks use it while it is being ended
  FaultStrategy faults;
  QueueChoice choice;
  MessageIdGenerator ids;
  absl::Mutex mu;
  int under_way ABSL_GUARDED_BY(mu) = 0;  // all
  int async_under_way ABSL_GUARDED_BY(mu) = 0;
  int oneway_under_way ABSL_GUARDED_BY(mu) = 0;
  int64_t unwaited_bytes ABSL_GUARDED_BY(mu) = 0;  // of the two
  GroupCalls calls;
  PendingRequests requests;
  std::unique_ptr<TransactionChecks> transactions;  // null without a listener
};

}  // namespace raftmq::client
