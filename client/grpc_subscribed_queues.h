// SubscribedQueues: what a pull consumer that subscribes polls from: its share of its group's
// queues (GroupQueues). It is a client of its own to the brokers, since only who consumes by
// subscription is a member. For sources of client/ only: it includes gRPC.
//
// What Poll returned is in hand until Settle, which the next Poll calls with autoCommit: a queue
// that goes to another member is handed over then.
//
// Thread-safe.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/grpc_group_queues.h"
#include "client/message.h"
#include "client/pull_consumer.h"

namespace raftmq::client {

class SubscribedQueues final : public GroupQueues {
 public:
  static absl::StatusOr<std::unique_ptr<SubscribedQueues>> Start(
      const PullConsumerOptions& options);
  // With autoCommit what was polled is committed.
  ~SubscribedQueues() override;

  std::vector<ReceivedMessage> Poll(int64_t timeout_ms);
  // Settles what Poll returned, and commits. The first error.
  absl::Status CommitSync();
  // NotFound: another member has it, or none.
  absl::StatusOr<std::shared_ptr<QueuePuller>> Find(const MessageQueue& queue) const;
  // A paused queue goes on: Poll looks again.
  void Wake();

 private:
  SubscribedQueues(GroupQueuesOptions queues, std::unique_ptr<ClientInstance> instance,
                   bool auto_commit, size_t batch_size);

  void OnMessages(const HeldPtr& /*held*/) override { Wake(); }
  bool CanPoll(const Held& held) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  bool CanPollAny() const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  // What was polled is not in hand any more; `done`: it was consumed.
  void Settle(bool done);

  const bool auto_commit_;
  const size_t batch_size_;
  std::vector<std::pair<HeldPtr, std::vector<QueueOffset>>> polled_ ABSL_GUARDED_BY(mu_);
  Key last_polled_ ABSL_GUARDED_BY(mu_);
  uint64_t wakes_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace raftmq::client
