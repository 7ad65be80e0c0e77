// What users of the client library send and get. Plain values.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ids.h"

namespace raftmq::client {

// When the broker answers a send; what is stored for good is the same for all of them. Less than
// kQuorumFsync can lose an answered message: with kLeader when the leader dies, with kQuorum when a
// majority loses power.
enum class AckLevel {
  kLeader = 1,       // it is in the leader's memory
  kQuorum = 2,       // in a majority's memory
  kQuorumFsync = 3,  // on a majority's disks
  kAll = 4,          // on all members' disks; refused while one of them is away
};
inline constexpr std::pair<AckLevel, std::string_view> kAckLevelNames[] = {
    {AckLevel::kLeader, "leader"},
    {AckLevel::kQuorum, "quorum"},
    {AckLevel::kQuorumFsync, "quorum_fsync"},
    {AckLevel::kAll, "all"},
};

// A message to send. `topic` and `body` are needed, all else is optional.
struct Message {
  std::string topic;
  std::string body;
  std::string tag;
  std::vector<std::string> keys;
  std::map<std::string, std::string> properties;
  std::string message_group;  // FIFO topics: messages of one group keep their order
  // When it is given to consumers, not before: after a level of the brokers' messageDelayLevel (1:
  // the first), or at a time, in milliseconds since 1970 (RocketMQ: setDeliverTimeMs). One of the
  // two, and neither with a message group, a priority or a transaction.
  int32_t delay_level = 0;
  std::optional<int64_t> deliver_ms;
  // Of a transactional message: how long after it was stored its producers are asked first
  // (RocketMQ: CHECK_IMMUNITY_TIME_IN_SECONDS), an hour at most; not set: the brokers' time.
  std::optional<int64_t> check_immunity_ms;
  // Topics of type PRIORITY: what has a higher one is given out first; 0 is the lowest.
  std::optional<int32_t> priority;
  // Not set: the producer's, else the topic's, else the broker's. The same for all of a batch.
  std::optional<AckLevel> ack_level;
};

// Which messages of a topic a consumer wants (RocketMQ: MessageSelector). Text alone is tags.
struct MessageSelector {
  enum class Type { kTag, kSql92 };

  MessageSelector() = default;
  // "*": all; "a || b": those with one of the tags.
  MessageSelector(std::string tags) : expression(std::move(tags)) {}
  MessageSelector(const char* tags) : expression(tags) {}

  static MessageSelector ByTag(std::string tags) { return MessageSelector(std::move(tags)); }
  // SQL92 over the properties, and TAGS: "price > 10 AND region IN ('eu', 'us')". The broker checks
  // it; a bad one is refused with the position of the fault.
  static MessageSelector BySql(std::string sql) {
    MessageSelector selector(std::move(sql));
    selector.type = Type::kSql92;
    return selector;
  }

  bool operator==(const MessageSelector&) const = default;

  Type type = Type::kTag;
  std::string expression = "*";
};

// One queue of a topic, on the broker group that has it.
struct MessageQueue {
  std::string topic;
  std::string broker_name;
  QueueId queue;

  bool operator==(const MessageQueue&) const = default;
};

// What the broker said of a stored message (RocketMQ: SendResult with SEND_OK).
struct SendReceipt {
  std::string message_id;  // also findable with `mqadmin queryMsgByUniqueKey`
  std::string broker_name;
  // None for a message group or a priority: the broker maps it to a queue.
  std::optional<QueueId> queue;
  QueueOffset offset;
  AckLevel ack_level = AckLevel::kQuorumFsync;  // where it certainly was when this was answered
  int attempts = 1;                             // sends it took
  std::string recall_handle;                    // of a delayed message: for Producer::Recall
  std::string transaction_id;                   // of a transactional one
};

// A message received under a lease: ack it before `invisible` is over, or another gets it.
struct ReceivedMessage {
  std::string topic;
  std::string message_id;
  std::string body;
  std::string tag;
  std::vector<std::string> keys;
  std::map<std::string, std::string> properties;
  std::string message_group;
  std::optional<int32_t> priority;
  // The body is as it was sent, compressed: it could not be made out.
  bool still_compressed = false;
  std::string broker_name;
  QueueId queue;
  QueueOffset offset;
  int delivery_attempt = 1;
  int64_t born_ms = 0;
  int64_t store_ms = 0;
  std::string receipt_handle;
  std::string endpoint;  // where it came from, and where its ack goes
};

}  // namespace raftmq::client
