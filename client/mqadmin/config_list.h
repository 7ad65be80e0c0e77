// Topics and groups as RocketMQ's mqadmin takes several at once: a file with a JSON list of its
// TopicConfig or SubscriptionGroupConfig, or what its exportMetadata writes. What is left out stays
// as it is, or is the default of a new one; fields that mean nothing here are passed over.
//
// Pure functions; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "raftmq/v1/admin.pb.h"

namespace raftmq::mqadmin {

// "+message.type=FIFO", "+ack.level=all", "-ack.level".
absl::Status ApplyTopicAttribute(const std::string& text, raftmq::v1::UpdateTopicRequest* request);
// "+lite.sub.model=Shared|Exclusive", "+lite.sub.client.quota=10".
absl::Status ApplyGroupAttribute(const std::string& text, raftmq::v1::UpdateGroupRequest* request);

// [{"topicName":"orders","readQueueNums":8,"writeQueueNums":8,"perm":6,
//   "attributes":{"+message.type":"FIFO"}}]
absl::StatusOr<std::vector<raftmq::v1::UpdateTopicRequest>> ParseTopicList(const std::string& json);

// [{"groupName":"billing","consumeEnable":true,"consumeMessageOrderly":false,"retryMaxTimes":16,
//   "groupRetryPolicy":{…}}]
absl::StatusOr<std::vector<raftmq::v1::UpdateGroupRequest>> ParseGroupList(const std::string& json);

// {"topicConfigTable":{"orders":{"topicName":"orders",…}},"subscriptionGroupTable":{"billing":{…}},
//  "exportTime":MS}, by name; a table that is null is left out. ParseTopicList and ParseGroupList
// read it back, with nothing lost.
std::string MetadataJson(const std::map<std::string, raftmq::v1::Topic>* topics,
                         const std::map<std::string, raftmq::v1::Group>* groups, int64_t export_ms);

}  // namespace raftmq::mqadmin
