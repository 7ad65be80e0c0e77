// The nouns of the store: topics, groups, messages to send, deliveries. Plain values.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "dledger/ledger.h"
#include "store/retry_policy.h"

namespace raftmq::store {

// RocketMQ's topic attribute message.type.
enum class TopicType : uint8_t {
  kNormal = 1,
  kFifo = 2,
  kDelay = 3,
  kTransaction = 4,
  kMixed = 5,  // any of the above
  // Has no messages itself: those of its lite topics, each a topic of one queue (names.h).
  kLite = 6,
  // A message's priority is its queue, up to the highest that there is; receivers are given those
  // of higher queues first.
  kPriority = 7,
};

inline constexpr uint8_t kPermRead = 4;
inline constexpr uint8_t kPermWrite = 2;

inline constexpr int32_t kMaxReserveHours = 24 * 36'500;  // a hundred years

struct TopicConfig {
  std::string name;
  int32_t read_queues = 8;
  int32_t write_queues = 8;
  uint8_t perm = kPermRead | kPermWrite;
  TopicType type = TopicType::kNormal;
  // When senders to it are answered, unless they say; none: the broker's default.
  std::optional<dledger::AckLevel> ack_level;
  // Of type LITE: its lite topics go when nothing was sent to them for so many minutes
  // (lite.topic.expiration); -1: never.
  int32_t lite_expiration_minutes = -1;
  // Nobody is given a message of it that is older than so many hours (reserve.time); -1: as long as
  // the log keeps it.
  int32_t reserve_hours = -1;
  // Index of the entry that created it; records of this name with a lower index belong to a deleted
  // topic and are skipped.
  LogIndex created_index;
  int64_t created_ms = 0;

  bool operator==(const TopicConfig&) const = default;
};

// Where a group begins on a queue it has no position on, decided when the group is created.
enum class ConsumeFrom : uint8_t { kFirst = 1, kLast = 2, kTimestamp = 3 };

struct GroupConfig {
  std::string name;
  bool consume_enable = true;
  bool orderly = false;
  // A message that fails is given out again so often at most, then it is dead-lettered.
  int32_t retry_max_times = 16;
  RetryPolicy retry_policy;
  ConsumeFrom consume_from = ConsumeFrom::kFirst;
  int64_t consume_timestamp_ms = 0;  // with kTimestamp
  // Whether a lite topic has one subscriber in this group, the latest (lite.sub.model=Exclusive).
  bool lite_exclusive = false;
  int32_t lite_client_quota = 2'000;  // lite topics of one client (lite.sub.client.quota)
  LogIndex created_index;
  int64_t created_ms = 0;

  // How often a message is given out at most.
  int64_t max_attempts() const { return int64_t{retry_max_times} + 1; }

  bool operator==(const GroupConfig&) const = default;
};

// One message on its way in, checked by the broker.
struct NewMessage {
  std::string topic;
  std::optional<QueueId> queue;  // none: the leader picks (message group's hash, else round robin)
  std::string message_id;        // the client's, UNIQ_KEY
  std::string client_id;         // who sends it; "": nobody who might repeat it
  std::string tag;
  std::vector<std::string> keys;
  std::string message_group;
  std::string trace_context;
  std::map<std::string, std::string> user_properties;
  std::string body;
  bool body_gzip = false;
  TopicType type = TopicType::kNormal;  // never kMixed
  // With kDelay: when it is to be delivered, wall time. In the past: at once.
  int64_t deliver_ms = 0;
  int32_t delay_level = 0;  // which of the broker's levels deliver_ms was made from, 0: none
  // With kPriority: higher ones are given out first; none: the lowest, 0.
  std::optional<int32_t> priority;
  // With kTransaction: how long after storing it its producers are asked first; none: the broker's
  // transactionTimeOut.
  std::optional<int64_t> check_immunity_ms;
  int64_t born_ms = 0;
  std::string born_host;  // numeric address, or any text (kept as a property then)
};

struct SendResult {
  std::string message_id;
  QueueId queue;
  QueueOffset offset;
  LogPosition position;
  int64_t store_ms = 0;
  // Of a delayed message that waits: when it is due, and what to recall it by. Queue and offset are
  // those of the topic it waits in.
  int64_t due_ms = 0;
  std::string recall_handle;
  std::string transaction_id;  // of a half message, likewise
  // It was stored before: this is a repeated send, and all of the above is the first one's.
  bool repeated = false;
  // Where it certainly is by now: what was asked for, or better.
  dledger::AckLevel reached = dledger::AckLevel::kMajorityDisk;
};

class SqlFilter;  // store/sql_filter.h

// Which messages of a topic a receiver wants: all, or by tag, or by an expression.
struct MessageFilter {
  // Any of these tags; hashes are compared in the consume queue first, the text in the record then.
  std::vector<std::string> tags;
  // If set it alone decides; it is asked about each record's properties.
  std::shared_ptr<const SqlFilter> sql;

  bool PassesAll() const { return tags.empty() && sql == nullptr; }
};

struct ReceiveRequest {
  std::string group;
  std::string topic;
  std::optional<QueueId> queue;  // none: any queue of the topic, in a turning order
  // From the lite topics of `topic`, of type LITE, that client_id has subscribed to.
  bool lite = false;
  MessageFilter filter;
  int32_t max_messages = 32;
  int64_t invisible_ms = 60'000;
  std::string client_id;
  std::string attempt_id;
};

// One message on its way out.
struct Delivery {
  std::string record;  // the stored record; parse with ParseRecord
  QueueId queue;
  QueueOffset offset;
  int32_t attempt = 1;
  std::string receipt_handle;
  int64_t invisible_ms = 0;
};

struct ReceiveResult {
  std::vector<Delivery> deliveries;
  // When nothing was found: milliseconds until a lease of this group on this topic expires, so that
  // the waiter can look again then; none if there is no such lease.
  std::optional<int64_t> next_visible_in_ms;
  // When nothing was found: there is something, but the group has as many messages in flight on its
  // queue as it may.
  bool inflight_full = false;
};

// A consumer of the classic model wants queues of a topic for itself alone.
struct QueueLockRequest {
  std::string group;
  std::string topic;
  std::string client_id;
  std::vector<QueueId> queues;
  int64_t lease_ms = 0;  // 0: it lets go of them
};

// What one client of a group has of a queue.
struct QueueHold {
  std::string topic;
  QueueId queue;
  std::string client_id;
  bool locked = false;   // the queue is its own (classic model)
  bool revoked = false;  // but it must let go: an operator moved the offset
  int64_t inflight = 0;  // messages leased to it (pop)
};

// A consumer group's progress on one queue.
struct QueueProgress {
  std::string topic;
  QueueId queue;
  QueueOffset min_offset;     // of the queue
  QueueOffset max_offset;     // of the queue: one past the last applied message
  QueueOffset commit_offset;  // everything below is acked
  QueueOffset next_offset;    // first never given out
  int64_t inflight = 0;       // leased and not acked
  int64_t last_store_ms = 0;  // store time of the last acked message, 0 if unknown
};

}  // namespace raftmq::store
