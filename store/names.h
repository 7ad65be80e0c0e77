// Which names topics and groups may have; RocketMQ's TopicValidator and its gRPC front.
//
// Pure functions; any thread.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace raftmq::store {

inline constexpr size_t kMaxTopicLength = 127;
inline constexpr size_t kMaxGroupLength = 120;
inline constexpr size_t kMaxInnerTopicLength = 255;  // retry and dead-letter topics

inline constexpr std::string_view kRetryTopicPrefix = "%RETRY%";
inline constexpr std::string_view kDeadLetterTopicPrefix = "%DLQ%";

// Topics of the broker's own, with one queue each. A delayed message waits in the log under the
// first, a half message under the second; a transaction that was checked too often ends in the
// third.
inline constexpr std::string_view kTimerTopic = "rmq_sys_wheel_timer";
inline constexpr std::string_view kHalfTopic = "RMQ_SYS_TRANS_HALF_TOPIC";
inline constexpr std::string_view kCheckMaxTimeTopic = "TRANS_CHECK_MAX_TIME_TOPIC";

// Letters, digits, '%', '-', '_' and '|'; at most 127 (255 for retry and dead-letter topics); not a
// system topic. Reason::kIllegalTopic otherwise.
absl::Status CheckTopicName(std::string_view name);

// The same letters, at most 120; not a system group. Reason::kIllegalGroup otherwise.
absl::Status CheckGroupName(std::string_view name);

// TBW102, SCHEDULE_TOPIC_XXXX, RMQ_SYS_…: the broker's own.
bool IsSystemTopic(std::string_view name);
bool IsSystemGroup(std::string_view name);

bool IsRetryTopic(std::string_view topic);
bool IsDeadLetterTopic(std::string_view topic);

// A lite topic, a tiny topic of its own under a parent topic of type LITE, is stored as a topic of
// one queue, whose name nobody can give to another (RocketMQ's LiteUtil): "%LMQ%$parent$lite".
inline constexpr std::string_view kLiteTopicPrefix = "%LMQ%$";
inline constexpr size_t kMaxLiteTopicLength = 64;
// 1 to 64 letters, digits, '-' and '_'. Reason::kIllegalLiteTopic otherwise.
absl::Status CheckLiteTopic(std::string_view lite_topic);
std::string LiteTopicName(std::string_view parent, std::string_view lite_topic);
bool IsLiteTopic(std::string_view topic);
// "" if it is none.
std::string_view ParentOfLite(std::string_view topic);
std::string_view LiteTopicOf(std::string_view topic);

std::string RetryTopicOf(std::string_view group);
std::string DeadLetterTopicOf(std::string_view group);

}  // namespace raftmq::store
