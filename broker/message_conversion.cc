#include "broker/message_conversion.h"

#include <openssl/evp.h>

#include <utility>

#include "absl/strings/numbers.h"
#include "base/gzip.h"
#include "base/strings.h"
#include "broker/lite_handle.h"
#include "broker/proto_time.h"
#include "broker/validation.h"
#include "glog/logging.h"
#include "store/message_properties.h"
#include "store/names.h"

namespace raftmq::broker {
namespace {

namespace property = store::property;

void FillTyped(const store::RecordView& record, v2::SystemProperties* system) {
  const store::PropertiesView& properties = record.properties;
  if (!record.tags().empty()) system->set_tag(std::string(record.tags()));
  for (std::string_view rest = record.keys(); !rest.empty();) {
    const size_t space = rest.find(store::kKeySeparator);
    if (space != 0) system->add_keys(std::string(rest.substr(0, space)));
    if (space == std::string_view::npos) break;
    rest.remove_prefix(space + 1);
  }
  system->set_message_id(std::string(record.unique_key()));
  std::string_view value;
  if (properties.Find(property::kTraceContext, &value)) {
    system->set_trace_context(std::string(value));
  }
  // RocketMQ's order: what it is of the first that applies.
  system->set_message_type(v2::NORMAL);
  if (properties.Find(property::kShardingKey, &value)) {
    system->set_message_group(std::string(value));
    system->set_message_type(v2::FIFO);
  }
  int32_t priority = 0;
  if (properties.Find(property::kPriority, &value) && absl::SimpleAtoi(ToAbsl(value), &priority)) {
    system->set_priority(priority);
    system->set_message_type(v2::PRIORITY);
  }
  int64_t deliver_ms = 0;
  if (properties.Find(property::kTimerDeliverMs, &value) &&
      absl::SimpleAtoi(ToAbsl(value), &deliver_ms)) {
    SetTimestamp(deliver_ms, system->mutable_delivery_timestamp());
    system->set_message_type(v2::DELAY);
  }
  if ((record.sys_flag & store::sys_flag::kTransactionMask) ==
          store::sys_flag::kTransactionCommit ||
      properties.Find(property::kTransactionPrepared, &value)) {
    system->set_message_type(v2::TRANSACTION);
  }
  std::string_view origin_topic, origin_id;
  if (properties.Find(property::kDlqOriginTopic, &origin_topic) &&
      properties.Find(property::kDlqOriginMessageId, &origin_id)) {
    const std::string_view parent = store::ParentOfLite(origin_topic);
    system->mutable_dead_letter_queue()->set_topic(
        std::string(parent.empty() ? origin_topic : parent));
    system->mutable_dead_letter_queue()->set_message_id(std::string(origin_id));
  }
}

void FillFromRecord(const store::RecordView& record, v2::Message* message) {
  const std::string_view real_topic = record.properties.Get(property::kRealTopic);
  message->mutable_topic()->set_name(std::string(real_topic.empty() ? record.topic : real_topic));
  message->set_body(record.body.data(), record.body.size());
  auto* user_properties = message->mutable_user_properties();
  record.properties.ForEach([&](std::string_view name, std::string_view value) {
    if (!IsSystemProperty(name)) {
      (*user_properties)[std::string(name)] = std::string(value);
    }
  });

  v2::SystemProperties* system = message->mutable_system_properties();
  FillTyped(record, system);
  if (store::IsLiteTopic(record.topic)) {
    message->mutable_topic()->set_name(std::string(store::ParentOfLite(record.topic)));
    system->set_lite_topic(std::string(store::LiteTopicOf(record.topic)));
    system->set_message_type(v2::LITE);
  }
  system->mutable_body_digest()->set_type(v2::MD5);
  system->mutable_body_digest()->set_checksum(Md5UpperHex(record.body));
  system->set_body_encoding((record.sys_flag & store::sys_flag::kCompressed) != 0 ? v2::GZIP
                                                                                  : v2::IDENTITY);
  SetTimestamp(record.born_timestamp_ms, system->mutable_born_timestamp());
  const std::string_view born_host = record.properties.Get(property::kBornHost);
  system->set_born_host(born_host.empty() ? record.born_host.ToString() : std::string(born_host));
  SetTimestamp(record.store_timestamp_ms, system->mutable_store_timestamp());
  system->set_store_host(record.store_host.ToString());
  system->set_queue_id(record.queue_id.value());
  system->set_queue_offset(record.queue_offset.value());
}

}  // namespace

std::string Md5UpperHex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  CHECK_EQ(EVP_Digest(bytes.data(), bytes.size(), digest, &size, EVP_md5(), nullptr), 1);
  std::string hex;
  hex.reserve(size * 2);
  for (unsigned int i = 0; i < size; ++i) {
    hex += kDigits[digest[i] >> 4];
    hex += kDigits[digest[i] & 15];
  }
  return hex;
}

