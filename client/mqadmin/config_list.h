// Topics and groups as RocketMQ's mqadmin takes several at once: a file with a JSON list of its
// TopicConfig or SubscriptionGroupConfig. What is left out stays as it is, or is the default of a
// new one; fields that mean nothing here are passed over.
//
// Pure functions; any thread.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "raftmq/v1/admin.pb.h"

namespace raftmq::mqadmin {

// "+message.type=FIFO", "+ack.level=all", "-ack.level".
absl::Status ApplyTopicAttribute(const std::string& text, raftmq::v1::UpdateTopicRequest* request);

// [{"topicName":"orders","readQueueNums":8,"writeQueueNums":8,"perm":6,
//   "attributes":{"+message.type":"FIFO"}}]
absl::StatusOr<std::vector<raftmq::v1::UpdateTopicRequest>> ParseTopicList(const std::string& json);

// [{"groupName":"billing","consumeEnable":true,"consumeMessageOrderly":false,"retryMaxTimes":16,
//   "groupRetryPolicy":{…}}]
absl::StatusOr<std::vector<raftmq::v1::UpdateGroupRequest>> ParseGroupList(const std::string& json);

}  // namespace raftmq::mqadmin
