#include "store/state_rows.h"

#include "absl/status/status.h"
#include "base/endian.h"
#include "base/strings.h"
#include "store/byte_reader.h"
#include "store/retry_policy_codec.h"

namespace raftmq::store {
namespace {

constexpr uint8_t kVersion = 1;
constexpr uint8_t kLeaseInOrderVersion = 2;
constexpr uint8_t kGroupWithPolicyVersion = 2;
constexpr uint8_t kGroupWithLiteVersion = 3;
constexpr uint8_t kTopicAckLevelVersion = 2;
constexpr uint8_t kTopicWithLiteVersion = 3;
constexpr uint8_t kQueueWithForOneVersion = 2;
constexpr uint8_t kTopicWithReserveVersion = 4;
constexpr uint8_t kMetaWithPositionVersion = 2;
constexpr uint8_t kRevokedLockVersion = 2;

void AppendText(std::string* out, std::string_view text) {
  AppendBe(out, static_cast<uint16_t>(text.size()));
  out->append(text);
}

std::string NewValue() { return std::string(1, static_cast<char>(kVersion)); }

std::string NewKey(std::string_view a, std::string_view b, size_t numbers) {
  std::string key;
  key.reserve(2 + a.size() + 2 + b.size() + numbers);
  return key;
}

absl::Status Damaged(std::string_view what, std::string_view bytes) {
  return absl::DataLossError(
      StrCat("a ", what, " of the state database is malformed (", bytes.size(), " bytes)"));
}

absl::StatusOr<uint8_t> TakeVersion(ByteReader& in, std::string_view what, std::string_view bytes,
                                    uint8_t newest) {
  uint8_t version = in.Take<uint8_t>();
  if (!in.ok()) return Damaged(what, bytes);
  if (version < kVersion || version > newest) {
    return absl::UnimplementedError(StrCat("a ", what, " of the state database has version ",
                                           static_cast<int>(version), ", this release knows ",
                                           static_cast<int>(newest), ": upgrade this member"));
  }
  return version;
}

absl::Status CheckVersion(ByteReader& in, std::string_view what, std::string_view bytes) {
  return TakeVersion(in, what, bytes, kVersion).status();
}

int64_t TakeNonNegative(ByteReader& in) {
  int64_t v = in.Take<int64_t>();
  if (v < 0) in.Fail();
  return v;
}

QueueId TakeQueue(ByteReader& in) {
  int32_t queue = in.Take<int32_t>();
  if (queue < 0 || queue >= kMaxQueues) in.Fail();
  return QueueId(queue);
}

PositionKey TakePositionKey(ByteReader& in) {
  PositionKey key;
  key.group = std::string(in.TakeText(kMaxNameBytes));
  key.topic = std::string(in.TakeText(kMaxNameBytes));
  key.queue = TakeQueue(in);
  return key;
}

}  // namespace

std::string MetaValue(const MetaRow& row) {
  std::string out = NewValue();
  const bool has_position = row.min_position > LogPosition(0);
  if (has_position) out[0] = static_cast<char>(kMetaWithPositionVersion);
  AppendBe(&out, row.applied.value());
  AppendBe(&out, row.log_time_ms);
  AppendBe(&out, row.lease_time_ms);
  AppendBe(&out, row.next_lease_id);
  if (has_position) AppendBe(&out, row.min_position.value());
  return out;
}

absl::StatusOr<MetaRow> ParseMetaValue(std::string_view value) {
  ByteReader in(value);
  RAFTMQ_ASSIGN_OR_RETURN(const uint8_t version,
                          TakeVersion(in, "state row", value, kMetaWithPositionVersion));
  MetaRow row;
  row.applied = LogIndex(TakeNonNegative(in));
  row.log_time_ms = TakeNonNegative(in);
  row.lease_time_ms = TakeNonNegative(in);
  row.next_lease_id = in.Take<uint64_t>();
  if (version == kMetaWithPositionVersion) row.min_position = LogPosition(TakeNonNegative(in));
  if (!in.Finished()) return Damaged("state row", value);
  return row;
}

std::string TopicValue(const TopicRow& row) {
  const auto& ack_level = row.config.ack_level;
  const bool reserve = row.config.reserve_hours != TopicConfig().reserve_hours;
  const bool lite =
      reserve || row.config.lite_expiration_minutes != TopicConfig().lite_expiration_minutes;
  std::string out(1, static_cast<char>(reserve     ? kTopicWithReserveVersion
                                       : lite      ? kTopicWithLiteVersion
                                       : ack_level ? kTopicAckLevelVersion
                                                   : kVersion));
  AppendBe(&out, row.config.read_queues);
  AppendBe(&out, row.config.write_queues);
  AppendBe(&out, row.config.perm);
  AppendBe(&out, static_cast<uint8_t>(row.config.type));
  AppendBe(&out, row.config.created_index.value());
  AppendBe(&out, row.config.created_ms);
  AppendBe(&out, row.queue_count);
  if (ack_level || lite) AppendBe(&out, ack_level ? static_cast<uint8_t>(*ack_level) : uint8_t{0});
  if (lite) AppendBe(&out, row.config.lite_expiration_minutes);
  if (reserve) AppendBe(&out, row.config.reserve_hours);
  return out;
}

absl::StatusOr<TopicRow> ParseTopicValue(std::string_view value) {
  ByteReader in(value);
  RAFTMQ_ASSIGN_OR_RETURN(const uint8_t version,
                          TakeVersion(in, "topic", value, kTopicWithReserveVersion));
  TopicRow row;
  row.config.read_queues = in.Take<int32_t>();
  row.config.write_queues = in.Take<int32_t>();
  row.config.perm = in.Take<uint8_t>();
  row.config.type = static_cast<TopicType>(in.Take<uint8_t>());
  row.config.created_index = LogIndex(TakeNonNegative(in));
  row.config.created_ms = TakeNonNegative(in);
  row.queue_count = in.Take<int32_t>();
  const uint8_t ack_level = version >= kTopicAckLevelVersion ? in.Take<uint8_t>() : 0;
  if (ack_level > static_cast<uint8_t>(dledger::AckLevel::kAllDisks) ||
      (ack_level == 0 && version == kTopicAckLevelVersion)) {
    in.Fail();
  }
  if (ack_level != 0) row.config.ack_level = static_cast<dledger::AckLevel>(ack_level);
  if (version >= kTopicWithLiteVersion) row.config.lite_expiration_minutes = in.Take<int32_t>();
  if (version == kTopicWithReserveVersion) row.config.reserve_hours = in.Take<int32_t>();
  bool good = in.Finished() && row.config.read_queues >= 0 && row.config.write_queues >= 0 &&
              row.queue_count >= 0 && row.queue_count <= kMaxQueues &&
              row.config.type >= TopicType::kNormal && row.config.type <= TopicType::kPriority;
  if (!good) return Damaged("topic", value);
  return row;
}

std::string GroupValue(const GroupConfig& config) {
  const bool with_policy = config.retry_policy != RetryPolicy();
  const bool lite =
      config.lite_exclusive || config.lite_client_quota != GroupConfig().lite_client_quota;
  std::string out(1, static_cast<char>(lite          ? kGroupWithLiteVersion
                                       : with_policy ? kGroupWithPolicyVersion
                                                     : kVersion));
  AppendBe(&out, static_cast<uint8_t>(config.consume_enable));
  AppendBe(&out, static_cast<uint8_t>(config.orderly));
  AppendBe(&out, config.retry_max_times);
  AppendBe(&out, static_cast<uint8_t>(config.consume_from));
  AppendBe(&out, config.consume_timestamp_ms);
  AppendBe(&out, config.created_index.value());
  AppendBe(&out, config.created_ms);
  if (with_policy || lite) AppendRetryPolicy(&out, config.retry_policy);
  if (lite) {
    AppendBe(&out, static_cast<uint8_t>(config.lite_exclusive));
    AppendBe(&out, config.lite_client_quota);
  }
  return out;
}

absl::StatusOr<GroupConfig> ParseGroupValue(std::string_view value) {
  ByteReader in(value);
  RAFTMQ_ASSIGN_OR_RETURN(const uint8_t version,
                          TakeVersion(in, "group", value, kGroupWithLiteVersion));
  GroupConfig config;
  uint8_t consume_enable = in.Take<uint8_t>();
  uint8_t orderly = in.Take<uint8_t>();
  config.consume_enable = consume_enable == 1;
  config.orderly = orderly == 1;
  config.retry_max_times = in.Take<int32_t>();
  config.consume_from = static_cast<ConsumeFrom>(in.Take<uint8_t>());
  config.consume_timestamp_ms = in.Take<int64_t>();
  config.created_index = LogIndex(TakeNonNegative(in));
  config.created_ms = TakeNonNegative(in);
  if (version >= kGroupWithPolicyVersion) config.retry_policy = TakeRetryPolicy(in);
  if (version == kGroupWithLiteVersion) {
    config.lite_exclusive = in.Take<uint8_t>() == 1;
    config.lite_client_quota = in.Take<int32_t>();
  }
  bool good = in.Finished() && consume_enable <= 1 && orderly <= 1 &&
              config.consume_from >= ConsumeFrom::kFirst &&
              config.consume_from <= ConsumeFrom::kTimestamp;
  if (!good) return Damaged("group", value);
  return config;
}

std::string QueueKeyOf(std::string_view topic, QueueId queue) {
  std::string key = NewKey(topic, "", 4);
  AppendText(&key, topic);
  AppendBe(&key, queue.value());
  return key;
}

absl::StatusOr<QueueKey> ParseQueueKey(std::string_view key) {
  ByteReader in(key);
  QueueKey parsed;
  parsed.topic = std::string(in.TakeText(kMaxNameBytes));
  parsed.queue = TakeQueue(in);
  if (!in.Finished()) return Damaged("queue's key", key);
  return parsed;
}

std::string QueueValue(const QueueEnds& ends) {
  const bool for_one = ends.for_one_end > QueueOffset(0);
  std::string out(1, static_cast<char>(for_one ? kQueueWithForOneVersion : kVersion));
  AppendBe(&out, ends.min.value());
  AppendBe(&out, ends.max.value());
  AppendBe(&out, ends.last_store_ms);
  if (for_one) {
    AppendBe(&out, ends.for_one_begin.value());
    AppendBe(&out, ends.for_one_end.value());
  }
  return out;
}

absl::StatusOr<QueueEnds> ParseQueueValue(std::string_view value) {
  ByteReader in(value);
  RAFTMQ_ASSIGN_OR_RETURN(const uint8_t version,
                          TakeVersion(in, "queue", value, kQueueWithForOneVersion));
  QueueEnds ends;
  ends.min = QueueOffset(TakeNonNegative(in));
  ends.max = QueueOffset(TakeNonNegative(in));
  ends.last_store_ms = in.Take<int64_t>();
  bool good = ends.min <= ends.max;
  if (version == kQueueWithForOneVersion) {
    ends.for_one_begin = QueueOffset(TakeNonNegative(in));
    ends.for_one_end = QueueOffset(TakeNonNegative(in));
    good = good && ends.for_one_begin < ends.for_one_end && ends.for_one_end <= ends.max;
  }
  if (!in.Finished() || !good) return Damaged("queue", value);
  return ends;
}

std::string PositionKeyOf(std::string_view group, std::string_view topic, QueueId queue) {
  std::string key = NewKey(group, topic, 4);
  AppendText(&key, group);
  AppendText(&key, topic);
  AppendBe(&key, queue.value());
  return key;
}

absl::StatusOr<PositionKey> ParsePositionKey(std::string_view key) {
  ByteReader in(key);
  PositionKey parsed = TakePositionKey(in);
  if (!in.Finished()) return Damaged("position's key", key);
  return parsed;
}

std::string PositionValue(QueueOffset next) {
  std::string out = NewValue();
  AppendBe(&out, next.value());
  return out;
}

absl::StatusOr<QueueOffset> ParsePositionValue(std::string_view value) {
  ByteReader in(value);
  RAFTMQ_RETURN_IF_ERROR(CheckVersion(in, "position", value));
  QueueOffset next(TakeNonNegative(in));
  if (!in.Finished()) return Damaged("position", value);
  return next;
}

std::string LeaseKeyOf(std::string_view group, std::string_view topic, QueueId queue,
                       QueueOffset offset) {
  std::string key = NewKey(group, topic, 12);
  AppendText(&key, group);
  AppendText(&key, topic);
  AppendBe(&key, queue.value());
  AppendBe(&key, offset.value());
  return key;
}

absl::StatusOr<LeaseKey> ParseLeaseKey(std::string_view key) {
  ByteReader in(key);
  LeaseKey parsed;
  parsed.position = TakePositionKey(in);
  parsed.offset = QueueOffset(TakeNonNegative(in));
  if (!in.Finished()) return Damaged("lease's key", key);
  return parsed;
}

std::string LeaseValue(const Lease& lease) {
  const bool in_order = lease.message_group != 0 || lease.attempt == 0;
  std::string out(1, static_cast<char>(in_order ? kLeaseInOrderVersion : kVersion));
  AppendBe(&out, lease.lease_id);
  AppendBe(&out, lease.until_ms);
  AppendBe(&out, lease.attempt);
  AppendText(&out, lease.owner->client_id);
  AppendText(&out, lease.owner->attempt_id);
  if (in_order) AppendBe(&out, lease.message_group);
  return out;
}

absl::StatusOr<Lease> ParseLeaseValue(std::string_view value) {
  ByteReader in(value);
  RAFTMQ_ASSIGN_OR_RETURN(const uint8_t version,
                          TakeVersion(in, "lease", value, kLeaseInOrderVersion));
  const bool in_order = version == kLeaseInOrderVersion;
  Lease lease;
  lease.lease_id = in.Take<uint64_t>();
  lease.until_ms = TakeNonNegative(in);
  lease.attempt = in.Take<int32_t>();
  LeaseOwner owner;
  owner.client_id = std::string(in.TakeText(kMaxClientTextBytes));
  owner.attempt_id = std::string(in.TakeText(kMaxClientTextBytes));
  if (in_order) lease.message_group = in.Take<uint64_t>();
  if (!in.Finished() || lease.attempt < (in_order ? 0 : 1)) return Damaged("lease", value);
  lease.owner = std::make_shared<const LeaseOwner>(std::move(owner));
  return lease;
}

std::string TimerKeyOf(const TimerRef& timer) {
  std::string key;
  AppendBe(&key, timer.due_ms);
  AppendBe(&key, timer.position.value());
  return key;
}

absl::StatusOr<TimerRef> ParseTimerKey(std::string_view key) {
  ByteReader in(key);
  TimerRef timer;
  timer.due_ms = TakeNonNegative(in);
  timer.position = LogPosition(TakeNonNegative(in));
  if (!in.Finished()) return Damaged("timer's key", key);
  return timer;
}

std::string TimerValue(int32_t record_size) {
  std::string out = NewValue();
  AppendBe(&out, record_size);
  return out;
}

absl::StatusOr<int32_t> ParseTimerValue(std::string_view value) {
  ByteReader in(value);
  RAFTMQ_RETURN_IF_ERROR(CheckVersion(in, "timer", value));
  const auto record_size = in.Take<int32_t>();
  if (!in.Finished() || record_size <= 0) return Damaged("timer", value);
  return record_size;
}

std::string TransactionKeyOf(LogPosition position) {
  std::string key;
  AppendBe(&key, position.value());
  return key;
}

absl::StatusOr<LogPosition> ParseTransactionKey(std::string_view key) {
  ByteReader in(key);
  const LogPosition position(TakeNonNegative(in));
  if (!in.Finished()) return Damaged("transaction's key", key);
  return position;
}

std::string TransactionValue(const HalfMessage& half) {
  std::string out = NewValue();
  AppendBe(&out, half.record_size);
  AppendBe(&out, half.stored_ms);
  AppendBe(&out, half.next_check_ms);
  AppendBe(&out, half.checks);
  return out;
}

absl::StatusOr<HalfMessage> ParseTransactionValue(std::string_view value) {
  ByteReader in(value);
  RAFTMQ_RETURN_IF_ERROR(CheckVersion(in, "transaction", value));
  HalfMessage half;
  half.record_size = in.Take<int32_t>();
  half.stored_ms = TakeNonNegative(in);
  half.next_check_ms = TakeNonNegative(in);
  half.checks = in.Take<int32_t>();
  if (!in.Finished() || half.record_size <= 0 || half.checks < 0) {
    return Damaged("transaction", value);
  }
  return half;
}

std::string EndedTransactionKeyOf(uint64_t number) {
  std::string key;
  AppendBe(&key, number);
  return key;
}

std::string EndedTransactionValue(const EndedTransactions::Entry& entry) {
  std::string out = NewValue();
  AppendBe(&out, entry.position.value());
  AppendBe(&out, static_cast<uint8_t>(entry.end));
  return out;
}

absl::StatusOr<EndedTransactions::Entry> ParseEndedTransaction(std::string_view key,
                                                               std::string_view value) {
  ByteReader in_key(key);
  ByteReader in(value);
  RAFTMQ_RETURN_IF_ERROR(CheckVersion(in, "ended transaction", value));
  EndedTransactions::Entry entry;
  entry.number = in_key.Take<uint64_t>();
  entry.position = LogPosition(TakeNonNegative(in));
  const auto end = in.Take<uint8_t>();
  if (!in_key.Finished() || !in.Finished() || entry.number == 0 ||
      end < static_cast<uint8_t>(TransactionEnd::kCommitted) ||
      end > static_cast<uint8_t>(TransactionEnd::kExpired)) {
    return Damaged("ended transaction", value);
  }
  entry.end = static_cast<TransactionEnd>(end);
  return entry;
}

std::string DeadLetteredKeyOf(uint64_t number) { return EndedTransactionKeyOf(number); }

std::string DeadLetteredValue(const DeadLettered::Entry& entry) {
  const auto& [names_crc, queue, offset] = entry.place;
  std::string out = NewValue();
  AppendBe(&out, names_crc);
  AppendBe(&out, queue.value());
  AppendBe(&out, offset.value());
  AppendBe(&out, entry.lease_id);
  return out;
}

absl::StatusOr<DeadLettered::Entry> ParseDeadLettered(std::string_view key,
                                                      std::string_view value) {
  ByteReader in_key(key);
  ByteReader in(value);
  RAFTMQ_RETURN_IF_ERROR(CheckVersion(in, "dead-lettered message", value));
  DeadLettered::Entry entry;
  entry.number = in_key.Take<uint64_t>();
  const auto names_crc = in.Take<uint32_t>();
  const QueueId queue = TakeQueue(in);
  const QueueOffset offset(TakeNonNegative(in));
  entry.place = {names_crc, queue, offset};
  entry.lease_id = in.Take<uint64_t>();
  if (!in_key.Finished() || !in.Finished() || entry.number == 0) {
    return Damaged("dead-lettered message", value);
  }
  return entry;
}

std::string RedrivenKeyOf(std::string_view topic, QueueId queue, QueueOffset begin) {
  std::string key = NewKey(topic, "", 12);
  AppendText(&key, topic);
  AppendBe(&key, queue.value());
  AppendBe(&key, begin.value());
  return key;
}

absl::StatusOr<LeaseKey> ParseRedrivenKey(std::string_view key) {
  ByteReader in(key);
  LeaseKey parsed;
  parsed.position.topic = std::string(in.TakeText(kMaxNameBytes));
  parsed.position.queue = TakeQueue(in);
  parsed.offset = QueueOffset(TakeNonNegative(in));
  if (!in.Finished()) return Damaged("re-driven message's key", key);
  return parsed;
}

std::string RedrivenValue(QueueOffset end) { return PositionValue(end); }

absl::StatusOr<QueueOffset> ParseRedrivenValue(std::string_view value) {
  return ParsePositionValue(value);
}

std::string KeptKeyOf(LogPosition position) { return TransactionKeyOf(position); }

absl::StatusOr<LogPosition> ParseKeptKey(std::string_view key) {
  ByteReader in(key);
  const LogPosition position(TakeNonNegative(in));
  if (!in.Finished()) return Damaged("key of a kept record", key);
  return position;
}

std::string KeptValue(const KeptRecord& record) {
  std::string out = NewValue();
  AppendText(&out, record.topic);
  AppendBe(&out, record.queue.value());
  AppendBe(&out, record.offset.value());
  AppendBe(&out, record.size);
  return out;
}

absl::StatusOr<KeptRecord> ParseKeptValue(std::string_view value) {
  ByteReader in(value);
  RAFTMQ_RETURN_IF_ERROR(CheckVersion(in, "kept record", value));
  KeptRecord record;
  record.topic = std::string(in.TakeText(kMaxNameBytes));
  record.queue = TakeQueue(in);
  record.offset = QueueOffset(TakeNonNegative(in));
  record.size = in.Take<int32_t>();
  if (!in.Finished() || record.size <= 0) return Damaged("kept record", value);
  return record;
}

std::string KeptBytesValue(std::string_view record) {
  std::string out = NewValue();
  out.append(record);
  return out;
}

absl::StatusOr<std::string_view> ParseKeptBytesValue(std::string_view value) {
  ByteReader in(value);
  RAFTMQ_RETURN_IF_ERROR(CheckVersion(in, "kept record's bytes", value.substr(0, 1)));
  return value.substr(1);
}

std::string QueueLockValue(const QueueLock& lock) {
  std::string out(1, static_cast<char>(lock.revoked ? kRevokedLockVersion : kVersion));
  AppendText(&out, lock.client_id);
  AppendBe(&out, lock.until_ms);
  return out;
}

absl::StatusOr<QueueLock> ParseQueueLockValue(std::string_view value) {
  ByteReader in(value);
  RAFTMQ_ASSIGN_OR_RETURN(const uint8_t version,
                          TakeVersion(in, "queue lock", value, kRevokedLockVersion));
  QueueLock lock;
  lock.revoked = version == kRevokedLockVersion;
  lock.client_id = std::string(in.TakeText(kMaxClientTextBytes));
  lock.until_ms = TakeNonNegative(in);
  if (!in.Finished()) return Damaged("queue lock", value);
  return lock;
}

std::string OffsetMoveKeyOf(std::string_view group, uint64_t number) {
  std::string key = NewKey(group, "", 8);
  AppendText(&key, group);
  AppendBe(&key, number);
  return key;
}

absl::StatusOr<OffsetMoveKey> ParseOffsetMoveKey(std::string_view key) {
  ByteReader in(key);
  OffsetMoveKey parsed;
  parsed.group = std::string(in.TakeText(kMaxNameBytes));
  parsed.number = in.Take<uint64_t>();
  if (!in.Finished()) return Damaged("key of a move of offsets", key);
  return parsed;
}

std::string OffsetMoveValue(const OffsetMove& move) {
  std::string out = NewValue();
  AppendBe(&out, move.log_time_ms);
  AppendBe(&out, static_cast<uint8_t>(move.kind));
  AppendBe(&out, move.undoes);
  AppendText(&out, move.topic);
  AppendText(&out, move.who);
  AppendText(&out, move.why);
  AppendBe(&out, static_cast<uint32_t>(move.items.size()));
  for (const OffsetMove::Item& item : move.items) {
    AppendBe(&out, item.queue.value());
    AppendBe(&out, item.from.value());
    AppendBe(&out, item.to.value());
  }
  return out;
}

absl::StatusOr<OffsetMove> ParseOffsetMoveValue(std::string_view value) {
  ByteReader in(value);
  RAFTMQ_RETURN_IF_ERROR(CheckVersion(in, "move of offsets", value));
  OffsetMove move;
  move.log_time_ms = TakeNonNegative(in);
  const auto kind = in.Take<uint8_t>();
  move.undoes = in.Take<uint64_t>();
  move.topic = std::string(in.TakeText(kMaxNameBytes));
  move.who = std::string(in.TakeText(kMaxClientTextBytes));
  move.why = std::string(in.TakeText(kMaxClientTextBytes));
  move.items.resize(in.TakeCount(kMaxCommandItems, 20));
  for (OffsetMove::Item& item : move.items) {
    item.queue = TakeQueue(in);
    item.from = QueueOffset(TakeNonNegative(in));
    item.to = QueueOffset(TakeNonNegative(in));
  }
  if (!in.Finished() || kind < static_cast<uint8_t>(OffsetMoveKind::kReset) ||
      kind > static_cast<uint8_t>(OffsetMoveKind::kUndo)) {
    return Damaged("move of offsets", value);
  }
  move.kind = static_cast<OffsetMoveKind>(kind);
  return move;
}

std::string LiteSubscriptionKeyOf(const LiteSubscriptionKey& name) {
  std::string key;
  AppendText(&key, name.client_id);
  AppendText(&key, name.group);
  AppendText(&key, name.topic);
  AppendText(&key, name.lite_topic);
  return key;
}

absl::StatusOr<LiteSubscriptionKey> ParseLiteSubscriptionKey(std::string_view key) {
  ByteReader in(key);
  LiteSubscriptionKey name;
  name.client_id = std::string(in.TakeText(kMaxClientTextBytes));
  name.group = std::string(in.TakeText(kMaxNameBytes));
  name.topic = std::string(in.TakeText(kMaxNameBytes));
  name.lite_topic = std::string(in.TakeText(kMaxNameBytes));
  if (!in.Finished() || name.lite_topic.empty()) return Damaged("lite subscription's key", key);
  return name;
}

std::string LiteSubscriptionValue() { return NewValue(); }

absl::Status CheckLiteSubscriptionValue(std::string_view value) {
  ByteReader in(value);
  RAFTMQ_RETURN_IF_ERROR(CheckVersion(in, "lite subscription", value));
  return in.Finished() ? absl::OkStatus() : Damaged("lite subscription", value);
}

}  // namespace raftmq::store
