#include "store/commands.h"

#include <type_traits>

#include "base/endian.h"
#include "base/strings.h"
#include "glog/logging.h"
#include "store/byte_reader.h"
#include "store/retry_policy_codec.h"

namespace raftmq::store {
namespace {

// On disk: never re-used.
enum class CommandType : uint8_t {
  kPutTopic = 1,
  kDeleteTopic = 2,
  kPutGroup = 3,
  kDeleteGroup = 4,
  kInitPositions = 5,
  kGrant = 6,
  kAck = 7,
  kChangeInvisible = 8,
  kUpdateOffset = 9,
  kSettle = 10,
  kCheckTransactions = 11,
  kRetain = 12,
  kLockQueues = 13,
  kMoveOffsets = 14,
  kSubscribeLite = 15,
};
constexpr uint8_t kVersion = 1;
constexpr uint8_t kGrantInOrderVersion = 2;
constexpr uint8_t kGroupWithPolicyVersion = 2;
constexpr uint8_t kGroupWithLiteVersion = 3;
constexpr uint8_t kPutTopicAckLevelVersion = 2;
constexpr uint8_t kPutTopicWithLiteVersion = 3;
constexpr uint8_t kPutTopicWithReserveVersion = 4;
// Two names and three numbers.
constexpr size_t kMaxSettlementBytes = 2 * kMaxNameBytes + 80;

template <typename T>
void AppendId(std::string* out, T id) {
  AppendBe(out, id.value());
}

void AppendText(std::string* out, std::string_view text, size_t max) {
  CHECK_LE(text.size(), max) << "a text of a command is longer than its format allows";
  AppendBe(out, static_cast<uint16_t>(text.size()));
  out->append(text);
}

void AppendName(std::string* out, std::string_view name) {
  CHECK(!name.empty()) << "a command names nothing";
  AppendText(out, name, kMaxNameBytes);
}

template <typename T>
void AppendCount(std::string* out, const std::vector<T>& items) {
  CHECK_LE(items.size(), kMaxCommandItems)
      << "a list of a command is longer than its format allows";
  AppendBe(out, static_cast<uint32_t>(items.size()));
}

// What a parsed field may be; a violation makes the whole command unparsable.

std::string TakeName(ByteReader& in) {
  std::string_view name = in.TakeText(kMaxNameBytes);
  if (name.empty()) in.Fail();
  return std::string(name);
}

int64_t TakeNonNegative(ByteReader& in) {
  int64_t v = in.Take<int64_t>();
  if (v < 0) in.Fail();
  return v;
}

QueueOffset TakeOffset(ByteReader& in) { return QueueOffset(TakeNonNegative(in)); }

QueueId TakeQueue(ByteReader& in) {
  int32_t queue = in.Take<int32_t>();
  if (queue < 0 || queue >= kMaxQueues) in.Fail();
  return QueueId(queue);
}

int32_t TakeQueueCount(ByteReader& in) {
  int32_t count = in.Take<int32_t>();
  if (count < 0 || count > kMaxQueues) in.Fail();
  return count;
}

bool TakeBool(ByteReader& in) {
  uint8_t v = in.Take<uint8_t>();
  if (v > 1) in.Fail();
  return v == 1;
}

template <typename E>
E TakeEnum(ByteReader& in, E first, E last) {
  uint8_t v = in.Take<uint8_t>();
  if (v < static_cast<uint8_t>(first) || v > static_cast<uint8_t>(last)) in.Fail();
  return static_cast<E>(v);
}

// ---- One Write and one Read for each body

// Whether there is something to say that older versions do not have.
bool HasLite(const TopicConfig& c) {
  return c.lite_expiration_minutes != TopicConfig().lite_expiration_minutes;
}
bool HasReserve(const TopicConfig& c) { return c.reserve_hours != TopicConfig().reserve_hours; }
bool HasLite(const GroupConfig& c) {
  return c.lite_exclusive || c.lite_client_quota != GroupConfig().lite_client_quota;
}

void Write(const PutTopic& c, std::string* out) {
  AppendName(out, c.config.name);
  AppendBe(out, c.config.read_queues);
  AppendBe(out, c.config.write_queues);
  AppendBe(out, c.config.perm);
  AppendBe(out, static_cast<uint8_t>(c.config.type));
  const bool reserve = HasReserve(c.config);
  const bool lite = HasLite(c.config) || reserve;
  if (c.config.ack_level.has_value()) {
    AppendBe(out, static_cast<uint8_t>(*c.config.ack_level));
  } else if (lite) {
    AppendBe(out, uint8_t{0});
  }
  if (lite) AppendBe(out, c.config.lite_expiration_minutes);
  if (reserve) AppendBe(out, c.config.reserve_hours);
}

void Read(ByteReader& in, PutTopic* c) {
  const bool with_reserve = HasReserve(c->config);
  const bool with_lite = HasLite(c->config) || with_reserve;
  c->config.name = TakeName(in);
  c->config.read_queues = TakeQueueCount(in);
  c->config.write_queues = TakeQueueCount(in);
  c->config.perm = in.Take<uint8_t>();
  c->config.type = TakeEnum(in, TopicType::kNormal, TopicType::kPriority);
  if (with_lite || c->config.ack_level.has_value()) {
    c->config.ack_level = TakeEnum(
        in, with_lite ? static_cast<dledger::AckLevel>(0) : dledger::AckLevel::kLeaderMemory,
        dledger::AckLevel::kAllDisks);
    if (*c->config.ack_level == static_cast<dledger::AckLevel>(0)) c->config.ack_level.reset();
  }
  if (!with_lite) return;
  c->config.lite_expiration_minutes = in.Take<int32_t>();
  if (with_reserve) c->config.reserve_hours = in.Take<int32_t>();
  // Its writer leaves that out.
  if (with_reserve ? !HasReserve(c->config) : !HasLite(c->config)) in.Fail();
}

void Write(const DeleteTopic& c, std::string* out) { AppendName(out, c.name); }
void Read(ByteReader& in, DeleteTopic* c) { c->name = TakeName(in); }

// A policy of its own, not the default.
bool HasPolicy(const PutGroup& c) { return c.config.retry_policy != RetryPolicy(); }

void Write(const PutGroup& c, std::string* out) {
  AppendName(out, c.config.name);
  AppendBe(out, static_cast<uint8_t>(c.config.consume_enable));
  AppendBe(out, static_cast<uint8_t>(c.config.orderly));
  AppendBe(out, c.config.retry_max_times);
  AppendBe(out, static_cast<uint8_t>(c.config.consume_from));
  AppendBe(out, c.config.consume_timestamp_ms);
  if (HasPolicy(c) || HasLite(c.config)) AppendRetryPolicy(out, c.config.retry_policy);
  if (!HasLite(c.config)) return;
  AppendBe(out, static_cast<uint8_t>(c.config.lite_exclusive));
  AppendBe(out, c.config.lite_client_quota);
}

void Read(ByteReader& in, PutGroup* c) {
  const bool with_policy = HasPolicy(*c);
  const bool with_lite = HasLite(c->config);
  c->config.name = TakeName(in);
  c->config.consume_enable = TakeBool(in);
  c->config.orderly = TakeBool(in);
  c->config.retry_max_times = in.Take<int32_t>();
  c->config.consume_from = TakeEnum(in, ConsumeFrom::kFirst, ConsumeFrom::kTimestamp);
  c->config.consume_timestamp_ms = in.Take<int64_t>();
  if (!with_policy && !with_lite) return;
  c->config.retry_policy = TakeRetryPolicy(in);
  if (!with_lite && !HasPolicy(*c)) in.Fail();  // its writer leaves that out
  if (!with_lite) return;
  c->config.lite_exclusive = TakeBool(in);
  c->config.lite_client_quota = in.Take<int32_t>();
  if (!HasLite(c->config)) in.Fail();
}

void Write(const DeleteGroup& c, std::string* out) { AppendName(out, c.name); }
void Read(ByteReader& in, DeleteGroup* c) { c->name = TakeName(in); }

void Write(const InitPositions& c, std::string* out) {
  AppendName(out, c.group);
  AppendName(out, c.topic);
  AppendCount(out, c.items);
  for (const InitPositions::Item& item : c.items) {
    AppendId(out, item.queue);
    AppendId(out, item.offset);
  }
}

void Read(ByteReader& in, InitPositions* c) {
  c->group = TakeName(in);
  c->topic = TakeName(in);
  c->items.resize(in.TakeCount(kMaxCommandItems, 12));
  for (InitPositions::Item& item : c->items) {
    item.queue = TakeQueue(in);
    item.offset = TakeOffset(in);
  }
}

void Write(const Grant& c, std::string* out) {
  AppendName(out, c.group);
  AppendName(out, c.topic);
  AppendBe(out, c.lease_until_ms);
  AppendText(out, c.client_id, kMaxClientTextBytes);
  AppendText(out, c.attempt_id, kMaxClientTextBytes);
  AppendCount(out, c.items);
  for (const GrantItem& item : c.items) {
    AppendId(out, item.queue);
    AppendId(out, item.offset);
    AppendBe(out, item.attempt);
    AppendBe(out, item.lease_id);
    if (c.in_order) AppendBe(out, item.message_group);
  }
  AppendCount(out, c.filtered);
  for (const FilteredRange& range : c.filtered) {
    AppendId(out, range.queue);
    AppendId(out, range.from);
    AppendId(out, range.to);
  }
}

void Read(ByteReader& in, Grant* c) {
  c->group = TakeName(in);
  c->topic = TakeName(in);
  c->lease_until_ms = TakeNonNegative(in);
  c->client_id = std::string(in.TakeText(kMaxClientTextBytes));
  c->attempt_id = std::string(in.TakeText(kMaxClientTextBytes));
  c->items.resize(in.TakeCount(kMaxCommandItems, c->in_order ? 32 : 24));
  for (GrantItem& item : c->items) {
    item.queue = TakeQueue(in);
    item.offset = TakeOffset(in);
    item.attempt = in.Take<int32_t>();
    if (item.attempt < (c->in_order ? 0 : 1)) in.Fail();
    item.lease_id = in.Take<uint64_t>();
    if (c->in_order) item.message_group = in.Take<uint64_t>();
  }
  c->filtered.resize(in.TakeCount(kMaxCommandItems, 20));
  for (FilteredRange& range : c->filtered) {
    range.queue = TakeQueue(in);
    range.from = TakeOffset(in);
    range.to = TakeOffset(in);
    if (range.to <= range.from) in.Fail();
  }
}

void Write(const Ack& c, std::string* out) {
  AppendName(out, c.group);
  AppendName(out, c.topic);
  AppendCount(out, c.items);
  for (const Ack::Item& item : c.items) {
    AppendId(out, item.queue);
    AppendId(out, item.offset);
    AppendBe(out, item.lease_id);
  }
}

void Read(ByteReader& in, Ack* c) {
  c->group = TakeName(in);
  c->topic = TakeName(in);
  c->items.resize(in.TakeCount(kMaxCommandItems, 20));
  for (Ack::Item& item : c->items) {
    item.queue = TakeQueue(in);
    item.offset = TakeOffset(in);
    item.lease_id = in.Take<uint64_t>();
  }
}

void Write(const ChangeInvisible& c, std::string* out) {
  AppendName(out, c.group);
  AppendName(out, c.topic);
  AppendId(out, c.queue);
  AppendId(out, c.offset);
  AppendBe(out, c.lease_id);
  AppendBe(out, c.lease_until_ms);
}

void Read(ByteReader& in, ChangeInvisible* c) {
  c->group = TakeName(in);
  c->topic = TakeName(in);
  c->queue = TakeQueue(in);
  c->offset = TakeOffset(in);
  c->lease_id = in.Take<uint64_t>();
  c->lease_until_ms = TakeNonNegative(in);
}

void Write(const UpdateOffset& c, std::string* out) {
  AppendName(out, c.group);
  AppendName(out, c.topic);
  AppendId(out, c.queue);
  AppendId(out, c.offset);
}

void Read(ByteReader& in, UpdateOffset* c) {
  c->group = TakeName(in);
  c->topic = TakeName(in);
  c->queue = TakeQueue(in);
  c->offset = TakeOffset(in);
}

void Write(const Settle& c, std::string* out) {
  AppendText(out, EncodeSettlement(c.settles), kMaxSettlementBytes);
}

void Read(ByteReader& in, Settle* c) {
  auto settlement = ParseSettlement(in.TakeText(kMaxSettlementBytes));
  if (settlement.ok()) {
    c->settles = *std::move(settlement);
  } else {
    in.Fail();
  }
}

void Write(const CheckTransactions& c, std::string* out) {
  AppendCount(out, c.items);
  for (const CheckTransactions::Item& item : c.items) {
    AppendId(out, item.position);
    AppendBe(out, item.checks);
    AppendBe(out, item.next_check_ms);
  }
}

void Read(ByteReader& in, CheckTransactions* c) {
  c->items.resize(in.TakeCount(kMaxCommandItems, 20));
  for (CheckTransactions::Item& item : c->items) {
    item.position = LogPosition(TakeNonNegative(in));
    item.checks = in.Take<int32_t>();
    if (item.checks < 0) in.Fail();
    item.next_check_ms = TakeNonNegative(in);
  }
}

void Write(const Retain& c, std::string* out) {
  AppendId(out, c.min_position);
  AppendCount(out, c.queues);
  for (const Retain::Queue& queue : c.queues) {
    AppendName(out, queue.topic);
    AppendId(out, queue.queue);
    AppendId(out, queue.min);
  }
  AppendCount(out, c.kept);
  for (const Retain::Kept& kept : c.kept) {
    AppendId(out, kept.position);
    AppendBe(out, kept.size);
  }
}

void Read(ByteReader& in, Retain* c) {
  c->min_position = LogPosition(TakeNonNegative(in));
  c->queues.resize(in.TakeCount(kMaxCommandItems, 15));
  for (Retain::Queue& queue : c->queues) {
    queue.topic = TakeName(in);
    queue.queue = TakeQueue(in);
    queue.min = TakeOffset(in);
  }
  c->kept.resize(in.TakeCount(kMaxCommandItems, 12));
  for (Retain::Kept& kept : c->kept) {
    kept.position = LogPosition(TakeNonNegative(in));
    kept.size = in.Take<int32_t>();
    if (kept.size <= 0) in.Fail();
  }
}

void Write(const LockQueues& c, std::string* out) {
  AppendName(out, c.group);
  AppendName(out, c.topic);
  AppendText(out, c.client_id, kMaxClientTextBytes);
  AppendBe(out, c.until_ms);
  AppendCount(out, c.queues);
  for (const QueueId queue : c.queues) AppendId(out, queue);
}

void Read(ByteReader& in, LockQueues* c) {
  c->group = TakeName(in);
  c->topic = TakeName(in);
  c->client_id = std::string(in.TakeText(kMaxClientTextBytes));
  c->until_ms = TakeNonNegative(in);
  c->queues.resize(in.TakeCount(kMaxCommandItems, 4));
  for (QueueId& queue : c->queues) queue = TakeQueue(in);
}

void Write(const MoveOffsets& c, std::string* out) {
  AppendName(out, c.group);
  AppendName(out, c.topic);
  AppendBe(out, static_cast<uint8_t>(c.kind));
  AppendBe(out, c.undoes);
  AppendText(out, c.who, kMaxClientTextBytes);
  AppendText(out, c.why, kMaxClientTextBytes);
  AppendCount(out, c.items);
  for (const MoveOffsets::Item& item : c.items) {
    AppendId(out, item.queue);
    AppendId(out, item.offset);
  }
}

void Read(ByteReader& in, MoveOffsets* c) {
  c->group = TakeName(in);
  c->topic = TakeName(in);
  c->kind = TakeEnum(in, OffsetMoveKind::kReset, OffsetMoveKind::kUndo);
  c->undoes = in.Take<uint64_t>();
  if ((c->undoes != 0) != (c->kind == OffsetMoveKind::kUndo)) in.Fail();
  c->who = std::string(in.TakeText(kMaxClientTextBytes));
  c->why = std::string(in.TakeText(kMaxClientTextBytes));
  c->items.resize(in.TakeCount(kMaxCommandItems, 12));
  for (MoveOffsets::Item& item : c->items) {
    item.queue = TakeQueue(in);
    item.offset = TakeOffset(in);
  }
}

void AppendNames(std::string* out, const std::vector<std::string>& names) {
  AppendCount(out, names);
  for (const std::string& name : names) AppendName(out, name);
}

std::vector<std::string> TakeNames(ByteReader& in) {
  std::vector<std::string> names(in.TakeCount(kMaxCommandItems, 3));
  for (std::string& name : names) name = TakeName(in);
  return names;
}

void Write(const SubscribeLite& c, std::string* out) {
  AppendName(out, c.group);
  AppendName(out, c.topic);
  AppendText(out, c.client_id, kMaxClientTextBytes);
  AppendNames(out, c.added);
  AppendNames(out, c.removed);
}

void Read(ByteReader& in, SubscribeLite* c) {
  c->group = TakeName(in);
  c->topic = TakeName(in);
  c->client_id = std::string(in.TakeText(kMaxClientTextBytes));
  c->added = TakeNames(in);
  c->removed = TakeNames(in);
}

CommandType TypeOf(const CommandBody& body) {
  // The variant lists the types in the order of their numbers.
  static_assert(std::variant_size_v<CommandBody> == 15);
  static_assert(std::is_same_v<std::variant_alternative_t<0, CommandBody>, PutTopic>);
  static_assert(std::is_same_v<std::variant_alternative_t<8, CommandBody>, UpdateOffset>);
  static_assert(std::is_same_v<std::variant_alternative_t<9, CommandBody>, Settle>);
  static_assert(std::is_same_v<std::variant_alternative_t<10, CommandBody>, CheckTransactions>);
  static_assert(std::is_same_v<std::variant_alternative_t<11, CommandBody>, Retain>);
  static_assert(std::is_same_v<std::variant_alternative_t<12, CommandBody>, LockQueues>);
  static_assert(std::is_same_v<std::variant_alternative_t<13, CommandBody>, MoveOffsets>);
  static_assert(std::is_same_v<std::variant_alternative_t<14, CommandBody>, SubscribeLite>);
  return static_cast<CommandType>(body.index() + 1);
}

uint8_t VersionOf(const CommandBody& body) {
  const Grant* grant = std::get_if<Grant>(&body);
  if (grant != nullptr && grant->in_order) return kGrantInOrderVersion;
  const PutGroup* group = std::get_if<PutGroup>(&body);
  if (group != nullptr && HasLite(group->config)) return kGroupWithLiteVersion;
  if (group != nullptr && HasPolicy(*group)) return kGroupWithPolicyVersion;
  const PutTopic* put = std::get_if<PutTopic>(&body);
  if (put != nullptr && HasReserve(put->config)) return kPutTopicWithReserveVersion;
  if (put != nullptr && HasLite(put->config)) return kPutTopicWithLiteVersion;
  if (put != nullptr && put->config.ack_level.has_value()) return kPutTopicAckLevelVersion;
  return kVersion;
}

// Whether there is this version of what `body` is; tells it which it is.
bool SetVersion(uint8_t version, CommandBody* body) {
  Grant* grant = std::get_if<Grant>(body);
  if (grant != nullptr) grant->in_order = version == kGrantInOrderVersion;
  PutGroup* group = std::get_if<PutGroup>(body);
  if (group != nullptr && version == kGroupWithPolicyVersion) {
    group->config.retry_policy.kind = RetryPolicy::Kind::kExponential;  // any: Read takes it
  }
  PutTopic* put = std::get_if<PutTopic>(body);
  if (put != nullptr && version == kPutTopicAckLevelVersion) {
    put->config.ack_level = dledger::AckLevel::kMajorityDisk;  // any: Read takes it
  }
  // Any: Read takes it.
  if (put != nullptr && version == kPutTopicWithLiteVersion) {
    put->config.lite_expiration_minutes = 1;
  }
  if (put != nullptr && version == kPutTopicWithReserveVersion) put->config.reserve_hours = 1;
  if (group != nullptr && version == kGroupWithLiteVersion) group->config.lite_exclusive = true;
  return version == VersionOf(*body);
}

// Makes `body` the empty command of `type`; false if there is none.
bool Emplace(uint8_t type, CommandBody* body) {
  switch (static_cast<CommandType>(type)) {
    case CommandType::kPutTopic:
      body->emplace<PutTopic>();
      return true;
    case CommandType::kDeleteTopic:
      body->emplace<DeleteTopic>();
      return true;
    case CommandType::kPutGroup:
      body->emplace<PutGroup>();
      return true;
    case CommandType::kDeleteGroup:
      body->emplace<DeleteGroup>();
      return true;
    case CommandType::kInitPositions:
      body->emplace<InitPositions>();
      return true;
    case CommandType::kGrant:
      body->emplace<Grant>();
      return true;
    case CommandType::kAck:
      body->emplace<Ack>();
      return true;
    case CommandType::kChangeInvisible:
      body->emplace<ChangeInvisible>();
      return true;
    case CommandType::kUpdateOffset:
      body->emplace<UpdateOffset>();
      return true;
    case CommandType::kSettle:
      body->emplace<Settle>();
      return true;
    case CommandType::kCheckTransactions:
      body->emplace<CheckTransactions>();
      return true;
    case CommandType::kRetain:
      body->emplace<Retain>();
      return true;
    case CommandType::kLockQueues:
      body->emplace<LockQueues>();
      return true;
    case CommandType::kMoveOffsets:
      body->emplace<MoveOffsets>();
      return true;
    case CommandType::kSubscribeLite:
      body->emplace<SubscribeLite>();
      return true;
  }
  return false;
}

}  // namespace

std::string_view CommandName(const CommandBody& body) {
  switch (TypeOf(body)) {
    case CommandType::kPutTopic:
      return "PutTopic";
    case CommandType::kDeleteTopic:
      return "DeleteTopic";
    case CommandType::kPutGroup:
      return "PutGroup";
    case CommandType::kDeleteGroup:
      return "DeleteGroup";
    case CommandType::kInitPositions:
      return "InitPositions";
    case CommandType::kGrant:
      return "Grant";
    case CommandType::kAck:
      return "Ack";
    case CommandType::kChangeInvisible:
      return "ChangeInvisible";
    case CommandType::kUpdateOffset:
      return "UpdateOffset";
    case CommandType::kSettle:
      return "Settle";
    case CommandType::kCheckTransactions:
      return "CheckTransactions";
    case CommandType::kRetain:
      return "Retain";
    case CommandType::kLockQueues:
      return "LockQueues";
    case CommandType::kMoveOffsets:
      return "MoveOffsets";
    case CommandType::kSubscribeLite:
      return "SubscribeLite";
  }
  return "?";
}

std::string EncodeCommand(const Command& command) {
  std::string out;
  out.reserve(256);
  AppendBe(&out, static_cast<uint8_t>(TypeOf(command.body)));
  AppendBe(&out, VersionOf(command.body));
  AppendBe(&out, command.log_time_ms);
  AppendBe(&out, command.lease_time_ms);
  std::visit([&out](const auto& body) { Write(body, &out); }, command.body);
  return out;
}

absl::StatusOr<Command> ParseCommand(std::string_view bytes) {
  ByteReader in(bytes);
  uint8_t type = in.Take<uint8_t>();
  uint8_t version = in.Take<uint8_t>();
  Command command;
  if (!in.ok()) {
    return absl::DataLossError(
        StrCat("a command has ", bytes.size(), " bytes, expected at least 18"));
  }
  if (!Emplace(type, &command.body) || !SetVersion(version, &command.body)) {
    return absl::UnimplementedError(StrCat("command type ", static_cast<int>(type), " version ",
                                           static_cast<int>(version),
                                           " is unknown to this release: upgrade this member"));
  }
  command.log_time_ms = TakeNonNegative(in);
  command.lease_time_ms = TakeNonNegative(in);
  std::visit([&in](auto& body) { Read(in, &body); }, command.body);
  if (!in.Finished()) {
    return absl::DataLossError(StrCat("a ", CommandName(command.body), " command of ", bytes.size(),
                                      " bytes is malformed: a field is out of its range, or bytes "
                                      "are missing or left over"));
  }
  return command;
}

absl::StatusOr<std::vector<std::string_view>> SplitCommands(std::string_view body) {
  std::vector<std::string_view> commands;
  size_t at = 0;
  while (at < body.size()) {
    size_t left = body.size() - at;
    size_t size = left < 4 ? 0 : LoadBe<uint32_t>(body.data() + at);
    if (size == 0 || size > left - 4) {
      return absl::DataLossError(StrCat("at byte ", at, " of a commands entry of ", body.size(),
                                        " bytes: expected a command with its length, found length ",
                                        size, " and ", left, " bytes left"));
    }
    commands.push_back(body.substr(at + 4, size));
    at += 4 + size;
  }
  return commands;
}

}  // namespace raftmq::store
