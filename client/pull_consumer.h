// PullConsumer: reads queues by offset, when the application asks (RocketMQ: DefaultMQPullConsumer
// and DefaultLitePullConsumer). Which queues it polls, the application says (Assign), or the
// group's members share them as push consumers do (Subscribe); by hand any can be read. Offsets are
// committed for the group, in the brokers' replicated log, and survive a killed leader.
//
// Thread-safe; one thread at a time should Poll, or order is lost. Nothing throws; every failure
// is a status that says what to do.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/channel_credentials.h"
#include "client/allocate_strategy.h"
#include "client/message.h"
#include "client/read_options.h"

namespace raftmq::client {

// RocketMQ's names and defaults where it has one; times in milliseconds.
struct PullConsumerOptions {
  std::string namesrvAddr;  // NameServers or brokers: "host:port;host:port"
  std::string consumerGroup;
  int64_t brokerSuspendMaxTimeMillis = 20'000;  // how long a pull waits at the broker
  // Of a pull by hand, over all its tries: one that does not wait, and one that does, with its
  // wait.
  int64_t consumerPullTimeoutMillis = 10'000;
  int64_t consumerTimeoutMillisWhenSuspend = 30'000;  // more than brokerSuspendMaxTimeMillis
  int64_t requestTimeout = 3'000;                     // of another call, over all its tries
  // Of pulls, and of reads of offsets. Where assigned and subscribed queues are begun is the
  // leader's word.
  ReadOptions read;
  // Of assigned and subscribed queues.
  int32_t pullBatchSize = 32;
  int64_t pullThresholdForQueue = 1'000;          // messages held of a queue
  int64_t pullThresholdSizeForQueue = 100 << 20;  // bytes
  bool autoCommit = true;                         // Poll commits what earlier Polls returned
  int64_t autoCommitIntervalMillis = 5'000;
  // Of subscribed queues.
  AllocateStrategy allocateMessageQueueStrategy;  // null: averagely
  // A queue that goes to another member waits so long until what was polled of it is settled, by
  // the next Poll or a commit. Then it goes all the same, and the other gets these messages again.
  int64_t handOverTimeoutMillis = 30'000;
  int64_t pollNameServerInterval = 30'000;
  int64_t heartbeatBrokerInterval = 30'000;
  TlsClientOptions tls;
};

enum class PullStatus {
  kFound,
  kNoNewMessage,      // nothing from that offset on
  kNoMatchedMessage,  // there is, but the filter left it all out
  kOffsetIllegal,     // the queue does not hold that offset; next_begin_offset is its nearest end
};

struct PullResult {
  PullStatus status = PullStatus::kNoNewMessage;
  QueueOffset next_begin_offset;  // where to go on
  std::vector<ReceivedMessage> messages;
};

class PullConsumer {
 public:
  static absl::StatusOr<std::unique_ptr<PullConsumer>> Start(PullConsumerOptions options);
  // Commits what was polled, with autoCommit.
  ~PullConsumer();

  absl::StatusOr<std::vector<MessageQueue>> FetchSubscribeMessageQueues(const std::string& topic);

  // ---- By hand. At most 32 messages come. `read`: not as the consumer's options have it.
  using Read = std::optional<ReadOptions>;

  // What is there now.
  absl::StatusOr<PullResult> Pull(const MessageQueue& queue, const MessageSelector& selector,
                                  QueueOffset offset, int32_t max, const Read& read = {});
  // Waits for a message, brokerSuspendMaxTimeMillis at most. What is there is read as fresh as
  // asked when it begins to wait.
  absl::StatusOr<PullResult> PullBlockIfNotFound(const MessageQueue& queue,
                                                 const MessageSelector& selector,
                                                 QueueOffset offset, int32_t max,
                                                 const Read& read = {});
  // The same without a thread that waits. `done` is called once, on a thread of the library, which
  // it must not hold up; it may pull again.
  using PullCallback = absl::AnyInvocable<void(absl::StatusOr<PullResult>)>;
  void PullAsync(const MessageQueue& queue, const MessageSelector& selector, QueueOffset offset,
                 int32_t max, PullCallback done, const Read& read = {});

  // The group's offset on the queue: where its next member begins.
  absl::Status UpdateConsumeOffset(const MessageQueue& queue, QueueOffset offset);
  // None: the group has none on this topic yet. Without maxLagMillis it is the leader's answer.
  absl::StatusOr<std::optional<QueueOffset>> FetchConsumeOffset(const MessageQueue& queue,
                                                                const Read& read = {});
  absl::StatusOr<QueueOffset> MinOffset(const MessageQueue& queue, const Read& read = {});
  // One past the last. Without maxLagMillis it is linearizable.
  absl::StatusOr<QueueOffset> MaxOffset(const MessageQueue& queue, const Read& read = {});
  // Of the first message stored at that time or later; MaxOffset if there is none.
  absl::StatusOr<QueueOffset> SearchOffset(const MessageQueue& queue, int64_t timestamp_ms,
                                           const Read& read = {});

  // ---- Subscribed queues, read ahead in the background

  // From now on this is a member of its group, and polls from its share of the topic's queues. A
  // queue is read by one member at a time, and goes to another once what was polled of it is
  // settled. All members of a group must subscribe to the same, and be of one kind.
  // InvalidArgument: a broker, which is asked, refuses the expression. FailedPrecondition: queues
  // are assigned.
  absl::Status Subscribe(const std::string& topic, const MessageSelector& selector = "*");
  void Unsubscribe(const std::string& topic);

  // ---- Assigned queues, read ahead in the background

  // From now on these are read, in each from the group's offset on, or from the first message if it
  // has none. Queues that were assigned before and still are go on where they are; of others what
  // was read ahead is dropped. FailedPrecondition: Subscribe was called.
  absl::Status Assign(const std::vector<MessageQueue>& queues,
                      const MessageSelector& selector = "*");
  // Of assigned or subscribed queues: those that are polled now.
  std::vector<MessageQueue> Assignment() const;

  // ---- Both

  // The next messages of one of the queues, which take turns; empty if none came in that time. With
  // autoCommit it says that what earlier ones returned is consumed.
  std::vector<ReceivedMessage> Poll(int64_t timeout_ms);

  // NotFound: the queue is not assigned, or is not this member's.
  absl::Status Seek(const MessageQueue& queue, QueueOffset offset);
  absl::Status SeekToBegin(const MessageQueue& queue);
  absl::Status SeekToEnd(const MessageQueue& queue);
  // What is read ahead of a paused queue is polled once it is resumed. A subscribed queue that went
  // to another member and comes back is not paused any more.
  absl::Status Pause(const MessageQueue& queue);
  absl::Status Resume(const MessageQueue& queue);

  // Commits all that Poll returned. The first error, if any; the other queues are committed.
  absl::Status CommitSync();

 private:
  struct Impl;
  explicit PullConsumer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace raftmq::client
