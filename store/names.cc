#include "store/names.h"

#include <algorithm>
#include <array>

#include "base/strings.h"
#include "store/reason.h"

namespace raftmq::store {
namespace {

constexpr std::array<std::string_view, 6> kSystemTopics = {
    "TBW102",          "SCHEDULE_TOPIC_XXXX", "BenchmarkTest",
    "SELF_TEST_TOPIC", "OFFSET_MOVED_EVENT",  "TRANS_CHECK_MAX_TIME_TOPIC",
};

constexpr std::array<std::string_view, 8> kSystemGroups = {
    "DEFAULT_PRODUCER",   "DEFAULT_CONSUMER",      "TOOLS_CONSUMER",    "SCHEDULE_CONSUMER",
    "__MONITOR_CONSUMER", "CLIENT_INNER_PRODUCER", "SELF_TEST_P_GROUP", "SELF_TEST_C_GROUP",
};

bool IsNameCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '%' ||
         c == '-' || c == '_' || c == '|';
}

// What is wrong with `name`, "" if nothing is. Never repeats unprintable input.
std::string Fault(std::string_view what, std::string_view name, size_t max) {
  if (name.empty()) return StrCat("the ", what, " name is empty");
  if (name.size() > max) {
    return StrCat("the ", what, " name is ", name.size(), " bytes long, at most ", max,
                  " are allowed");
  }
  auto bad = std::find_if_not(name.begin(), name.end(), IsNameCharacter);
  if (bad != name.end()) {
    return StrCat("byte ", bad - name.begin(), " of the ", what, " name has the code ",
                  static_cast<int>(static_cast<unsigned char>(*bad)),
                  "; letters, digits, '%', '-', '_' and '|' are allowed");
  }
  return "";
}

}  // namespace

absl::Status CheckTopicName(std::string_view name) {
  bool inner = IsRetryTopic(name) || IsDeadLetterTopic(name);
  std::string fault = Fault("topic", name, inner ? kMaxInnerTopicLength : kMaxTopicLength);
  if (!fault.empty()) return Refuse(Reason::kIllegalTopic, fault);
  if (IsSystemTopic(name)) {
    return Refuse(Reason::kIllegalTopic,
                  StrCat("topic ", name, " belongs to the system: choose another name"));
  }
  return absl::OkStatus();
}

absl::Status CheckGroupName(std::string_view name) {
  std::string fault = Fault("group", name, kMaxGroupLength);
  if (!fault.empty()) return Refuse(Reason::kIllegalGroup, fault);
  if (IsSystemGroup(name)) {
    return Refuse(Reason::kIllegalGroup,
                  StrCat("group ", name, " belongs to the system: choose another name"));
  }
  return absl::OkStatus();
}

absl::Status CheckLiteTopic(std::string_view lite_topic) {
  std::string fault = Fault("lite topic", lite_topic, kMaxLiteTopicLength);
  const size_t bad = lite_topic.find_first_of("%|");
  if (fault.empty() && bad != std::string_view::npos) {
    fault = StrCat("byte ", bad, " of the lite topic's name is '", lite_topic.substr(bad, 1),
                   "'; letters, digits, '-' and '_' are allowed");
  }
  return fault.empty() ? absl::OkStatus() : Refuse(Reason::kIllegalLiteTopic, fault);
}

std::string LiteTopicName(std::string_view parent, std::string_view lite_topic) {
  return StrCat(kLiteTopicPrefix, parent, "$", lite_topic);
}

bool IsLiteTopic(std::string_view topic) { return topic.starts_with(kLiteTopicPrefix); }

std::string_view ParentOfLite(std::string_view topic) {
  if (!IsLiteTopic(topic)) return {};
  topic.remove_prefix(kLiteTopicPrefix.size());
  const size_t dollar = topic.find('$');
  return dollar == std::string_view::npos ? std::string_view() : topic.substr(0, dollar);
}

std::string_view LiteTopicOf(std::string_view topic) {
  const std::string_view parent = ParentOfLite(topic);
  if (parent.empty()) return {};
  return topic.substr(kLiteTopicPrefix.size() + parent.size() + 1);
}

bool IsSystemTopic(std::string_view name) {
  return name.starts_with("RMQ_SYS_") || name.starts_with("rmq_sys_") ||
         std::find(kSystemTopics.begin(), kSystemTopics.end(), name) != kSystemTopics.end();
}

bool IsSystemGroup(std::string_view name) {
  return name.starts_with("CID_RMQ_SYS_") ||
         std::find(kSystemGroups.begin(), kSystemGroups.end(), name) != kSystemGroups.end();
}

bool IsRetryTopic(std::string_view topic) { return topic.starts_with(kRetryTopicPrefix); }
bool IsDeadLetterTopic(std::string_view topic) { return topic.starts_with(kDeadLetterTopicPrefix); }
std::string RetryTopicOf(std::string_view group) { return StrCat(kRetryTopicPrefix, group); }
std::string DeadLetterTopicOf(std::string_view group) {
  return StrCat(kDeadLetterTopicPrefix, group);
}

}  // namespace raftmq::store
