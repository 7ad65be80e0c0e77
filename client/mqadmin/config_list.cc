#include "client/mqadmin/config_list.h"

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "base/strings.h"
#include "client/mqadmin/retry_policy_text.h"

namespace raftmq::mqadmin {
namespace {

namespace pb = ::raftmq::v1;
using nlohmann::json;

absl::StatusOr<json> ParseList(const std::string& text, std::string_view of) {
  json list = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (list.is_discarded() || !list.is_array()) {
    return absl::InvalidArgumentError(StrCat("the file holds no JSON list of ", of));
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

absl::Status TakeAttributes(const json& item, size_t at, pb::UpdateTopicRequest* request) {
  const auto attributes = item.find("attributes");
  if (attributes == item.end() || attributes->is_null()) return absl::OkStatus();
  if (!attributes->is_object()) return Malformed(at, "has attributes that are no object");
  for (const auto& [name, value] : attributes->items()) {
    if (!value.is_string())
      return Malformed(at, StrCat("has an attribute ", name, " without text"));
    const std::string text =
        name.starts_with("-") ? name : StrCat(name, "=", value.get<std::string>());
    if (const absl::Status applied = ApplyTopicAttribute(text, request); !applied.ok()) {
      return Malformed(at, StrCat("has the ", Message(applied)));
    }
  }
  return absl::OkStatus();
}

}  // namespace

// RocketMQ writes "+key=value" and "-key".
absl::Status ApplyTopicAttribute(const std::string& text, pb::UpdateTopicRequest* request) {
  constexpr std::string_view kType = "+message.type=";
  constexpr std::string_view kAckLevel = "+ack.level=";
  constexpr std::string_view kLiteExpiration = "+lite.topic.expiration=";
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
  int32_t minutes = 0;
  if (text.starts_with(kLiteExpiration) &&
      absl::SimpleAtoi(text.substr(kLiteExpiration.size()), &minutes)) {
    request->set_lite_expiration_minutes(minutes);  // the broker knows which may be
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      StrCat("attribute '", text,
             "': expected +message.type=TYPE, +ack.level=leader|quorum|quorum_fsync|all, "
             "-ack.level, +lite.topic.expiration=MINUTES or -lite.topic.expiration"));
}

absl::StatusOr<std::vector<pb::UpdateTopicRequest>> ParseTopicList(const std::string& text) {
  RAFTMQ_ASSIGN_OR_RETURN(const json list, ParseList(text, "topics"));
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
    RAFTMQ_RETURN_IF_ERROR(TakeAttributes(item, at, &request));
  }
  return requests;
}

absl::StatusOr<std::vector<pb::UpdateGroupRequest>> ParseGroupList(const std::string& text) {
  RAFTMQ_ASSIGN_OR_RETURN(const json list, ParseList(text, "groups"));
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
    const auto policy = item.find("groupRetryPolicy");
    if (policy == item.end() || policy->is_null()) continue;
    const absl::Status parsed = ParseRetryPolicy(policy->dump(), request.mutable_retry_policy());
    if (!parsed.ok()) return Malformed(at, StrCat("is wrong: ", Message(parsed)));
  }
  return requests;
}

}  // namespace raftmq::mqadmin
