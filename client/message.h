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
  // Not set: the producer's, else the topic's, else the broker's. The same for all of a batch.
  std::optional<AckLevel> ack_level;
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
  std::optional<QueueId> queue;  // none for a message group: the broker maps it to a queue
  QueueOffset offset;
  AckLevel ack_level = AckLevel::kQuorumFsync;  // where it certainly was when this was answered
  int attempts = 1;                             // sends it took
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
