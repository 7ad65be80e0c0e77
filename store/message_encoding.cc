#include "store/message_encoding.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/strings.h"
#include "store/message_properties.h"
#include "store/reason.h"

namespace raftmq::store {

namespace {

absl::Status Append(std::string* properties, std::string_view name, std::string_view value,
                    Reason reason) {
  if (value.empty()) return absl::OkStatus();
  if (!IsStorablePropertyText(value)) {
    return Refuse(reason, StrCat("the value of ", name, " holds a control character (1 or 2)"));
  }
  AppendProperty(properties, name, value);
  return absl::OkStatus();
}

absl::StatusOr<std::string> Properties(const NewMessage& message, const StoredAs& where,
                                       bool born_host_as_property, KnownSender* sender) {
  std::string out;
  size_t size = 256;
  for (const auto& [name, value] : message.user_properties) size += name.size() + value.size() + 2;
  out.reserve(size);
  RAFTMQ_RETURN_IF_ERROR(
      Append(&out, property::kUniqueKey, message.message_id, Reason::kIllegalMessageId));
  if (!message.client_id.empty()) {
    AppendProperty(&out, property::kClient,
                   absl::StrCat(absl::Hex(sender->ClientHashOf(message.client_id), absl::kZeroPad16)));
  }
  RAFTMQ_RETURN_IF_ERROR(Append(&out, property::kTags, message.tag, Reason::kIllegalTag));
  std::string keys;
  for (const std::string& key : message.keys) {
    if (key.find(kKeySeparator) != std::string::npos) {
      return Refuse(Reason::kIllegalKey, StrCat("key \"", key, "\" holds a space, which separates ",
                                                "keys in a record"));
    }
    if (!keys.empty()) keys += kKeySeparator;
    keys += key;
  }
  RAFTMQ_RETURN_IF_ERROR(Append(&out, property::kKeys, keys, Reason::kIllegalKey));
  RAFTMQ_RETURN_IF_ERROR(
      Append(&out, property::kShardingKey, message.message_group, Reason::kIllegalMessageGroup));
  RAFTMQ_RETURN_IF_ERROR(
      Append(&out, property::kTraceContext, message.trace_context, Reason::kIllegalPropertyKey));
  if (born_host_as_property) {
    RAFTMQ_RETURN_IF_ERROR(
        Append(&out, property::kBornHost, message.born_host, Reason::kIllegalPropertyKey));
  }
  if (!where.waits_in.empty()) {
    AppendProperty(&out, property::kRealTopic, message.topic);
    if (message.queue.has_value()) {
      AppendProperty(&out, property::kRealQueueId, StrCat(*message.queue));
    }
  }
  if (message.priority.has_value()) {
    AppendProperty(&out, property::kPriority, StrCat(*message.priority));
  }
  if (message.type == TopicType::kDelay) {
    AppendProperty(&out, property::kTimerDeliverMs, StrCat(message.deliver_ms));
    if (message.delay_level > 0) {
      AppendProperty(&out, property::kTimerDelayLevel, StrCat(message.delay_level));
    }
  }
  if (where.due_ms.has_value()) {
    AppendProperty(&out, property::kTimerOutMs, StrCat(*where.due_ms));
  }
  if (where.check_immunity_ms.has_value()) {
    AppendProperty(&out, property::kTransactionPrepared, "true");
    AppendProperty(&out, property::kCheckImmunityMs, StrCat(*where.check_immunity_ms));
  }
  for (const auto& [name, value] : message.user_properties) {
    if (name.empty() || !IsStorablePropertyText(name)) {
      return Refuse(Reason::kIllegalPropertyKey,
                    StrCat("property name \"", name, "\" is empty or holds a control character"));
    }
    if (!IsStorablePropertyText(value)) {
      return Refuse(Reason::kIllegalPropertyKey,
                    StrCat("the value of property \"", name, "\" holds a control character"));
    }
    AppendProperty(&out, name, value);
  }
  return out;
}

}  // namespace

uint64_t KnownSender::ClientHashOf(std::string_view client_id) {
  if (client_id_ != client_id) {
    client_id_ = std::string(client_id);
    client_hash_ = ClientHash(client_id);
  }
  return client_hash_;
}

const std::optional<HostAddress>& KnownSender::AddressOf(std::string_view born_host) {
  if (born_host_ != born_host) {
    born_host_ = std::string(born_host);
    absl::StatusOr<HostAddress> address = HostAddress::Parse(born_host);
    address_ = address.ok() ? std::optional(*address) : std::nullopt;
  }
  return address_;
}

absl::StatusOr<std::string> EncodeMessage(const NewMessage& message, const HostAddress& store_host,
                                          const StoredAs& where, KnownSender* sender) {
  MessageFields fields;
  const std::optional<HostAddress>& born_host = sender->AddressOf(message.born_host);
  if (born_host.has_value()) fields.born_host = *born_host;
  RAFTMQ_ASSIGN_OR_RETURN(const std::string properties,
                          Properties(message, where, !born_host.has_value(), sender));
  if (properties.size() + kCrcPropertySize > kMaxPropertiesSize) {
    return Refuse(Reason::kPropertiesTooLarge,
                  StrCat("the properties take ", properties.size(), " bytes, at most ",
                         kMaxPropertiesSize - kCrcPropertySize, " fit a record"));
  }
  if (message.body.size() > kMaxBodySize) {
    return Refuse(Reason::kBodyTooLarge, StrCat("the body has ", message.body.size(),
                                                " bytes, at most ", kMaxBodySize, " fit a record"));
  }
  fields.topic = where.waits_in.empty() ? std::string_view(message.topic) : where.waits_in;
  fields.body = message.body;
  fields.properties = properties;
  fields.sys_flag = message.body_gzip ? sys_flag::kCompressed : 0;
  fields.born_timestamp_ms = message.born_ms;
  fields.store_host = store_host;
  // Of what failed before (RECONSUME_TIME, which senders may not set): the record says it, too.
  const auto failed = message.user_properties.find(std::string(property::kReconsumeTime));
  if (failed != message.user_properties.end() &&
      !absl::SimpleAtoi(failed->second, &fields.reconsume_times)) {
    fields.reconsume_times = 0;
  }
  std::string record;
  record.reserve(EncodedRecordSize(fields));
  if (absl::Status status = EncodeRecord(fields, &record); !status.ok()) {
    return Refuse(Reason::kIllegalTopic, Message(status));
  }
  return record;
}

uint64_t ClientHash(std::string_view client_id) {
  return client_id.empty() ? 0 : std::max<uint64_t>(1, MessageGroupHash(client_id));
}

QueueId PriorityQueue(std::optional<int32_t> priority, int32_t queues) {
  return QueueId(std::clamp(priority.value_or(0), 0, queues - 1));
}

std::optional<int32_t> PriorityOf(const PropertiesView& properties) {
  std::string_view text;
  int32_t priority = 0;
  if (!properties.Find(property::kPriority, &text) || !absl::SimpleAtoi(ToAbsl(text), &priority)) {
    return std::nullopt;
  }
  return priority;
}

uint64_t MessageGroupHash(std::string_view message_group) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : message_group) {
    hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3ULL;
  }
  hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9ULL;
  hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebULL;
  return hash ^ (hash >> 31);
}

}  // namespace raftmq::store