void DecompressFor(ClientLanguage language, v2::Message* message) {
  if (language != ClientLanguage::kRust) return;
  v2::SystemProperties* system = message->mutable_system_properties();
  if (system->body_encoding() != v2::GZIP) return;
  absl::StatusOr<std::string> body = GzipDecompress(message->body(), kMaxDecompressedBody);
  if (!body.ok()) {
    LOG_EVERY_N(WARNING, 1000) << "message " << system->message_id() << " of topic "
                               << message->topic().name()
                               << " is handed out as it travels: " << body.status();
    return;
  }
  message->set_body(*std::move(body));
  system->mutable_body_digest()->set_checksum(Md5UpperHex(message->body()));
  system->set_body_encoding(v2::IDENTITY);
}

v2::MessageType ToMessageType(store::TopicType type) {
  switch (type) {
    case store::TopicType::kNormal:
      return v2::NORMAL;
    case store::TopicType::kFifo:
      return v2::FIFO;
    case store::TopicType::kDelay:
      return v2::DELAY;
    case store::TopicType::kTransaction:
      return v2::TRANSACTION;
    case store::TopicType::kLite:
      return v2::LITE;
    case store::TopicType::kPriority:
      return v2::PRIORITY;
    case store::TopicType::kMixed:
      break;
  }
  return v2::MESSAGE_TYPE_UNSPECIFIED;
}

store::NewMessage ToNewMessage(const v2::Message& message, const CallContext& context,
                               int64_t now_ms) {
  const v2::SystemProperties& system = message.system_properties();
  store::NewMessage result;
  // The queue id in the message is not honoured: a client's idea of which queue a message group
  // belongs to depends on its language. Our own client chooses by metadata.
  result.queue = context.queue;
  result.topic = message.topic().name();
  result.message_id = system.message_id();
  result.client_id = context.client_id;
  result.tag = system.tag();
  result.keys.assign(system.keys().begin(), system.keys().end());
  result.message_group = system.message_group();
  result.trace_context = system.trace_context();
  for (const auto& [name, value] : message.user_properties()) {
    if (name != property::kDelayTimeLevel) result.user_properties.emplace(name, value);
  }
  result.body = message.body();
  result.body_gzip = system.body_encoding() == v2::GZIP;
  result.type = MessageTypeOf(message);
  if (result.type == store::TopicType::kLite) {
    result.topic = store::LiteTopicName(message.topic().name(), system.lite_topic());
    result.queue.reset();  // it has one
  }
  if (system.has_priority()) result.priority = system.priority();
  if (result.type == store::TopicType::kDelay) {
    result.deliver_ms = ToMillis(system.delivery_timestamp());
  }
  if (result.type == store::TopicType::kTransaction &&
      system.has_orphaned_transaction_recovery_duration()) {
    const int64_t immunity_ms = ToMillis(system.orphaned_transaction_recovery_duration());
    if (immunity_ms > 0) result.check_immunity_ms = immunity_ms;
  }
  result.born_ms = system.has_born_timestamp() ? ToMillis(system.born_timestamp()) : now_ms;
  result.born_host = system.born_host().empty() ? context.peer : system.born_host();
  return result;
}

absl::Status ToMessage(std::string_view record, v2::Message* message) {
  RAFTMQ_ASSIGN_OR_RETURN(const store::RecordView view, store::ParseRecord(record));
  FillFromRecord(view, message);
  message->mutable_system_properties()->set_delivery_attempt(1);
  return absl::OkStatus();
}

absl::Status ToMessage(const store::Delivery& delivery, v2::Message* message) {
  RAFTMQ_ASSIGN_OR_RETURN(const store::RecordView view, store::ParseRecord(delivery.record));
  FillFromRecord(view, message);
  v2::SystemProperties* system = message->mutable_system_properties();
  system->set_receipt_handle(system->has_lite_topic()
                                 ? LiteHandle(delivery.receipt_handle, system->lite_topic())
                                 : delivery.receipt_handle);
  system->set_delivery_attempt(delivery.attempt);
  SetDuration(delivery.invisible_ms, system->mutable_invisible_duration());
  return absl::OkStatus();
}

}  // namespace raftmq::broker
