// PushConsumer: calls a listener when messages arrive (RocketMQ: DefaultMQPushConsumer). The queues
// of a topic are shared by the members of its group; each is read by one member at a time, which
// holds the queue's lock at the broker: a new owner begins after the old one finished what it had
// in hand and committed, or after a dead one's lock ran out.
//
// When a member joins or goes in an orderly way, a queue that changes its owner delivers nothing
// for as long as the listener needs for what it has in hand of it, and a second at most; each queue
// for itself. What was read ahead is left to the new owner: nothing comes twice. A queue that stays
// is not interrupted. A dead member's queues wait until its locks run out, lockLeaseMillis at most.
//
// Start it, then its methods may be called from any thread but a listener's; listeners run on
// consumeThreadNumber threads "mq-consume". Nothing throws; every failure is a status that says
// what to do. What a listener throws is logged, and counts as kReconsumeLater,
// kSuspendCurrentQueueAMoment if it is orderly; a strategy that throws changes nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/channel_credentials.h"
#include "client/allocate_strategy.h"
#include "client/message.h"
#include "client/read_options.h"

namespace raftmq::client {

enum class MessageModel {
  kClustering,    // each message to one member of the group
  kBroadcasting,  // each message to every member; no retries; offsets are in a file of the member
};

enum class ConsumeConcurrentlyStatus { kConsumeSuccess, kReconsumeLater };

struct ConsumeConcurrentlyContext {
  MessageQueue queue;
  // With kConsumeSuccess: the last message of the batch that was consumed; those behind it come
  // again. All, if it is not changed.
  size_t ack_index = std::numeric_limits<size_t>::max();
  // Of those that come again: a level of the brokers' messageDelayLevel; 0: by how often they came,
  // as the group's retry policy has it, or if none was set RocketMQ's levels.
  int32_t delay_level_when_next_consume = 0;
};

// Of one queue several batches may be under way at once, in any order.
using MessageListenerConcurrently = std::function<ConsumeConcurrentlyStatus(
    const std::vector<ReceivedMessage>& messages, ConsumeConcurrentlyContext& context)>;

enum class ConsumeOrderlyStatus {
  kSuccess,
  kSuspendCurrentQueueAMoment,  // the same messages come again after a moment, before any other
  kCommit,                      // without auto_commit: all since the last commit are consumed
  kRollback,                    // without auto_commit: all since the last commit come again
};

struct ConsumeOrderlyContext {
  MessageQueue queue;
  // False: kSuccess commits nothing; what it is said of counts as held (pullThresholdForQueue)
  // until kCommit, and comes again after kRollback, and to the next owner.
  bool auto_commit = true;
  int64_t suspend_current_queue_time_ms = -1;  // -1: the option's; else 10 to 30,000
};

// Of one queue one batch at a time, in the order of the queue.
using MessageListenerOrderly = std::function<ConsumeOrderlyStatus(
    const std::vector<ReceivedMessage>& messages, ConsumeOrderlyContext& context)>;

// RocketMQ's names and defaults where it has one; times in milliseconds.
struct PushConsumerOptions {
  std::string namesrvAddr;  // NameServers or brokers: "host:port;host:port"
  std::string consumerGroup;
  // Topic → "*", "a || b", or MessageSelector::BySql(…). All members of a group must have the same.
  std::map<std::string, MessageSelector> subscription;
  MessageModel messageModel = MessageModel::kClustering;
  // One of the two.
  MessageListenerConcurrently concurrently;
  MessageListenerOrderly orderly;

  AllocateStrategy allocateMessageQueueStrategy;  // null: averagely
  int consumeThreadNumber = 20;
  size_t consumeMessageBatchMaxSize = 1;
  int32_t pullBatchSize = 32;
  int64_t pullThresholdForQueue = 1'000;
  int64_t pullThresholdSizeForQueue = 100 << 20;
  int64_t consumeConcurrentlyMaxSpan = 2'000;
  ReadOptions read;  // of pulls; where a queue is begun is the leader's word
  // A concurrent listener that has a batch for longer has failed on it: its messages come again,
  // and what it says in the end does not count. Broadcasting: no bound.
  int64_t consumeTimeout = 15 * 60'000;
  int64_t brokerSuspendMaxTimeMillis = 15'000;
  // A message that failed that often goes to the dead-letter queue. -1: concurrently, as often as
  // the group's settings at the broker say; orderly, never.
  int32_t maxReconsumeTimes = -1;
  int64_t suspendCurrentQueueTimeMillis = 1'000;  // 10 to 30,000: less or more is the nearest
  // So long an orderly listener has a queue; then the thread goes to other queues that wait.
  int64_t maxTimeConsumeContinuously = 60'000;
  int64_t persistConsumerOffsetInterval = 5'000;
  int64_t rebalanceInterval = 20'000;
  // How long a queue stays locked when its owner dies; it is renewed three times as often.
  int64_t lockLeaseMillis = 10'000;
  // Broadcasting: where the member's offsets are kept; "": $HOME/.raftmq_offsets.
  std::string localOffsetStoreDir;
  int64_t requestTimeout = 3'000;
  int64_t pollNameServerInterval = 30'000;
  int64_t heartbeatBrokerInterval = 30'000;
  TlsClientOptions tls;
};

class PushConsumer {
 public:
  // InvalidArgument: an option that cannot be, or an expression that a broker, which is asked,
  // refuses.
  static absl::StatusOr<std::unique_ptr<PushConsumer>> Start(PushConsumerOptions options);
  // Waits for listeners that run, commits, and lets go of the queues.
  ~PushConsumer();

  // Changes a topic's expression, or adds it. What was read ahead with the old one is dropped.
  // Waits for a broker, which is asked about the expression: InvalidArgument if it refuses it; then
  // nothing changed. Where none can be asked now, the expression is taken.
  absl::Status Subscribe(const std::string& topic, const MessageSelector& selector);
  void Unsubscribe(const std::string& topic);

  // Of consumeThreadNumber from now on: more threads take messages at once, those that are too many
  // go when their listener returns. InvalidArgument: not 1 to 1,000; nothing changed.
  absl::Status UpdateCorePoolSize(int threads);

  // Listeners are not called until Resume.
  void Suspend();
  void Resume();

  // The queues this member consumes now.
  std::vector<MessageQueue> AssignedQueues() const;
  const std::string& client_id() const;

 private:
  class Impl;
  explicit PushConsumer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace raftmq::client
