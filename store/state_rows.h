// The rows of the replicated state in a database: keys and values of each column.
//
// A key is its names (16-bit length and bytes each), then numbers, all big-endian. A value starts
// with its version. Byte tables: docs/formats.md, "state". Private to BrokerState and
// RocksStateStore.
//
// Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/ids.h"
#include "store/broker_state.h"
#include "store/model.h"
#include "store/offset_move.h"
#include "store/position.h"

namespace raftmq::store {

inline constexpr std::string_view kMetaKey = "state";

struct MetaRow {
  LogIndex applied;
  int64_t log_time_ms = 0;
  int64_t lease_time_ms = 0;
  uint64_t next_lease_id = 0;
  LogPosition min_position;
};
std::string MetaValue(const MetaRow& row);
absl::StatusOr<MetaRow> ParseMetaValue(std::string_view value);

// Topics and groups: the key is the name itself.
struct TopicRow {
  TopicConfig config;       // without its name
  int32_t queue_count = 0;  // queues that exist
};
std::string TopicValue(const TopicRow& row);
absl::StatusOr<TopicRow> ParseTopicValue(std::string_view value);

std::string GroupValue(const GroupConfig& config);
absl::StatusOr<GroupConfig> ParseGroupValue(std::string_view value);  // without its name

struct QueueKey {
  std::string topic;
  QueueId queue;
};
std::string QueueKeyOf(std::string_view topic, QueueId queue);
absl::StatusOr<QueueKey> ParseQueueKey(std::string_view key);
std::string QueueValue(const QueueEnds& ends);
absl::StatusOr<QueueEnds> ParseQueueValue(std::string_view value);

struct PositionKey {
  std::string group;
  std::string topic;
  QueueId queue;
};
std::string PositionKeyOf(std::string_view group, std::string_view topic, QueueId queue);
absl::StatusOr<PositionKey> ParsePositionKey(std::string_view key);
std::string PositionValue(QueueOffset next);
absl::StatusOr<QueueOffset> ParsePositionValue(std::string_view value);

struct LeaseKey {
  PositionKey position;
  QueueOffset offset;
};
std::string LeaseKeyOf(std::string_view group, std::string_view topic, QueueId queue,
                       QueueOffset offset);
absl::StatusOr<LeaseKey> ParseLeaseKey(std::string_view key);
// A timer's value is its record's size.
std::string TimerKeyOf(const TimerRef& timer);
absl::StatusOr<TimerRef> ParseTimerKey(std::string_view key);
std::string TimerValue(int32_t record_size);
absl::StatusOr<int32_t> ParseTimerValue(std::string_view value);

// A transaction's key is its half message's position.
std::string TransactionKeyOf(LogPosition position);
absl::StatusOr<LogPosition> ParseTransactionKey(std::string_view key);
std::string TransactionValue(const HalfMessage& half);
absl::StatusOr<HalfMessage> ParseTransactionValue(std::string_view value);

// A transaction that ended is kept under its number.
std::string EndedTransactionKeyOf(uint64_t number);
std::string EndedTransactionValue(const EndedTransactions::Entry& entry);
absl::StatusOr<EndedTransactions::Entry> ParseEndedTransaction(std::string_view key,
                                                               std::string_view value);

// So is a message that was dead-lettered.
std::string DeadLetteredKeyOf(uint64_t number);
std::string DeadLetteredValue(const DeadLettered::Entry& entry);
absl::StatusOr<DeadLettered::Entry> ParseDeadLettered(std::string_view key, std::string_view value);

// A range of messages that were re-driven: its queue and first offset; its end. The key is read
// into a LeaseKey without a group.
std::string RedrivenKeyOf(std::string_view topic, QueueId queue, QueueOffset begin);
absl::StatusOr<LeaseKey> ParseRedrivenKey(std::string_view key);
std::string RedrivenValue(QueueOffset end);
absl::StatusOr<QueueOffset> ParseRedrivenValue(std::string_view value);

// A record that was kept: its place under its position; its bytes in a column of their own.
std::string KeptKeyOf(LogPosition position);
absl::StatusOr<LogPosition> ParseKeptKey(std::string_view key);
std::string KeptValue(const KeptRecord& record);
absl::StatusOr<KeptRecord> ParseKeptValue(std::string_view value);
std::string KeptBytesValue(std::string_view record);
// A view into `value`.
absl::StatusOr<std::string_view> ParseKeptBytesValue(std::string_view value);

// A queue's lock has the key of its position.
std::string QueueLockValue(const QueueLock& lock);
absl::StatusOr<QueueLock> ParseQueueLockValue(std::string_view value);

// A move of a group's offsets has its number in its key.
struct OffsetMoveKey {
  std::string group;
  uint64_t number = 0;
};
std::string OffsetMoveKeyOf(std::string_view group, uint64_t number);
absl::StatusOr<OffsetMoveKey> ParseOffsetMoveKey(std::string_view key);
std::string OffsetMoveValue(const OffsetMove& move);
absl::StatusOr<OffsetMove> ParseOffsetMoveValue(std::string_view value);  // without its number
// A lite subscription is all key: client, group, parent topic, lite topic.
std::string LiteSubscriptionKeyOf(const LiteSubscriptionKey& key);
absl::StatusOr<LiteSubscriptionKey> ParseLiteSubscriptionKey(std::string_view key);
std::string LiteSubscriptionValue();
absl::Status CheckLiteSubscriptionValue(std::string_view value);

std::string LeaseValue(const Lease& lease);
absl::StatusOr<Lease> ParseLeaseValue(std::string_view value);

}  // namespace raftmq::store
