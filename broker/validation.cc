#include "broker/validation.h"

#include <algorithm>
#include <string_view>

#include "absl/strings/numbers.h"
#include "base/strings.h"
#include "broker/proto_time.h"
#include "store/message_properties.h"
#include "store/names.h"
#include "store/reason.h"
#include "store/sql_filter.h"

namespace raftmq::broker {
namespace {

using store::Reason;
using store::Refuse;
using store::TopicType;

bool HasControl(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

bool IsBlank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n\f\v") == std::string_view::npos;
}

absl::Status CheckTag(std::string_view tag) {
  if (IsBlank(tag) || HasControl(tag) || tag.find('|') != std::string_view::npos) {
    return Refuse(Reason::kIllegalTag,
                  StrCat("tag \"", tag, "\" is blank, or holds '|' or a control character"));
  }
  return absl::OkStatus();
}

absl::Status CheckKey(std::string_view key) {
  if (IsBlank(key) || HasControl(key)) {
    return Refuse(Reason::kIllegalKey,
                  StrCat("message key \"", key, "\" is blank or holds a control character"));
  }
  return absl::OkStatus();
}

absl::Status CheckMessageGroup(std::string_view group, const Limits& limits) {
  if (IsBlank(group) || HasControl(group)) {
    return Refuse(Reason::kIllegalMessageGroup,
                  StrCat("message group \"", group, "\" is blank or holds a control character"));
  }
  if (group.size() >= static_cast<size_t>(limits.max_message_group_bytes)) {
    return Refuse(Reason::kIllegalMessageGroup,
                  StrCat("message group \"", group, "\" has ", group.size(), " bytes, fewer than ",
                         limits.max_message_group_bytes, " are allowed"));
  }
  return absl::OkStatus();
}

absl::Status CheckBody(const v2::Message& message, const Limits& limits) {
  if (message.body().empty()) {
    return Refuse(Reason::kBodyEmpty, "the message has no body");
  }
  if (message.body().size() > static_cast<size_t>(limits.max_body_bytes)) {
    return Refuse(Reason::kBodyTooLarge,
                  StrCat("the body has ", message.body().size(), " bytes, at most ",
                         limits.max_body_bytes, " are allowed (maxMessageSize)"));
  }
  return absl::OkStatus();
}

absl::Status CheckUserProperties(const v2::Message& message, const Limits& limits) {
  if (message.user_properties_size() > limits.max_user_properties) {
    return Refuse(Reason::kPropertiesTooLarge,
                  StrCat("the message has ", message.user_properties_size(),
                         " user properties, at most ", limits.max_user_properties, " are allowed"));
  }
  const v2::SystemProperties& system = message.system_properties();
  int64_t bytes = system.tag().size();
  for (const std::string& key : system.keys()) bytes += key.size();
  for (const auto& [name, value] : message.user_properties()) {
    if (name == store::property::kDelayTimeLevel) {
      int32_t level = -1;
      if (!absl::SimpleAtoi(value, &level) || level < 0) {
        return Refuse(Reason::kIllegalDeliveryTime,
                      StrCat("property DELAY is \"", value, "\", expected a level, 0 or more"));
      }
    } else if (name.empty() || HasControl(name) || IsSystemProperty(name)) {
      return Refuse(Reason::kIllegalPropertyKey,
                    StrCat("user property \"", name,
                           "\": the name is empty, reserved or holds a control character"));
    }
    if (!store::IsStorablePropertyText(value)) {
      return Refuse(Reason::kIllegalPropertyKey,
                    StrCat("user property \"", name,
                           "\": its value holds character 1 or 2, which cannot be stored"));
    }
    bytes += name.size() + value.size();
  }
  if (bytes > limits.max_user_property_bytes) {
    return Refuse(Reason::kPropertiesTooLarge,
                  StrCat("the user properties, tag and keys take ", bytes, " bytes, at most ",
                         limits.max_user_property_bytes, " are allowed"));
  }
  return absl::OkStatus();
}

// What a delayed message and a half message may not be besides.
absl::Status CheckWaiting(const v2::Message& message, const Limits& limits) {
  const v2::SystemProperties& system = message.system_properties();
  const bool delayed = system.has_delivery_timestamp() || DelayLevelOf(message) > 0;
  if (delayed && !system.message_group().empty()) {
    return Refuse(Reason::kTypeConflict,
                  "the message has a delivery time and a message group: it can be delayed or "
                  "ordered, not both");
  }
  if (system.message_type() != v2::TRANSACTION) return absl::OkStatus();
  if (delayed) {
    return Refuse(Reason::kTypeConflict,
                  "the message is transactional and has a delivery time: it can be one of both");
  }
  const int64_t recovery_ms = ToMillis(system.orphaned_transaction_recovery_duration());
  if (recovery_ms < 0 || recovery_ms > limits.max_transaction_recovery_ms) {
    return absl::InvalidArgumentError(StrCat("orphaned_transaction_recovery_duration is ",
                                             recovery_ms, " ms, at most ",
                                             limits.max_transaction_recovery_ms, " are allowed"));
  }
  return absl::OkStatus();
}

// What a message with a priority may not be besides.
absl::Status CheckPriority(const v2::Message& message) {
  const v2::SystemProperties& system = message.system_properties();
  if (!system.has_priority()) return absl::OkStatus();
  if (system.priority() < 0) {
    return absl::InvalidArgumentError(
        StrCat("the priority is ", system.priority(), ", expected 0 or more"));
  }
  if (system.has_delivery_timestamp() || DelayLevelOf(message) > 0 ||
      !system.message_group().empty() || system.message_type() == v2::TRANSACTION) {
    return Refuse(Reason::kTypeConflict,
                  "the message has a priority and is delayed, ordered or transactional: it can be "
                  "one of these");
  }
  return absl::OkStatus();
}

// What a message for a lite topic may not be besides.
absl::Status CheckLite(const v2::Message& message) {
  const v2::SystemProperties& system = message.system_properties();
  if (!system.has_lite_topic()) {
    if (system.message_type() != v2::LITE) return absl::OkStatus();
    return Refuse(Reason::kIllegalLiteTopic, "the message is of type LITE and names no lite topic");
  }
  RAFTMQ_RETURN_IF_ERROR(store::CheckLiteTopic(system.lite_topic()));
  if (system.has_delivery_timestamp() || DelayLevelOf(message) > 0 ||
      !system.message_group().empty() || system.has_priority() ||
      system.message_type() == v2::TRANSACTION) {
    return Refuse(Reason::kTypeConflict,
                  StrCat("the message for lite topic ", system.lite_topic(),
                         " is delayed, ordered, transactional or has a priority besides"));
  }
  return absl::OkStatus();
}

absl::Status CheckMessage(const v2::Message& message, const Limits& limits) {
  const v2::SystemProperties& system = message.system_properties();
  if (IsBlank(system.message_id()) || HasControl(system.message_id()) ||
      system.message_id().size() > static_cast<size_t>(limits.max_message_id_bytes)) {
    return Refuse(Reason::kIllegalMessageId,
                  StrCat("message id \"", system.message_id().substr(0, 300),
                         "\" is blank, too long or holds a control character"));
  }
  RAFTMQ_RETURN_IF_ERROR(CheckBody(message, limits));
  if (system.has_tag()) RAFTMQ_RETURN_IF_ERROR(CheckTag(system.tag()));
  for (const std::string& key : system.keys()) RAFTMQ_RETURN_IF_ERROR(CheckKey(key));
  if (system.has_message_group()) {
    RAFTMQ_RETURN_IF_ERROR(CheckMessageGroup(system.message_group(), limits));
  }
  RAFTMQ_RETURN_IF_ERROR(CheckWaiting(message, limits));
  RAFTMQ_RETURN_IF_ERROR(CheckPriority(message));
  RAFTMQ_RETURN_IF_ERROR(CheckLite(message));
  return CheckUserProperties(message, limits);
}

std::string_view Trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

}  // namespace

absl::Status CheckTopic(const v2::Resource& topic) { return store::CheckTopicName(topic.name()); }

absl::Status CheckGroup(const v2::Resource& group) { return store::CheckGroupName(group.name()); }

absl::Status CheckSend(const v2::SendMessageRequest& request, const Limits& limits) {
  if (request.messages().empty()) {
    return Refuse(Reason::kMessageCorrupted, "the request holds no message");
  }
  if (request.messages_size() > limits.max_messages_per_send) {
    return Refuse(Reason::kMessageCorrupted,
                  StrCat("the request holds ", request.messages_size(), " messages, at most ",
                         limits.max_messages_per_send, " are allowed"));
  }
  const std::string& topic = request.messages(0).topic().name();
  const std::string& lite_topic = request.messages(0).system_properties().lite_topic();
  RAFTMQ_RETURN_IF_ERROR(CheckTopic(request.messages(0).topic()));
  for (const v2::Message& message : request.messages()) {
    if (message.topic().name() != topic) {
      return Refuse(Reason::kMessageCorrupted,
                    StrCat("the request mixes topics \"", topic, "\" and \"",
                           message.topic().name(), "\": send them separately"));
    }
    if (message.system_properties().lite_topic() != lite_topic) {
      return Refuse(Reason::kMessageCorrupted,
                    StrCat("the request mixes lite topics \"", lite_topic, "\" and \"",
                           message.system_properties().lite_topic(), "\": send them separately"));
    }
    RAFTMQ_RETURN_IF_ERROR(CheckMessage(message, limits));
  }
  return absl::OkStatus();
}

bool IsSystemProperty(std::string_view name) {
  for (const std::string_view free : {store::property::kCorrelationId,
                                      store::property::kMessageReplyToClient,
                                      store::property::kMessageTtl}) {
    if (name == free) return false;
  }
  return store::IsReservedProperty(name) || name == store::property::kTraceContext ||
         name == store::property::kBornHost || name == store::property::kCrc32;
}

TopicType MessageTypeOf(const v2::Message& message) {
  const v2::SystemProperties& system = message.system_properties();
  if (system.message_type() == v2::TRANSACTION) return TopicType::kTransaction;
  if (system.has_delivery_timestamp()) return TopicType::kDelay;
  if (!system.message_group().empty()) return TopicType::kFifo;
  if (system.message_type() == v2::LITE || system.has_lite_topic()) return TopicType::kLite;
  if (system.message_type() == v2::PRIORITY || system.has_priority()) return TopicType::kPriority;
  return TopicType::kNormal;
}

int32_t DelayLevelOf(const v2::Message& message) {
  if (message.user_properties().empty()) return 0;
  const auto it = message.user_properties().find(std::string(store::property::kDelayTimeLevel));
  int32_t level = 0;
  if (it == message.user_properties().end() || !absl::SimpleAtoi(it->second, &level)) return 0;
  return std::max(level, 0);
}

absl::Status CheckTypeAllowed(const store::TopicConfig& topic, TopicType type) {
  const bool mixed = topic.type == TopicType::kMixed && type != TopicType::kLite;
  if (mixed || topic.type == type) return absl::OkStatus();
  return Refuse(Reason::kTypeConflict,
                StrCat("the message is of type ", TopicTypeName(type), ", topic \"", topic.name,
                       "\" takes messages of type ", TopicTypeName(topic.type)));
}

absl::StatusOr<store::MessageFilter> ParseFilter(const v2::FilterExpression& filter) {
  store::MessageFilter result;
  if (filter.type() == v2::SQL) {
    RAFTMQ_ASSIGN_OR_RETURN(result.sql, store::SqlFilter::Parse(filter.expression()));
    return result;
  }
  std::string_view rest = Trim(filter.expression());
  if (rest.empty() || rest == "*") return result;
  while (true) {
    const size_t bar = rest.find("||");
    const std::string_view tag = Trim(rest.substr(0, bar));
    if (tag.empty() || tag.find('|') != std::string_view::npos || HasControl(tag)) {
      return Refuse(Reason::kIllegalFilter,
                    StrCat("tag expression \"", filter.expression(),
                           "\": expected \"*\" or tags separated by \"||\""));
    }
    if (tag == "*") return store::MessageFilter();
    result.tags.emplace_back(tag);
    if (bar == std::string_view::npos) break;
    rest.remove_prefix(bar + 2);
  }
  std::sort(result.tags.begin(), result.tags.end());
  result.tags.erase(std::unique(result.tags.begin(), result.tags.end()), result.tags.end());
  return result;
}

absl::StatusOr<int64_t> ReceiveInvisibleMillis(const v2::ReceiveMessageRequest& request,
                                               const Limits& limits) {
  // With auto_renew the server holds the lease; C++ clients state a time all the same.
  if (request.auto_renew()) return limits.default_invisible_ms;
  const int64_t ms = ToMillis(request.invisible_duration());
  if (ms < limits.min_receive_invisible_ms || ms > limits.max_invisible_ms) {
    return Refuse(Reason::kIllegalInvisibleTime,
                  StrCat("invisible_duration is ", ms, " ms, it must be between ",
                         limits.min_receive_invisible_ms, " and ", limits.max_invisible_ms,
                         " ms unless auto_renew is set"));
  }
  return ms;
}

absl::Status CheckChangeInvisible(int64_t invisible_ms, const Limits& limits) {
  if (invisible_ms < 0 || invisible_ms > limits.max_invisible_ms) {
    return Refuse(Reason::kIllegalInvisibleTime,
                  StrCat("invisible_duration is ", invisible_ms, " ms, it must be between 0 and ",
                         limits.max_invisible_ms, " ms"));
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> PollMillis(int64_t asked_ms, int64_t remaining_ms, const Limits& limits) {
  if (asked_ms < 0) {
    return Refuse(Reason::kIllegalPollingTime,
                  StrCat("long_polling_timeout is ", asked_ms, " ms, it must not be negative"));
  }
  if (remaining_ms <= 0) {
    return Refuse(Reason::kIllegalPollingTime,
                  StrCat("the call's deadline leaves ", remaining_ms,
                         " ms to wait for messages: set it to more than half a second above "
                         "long_polling_timeout"));
  }
  const int64_t poll = asked_ms > 0 ? asked_ms : limits.default_poll_ms;
  return std::min({poll, limits.max_poll_ms, remaining_ms});
}

}  // namespace raftmq::broker
