#include "client/mqadmin/config_list.h"

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/numbers.h"
#include "base/strings.h"
#include "client/mqadmin/retry_policy_text.h"

namespace raftmq::mqadmin {
namespace {

namespace pb = ::raftmq::v1;
using nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

constexpr char kTopicTable[] = "topicConfigTable";
constexpr char kGroupTable[] = "subscriptionGroupTable";

constexpr std::pair<pb::ConsumeFrom, const char*> kConsumeFrom[] = {
    {pb::CONSUME_FROM_FIRST, "first"},
    {pb::CONSUME_FROM_LAST, "last"},
    {pb::CONSUME_FROM_TIMESTAMP, "timestamp"}};

// A list, or the values of a table in what exportMetadata wrote.
absl::StatusOr<json> ParseList(const std::string& text, std::string_view of, const char* table) {
  json list = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (list.is_object() && list.contains(table) && list[table].is_object()) {
    json values = json::array();
    for (const auto& [name, value] : list[table].items()) values.push_back(value);
    return values;
  }
  if (list.is_discarded() || !list.is_array()) {
    return absl::InvalidArgumentError(
        StrCat("the file holds no JSON list of ", of, ", and no ", table));
  }
  return list;
}

absl::Status Malformed(size_t at, std::string_view what) {
  return absl::InvalidArgumentError(StrCat("item ", at + 1, " of the list ", what));
}

absl::StatusOr<std::string> NameIn(const json& item, const char* field, size_t at) {
  if (!item.is_object()) return Malformed(at, "is no object");
  const auto it = item.find(field);
  if (it == item.end() || !it->is_string() || it->get<std::string>().empty()) {
    return Malformed(at, StrCat("has no ", field));
  }
  return it->get<std::string>();
}

// Calls `set` if the field is there.
template <typename Set>
absl::Status TakeNumber(const json& item, const char* field, size_t at, Set set) {
  const auto it = item.find(field);
  if (it == item.end()) return absl::OkStatus();
  if (!it->is_number_integer() || it->get<int64_t>() < 0 ||
      it->get<int64_t>() > std::numeric_limits<int32_t>::max()) {
    return Malformed(at, StrCat("has a ", field, " that is no whole number"));
  }
  set(it->get<int32_t>());
  return absl::OkStatus();
}

template <typename Set>
absl::Status TakeBool(const json& item, const char* field, size_t at, Set set) {
  const auto it = item.find(field);
  if (it == item.end()) return absl::OkStatus();
  if (!it->is_boolean())
    return Malformed(at, StrCat("has a ", field, " that is not true or false"));
  set(it->get<bool>());
  return absl::OkStatus();
}

template <typename Request>
absl::Status TakeAttributes(const json& item, size_t at,
                            absl::Status (*apply)(const std::string&, Request*), Request* request) {
  const auto attributes = item.find("attributes");
  if (attributes == item.end() || attributes->is_null()) return absl::OkStatus();
  if (!attributes->is_object()) return Malformed(at, "has attributes that are no object");
  for (const auto& [name, value] : attributes->items()) {
    if (!value.is_string())
      return Malformed(at, StrCat("has an attribute ", name, " without text"));
    const std::string text =
        name.starts_with("-") ? name : StrCat(name, "=", value.template get<std::string>());
    if (const absl::Status applied = apply(text, request); !applied.ok()) {
      return Malformed(at, StrCat("has the ", Message(applied)));
    }
  }
  return absl::OkStatus();
}

// Ours: RocketMQ leaves it to the consumers.
absl::Status TakeConsumeFrom(const json& item, size_t at, pb::UpdateGroupRequest* request) {
  const auto from = item.find("consumeFrom");
  if (from == item.end()) return absl::OkStatus();
  for (const auto& [value, name] : kConsumeFrom) {
    if (*from == name) request->set_consume_from(value);
  }
  if (request->consume_from() == pb::CONSUME_FROM_UNSPECIFIED) {
    return Malformed(at, "has a consumeFrom that is not first, last or timestamp");
  }
  const auto ms = item.find("consumeTimestamp");
  if (ms == item.end()) return absl::OkStatus();
  if (!ms->is_number_integer()) {
    return Malformed(at, "has a consumeTimestamp that is no whole number");
  }
  request->set_consume_timestamp_ms(ms->get<int64_t>());
  return absl::OkStatus();
}

OrderedJson ToJson(const pb::Topic& topic) {
  OrderedJson attributes;
  attributes["+message.type"] = pb::TopicType_Name(topic.type());
  if (!topic.ack_level().empty()) attributes["+ack.level"] = topic.ack_level();
  if (topic.reserve_hours() > 0) attributes["+reserve.time"] = StrCat(topic.reserve_hours());
  if (topic.type() == pb::LITE && topic.lite_expiration_minutes() > 0) {
    attributes["+lite.topic.expiration"] = StrCat(topic.lite_expiration_minutes());
  }
  return {{"topicName", topic.name()},
          {"readQueueNums", topic.read_queues()},
          {"writeQueueNums", topic.write_queues()},
          {"perm", topic.perm()},
          {"attributes", attributes}};
}

OrderedJson ToJson(const pb::RetryPolicy& policy) {
  if (policy.has_exponential()) {
    return {{"type", "EXPONENTIAL"},
            {"exponentialRetryPolicy",
             {{"initial", policy.exponential().initial_ms()},
              {"max", policy.exponential().max_ms()},
              {"multiplier", policy.exponential().multiplier()}}}};
  }
  OrderedJson next = OrderedJson::array();
  for (const int64_t ms : policy.customized().next_ms()) next.push_back(ms);
  return {{"type", "CUSTOMIZED"}, {"customizedRetryPolicy", {{"next", next}}}};
}

OrderedJson ToJson(const pb::Group& group) {
  OrderedJson object = {{"groupName", group.name()},
                        {"consumeEnable", group.consume_enable()},
                        {"consumeMessageOrderly", group.orderly()},
                        {"retryMaxTimes", group.retry_max_times()},
                        {"groupRetryPolicy", ToJson(group.retry_policy())}};
  for (const auto& [value, name] : kConsumeFrom) {
    if (group.consume_from() == value) object["consumeFrom"] = name;
  }
  if (group.consume_from() == pb::CONSUME_FROM_TIMESTAMP) {
    object["consumeTimestamp"] = group.consume_timestamp_ms();
  }
  object["attributes"]["+lite.sub.model"] = group.lite_exclusive() ? "Exclusive" : "Shared";
  if (group.lite_client_quota() > 0) {
    object["attributes"]["+lite.sub.client.quota"] = StrCat(group.lite_client_quota());
  }
  return object;
}

template <typename Config>
OrderedJson Table(const std::map<std::string, Config>& configs) {
  OrderedJson table = OrderedJson::object();
  for (const auto& [name, config] : configs) table[name] = ToJson(config);
  return table;
}

}  // namespace

// RocketMQ writes "+key=value" and "-key".
absl::Status ApplyTopicAttribute(const std::string& text, pb::UpdateTopicRequest* request) {
  constexpr std::string_view kType = "+message.type=";
  constexpr std::string_view kAckLevel = "+ack.level=";
  constexpr std::string_view kLiteExpiration = "+lite.topic.expiration=";
  constexpr std::string_view kReserve = "+reserve.time=";
  if (text.starts_with(kType)) {
    pb::TopicType type = pb::TOPIC_TYPE_UNSPECIFIED;
    if (!pb::TopicType_Parse(text.substr(kType.size()), &type) ||
        type == pb::TOPIC_TYPE_UNSPECIFIED) {
      return absl::InvalidArgumentError(
          StrCat("attribute '", text,
                 "': expected +message.type= and one of NORMAL, FIFO, DELAY, TRANSACTION, "
                 "MIXED, PRIORITY, LITE"));
    }
    request->set_type(type);
    return absl::OkStatus();
  }
  if (text == "-ack.level") {
    request->set_ack_level("");
    return absl::OkStatus();
  }
  if (text.starts_with(kAckLevel) && text.size() > kAckLevel.size()) {
    request->set_ack_level(text.substr(kAckLevel.size()));  // the broker knows which there are
    return absl::OkStatus();
  }
  if (text == "-lite.topic.expiration") {
    request->set_lite_expiration_minutes(-1);
    return absl::OkStatus();
  }
  if (text == "-reserve.time") {
    request->set_reserve_hours(-1);
    return absl::OkStatus();
  }
  int32_t hours = 0;
  if (text.starts_with(kReserve) && absl::SimpleAtoi(text.substr(kReserve.size()), &hours)) {
    request->set_reserve_hours(hours);  // the broker knows which may be
    return absl::OkStatus();
  }
  int32_t minutes = 0;
  if (text.starts_with(kLiteExpiration) &&
      absl::SimpleAtoi(text.substr(kLiteExpiration.size()), &minutes)) {
    request->set_lite_expiration_minutes(minutes);  // the broker knows which may be
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      StrCat("attribute '", text,
             "': expected +message.type=TYPE, +ack.level=leader|quorum|quorum_fsync|all, "
             "-ack.level, +reserve.time=HOURS, -reserve.time, +lite.topic.expiration=MINUTES or "
             "-lite.topic.expiration"));
}

absl::Status ApplyGroupAttribute(const std::string& text, pb::UpdateGroupRequest* request) {
  constexpr std::string_view kQuota = "+lite.sub.client.quota=";
  int32_t quota = 0;
  if (text == "+lite.sub.model=Exclusive" || text == "+lite.sub.model=Shared") {
    request->set_lite_exclusive(text.ends_with("Exclusive"));
  } else if (text.starts_with(kQuota) && absl::SimpleAtoi(text.substr(kQuota.size()), &quota)) {
    request->set_lite_client_quota(quota);  // the broker knows which may be
  } else {
    return absl::InvalidArgumentError(StrCat(
        "attribute '", text, "': expected +lite.sub.model=Shared|Exclusive or ", kQuota, "NUMBER"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<pb::UpdateTopicRequest>> ParseTopicList(const std::string& text) {
  RAFTMQ_ASSIGN_OR_RETURN(const json list, ParseList(text, "topics", kTopicTable));
  std::vector<pb::UpdateTopicRequest> requests;
  for (size_t at = 0; at < list.size(); ++at) {
    const json& item = list[at];
    pb::UpdateTopicRequest& request = requests.emplace_back();
    RAFTMQ_ASSIGN_OR_RETURN(const std::string name, NameIn(item, "topicName", at));
    request.set_name(name);
    RAFTMQ_RETURN_IF_ERROR(
        TakeNumber(item, "readQueueNums", at, [&](int32_t n) { request.set_read_queues(n); }));
    RAFTMQ_RETURN_IF_ERROR(
        TakeNumber(item, "writeQueueNums", at, [&](int32_t n) { request.set_write_queues(n); }));
    RAFTMQ_RETURN_IF_ERROR(TakeNumber(item, "perm", at, [&](int32_t n) { request.set_perm(n); }));
    RAFTMQ_RETURN_IF_ERROR(TakeAttributes(item, at, &ApplyTopicAttribute, &request));
  }
  return requests;
}

absl::StatusOr<std::vector<pb::UpdateGroupRequest>> ParseGroupList(const std::string& text) {
  RAFTMQ_ASSIGN_OR_RETURN(const json list, ParseList(text, "groups", kGroupTable));
  std::vector<pb::UpdateGroupRequest> requests;
  for (size_t at = 0; at < list.size(); ++at) {
    const json& item = list[at];
    pb::UpdateGroupRequest& request = requests.emplace_back();
    RAFTMQ_ASSIGN_OR_RETURN(const std::string name, NameIn(item, "groupName", at));
    request.set_name(name);
    RAFTMQ_RETURN_IF_ERROR(
        TakeBool(item, "consumeEnable", at, [&](bool is) { request.set_consume_enable(is); }));
    RAFTMQ_RETURN_IF_ERROR(
        TakeBool(item, "consumeMessageOrderly", at, [&](bool is) { request.set_orderly(is); }));
    RAFTMQ_RETURN_IF_ERROR(
        TakeNumber(item, "retryMaxTimes", at, [&](int32_t n) { request.set_retry_max_times(n); }));
    RAFTMQ_RETURN_IF_ERROR(TakeConsumeFrom(item, at, &request));
    RAFTMQ_RETURN_IF_ERROR(TakeAttributes(item, at, &ApplyGroupAttribute, &request));
    const auto policy = item.find("groupRetryPolicy");
    if (policy == item.end() || policy->is_null()) continue;
    const absl::Status parsed = ParseRetryPolicy(policy->dump(), request.mutable_retry_policy());
    if (!parsed.ok()) return Malformed(at, StrCat("is wrong: ", Message(parsed)));
  }
  return requests;
}

std::string MetadataJson(const std::map<std::string, pb::Topic>* topics,
                         const std::map<std::string, pb::Group>* groups, int64_t export_ms) {
  OrderedJson metadata = OrderedJson::object();
  if (topics != nullptr) metadata[kTopicTable] = Table(*topics);
  if (groups != nullptr) metadata[kGroupTable] = Table(*groups);
  metadata["exportTime"] = export_ms;
  return metadata.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

}  // namespace raftmq::mqadmin
