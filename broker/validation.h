// What a request may say: RocketMQ's limits (its gRPC proxy's GrpcValidator and TopicValidator),
// each refusal with the Reason that official clients know.
//
// Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "apache/rocketmq/v2/service.pb.h"
#include "broker/topic_type_name.h"
#include "store/model.h"

namespace raftmq::broker {

namespace v2 = ::apache::rocketmq::v2;

struct Limits {
  int64_t max_body_bytes = 4 << 20;  // maxMessageSize
  int32_t max_user_properties = 128;
  int64_t max_user_property_bytes = 16 << 10;  // names and values, tag and keys included
  int32_t max_message_group_bytes = 64;        // exclusive
  int32_t max_message_id_bytes = 255;
  int32_t max_messages_per_send = 1'024;
  int32_t max_receive_batch = 32;
  int32_t max_acks_per_call = 1'024;
  int64_t min_receive_invisible_ms = 10'000;
  int64_t max_invisible_ms = 12 * 3'600'000;
  int64_t default_invisible_ms = 60'000;  // with auto_renew
  int64_t max_poll_ms = 20'000;
  int64_t default_poll_ms = 20'000;
  int64_t max_transaction_recovery_ms = 3'600'000;
};

// Topic and group of a request: present and well named.
absl::Status CheckTopic(const v2::Resource& topic);
absl::Status CheckGroup(const v2::Resource& group);

// At least one message, all of one topic, each within the limits.
absl::Status CheckSend(const v2::SendMessageRequest& request, const Limits& limits);

// Whether a property's name is taken: RocketMQ's reserved ones, and those that a record keeps
// system properties under. Not taken are the three that make a message a request, which its
// consumers see: CORRELATION_ID, REPLY_TO_CLIENT, TTL.
bool IsSystemProperty(std::string_view name);

// What kind of message this is. Its fields decide, as in RocketMQ: transaction, then a delivery
// time, then a message group, then a lite topic, then a priority; message_type alone tells only the
// rest.
store::TopicType MessageTypeOf(const v2::Message& message);

// The delay level in the user property DELAY, which RocketMQ's classic clients set; 0: none. It is
// the one reserved property that a message may bring.
int32_t DelayLevelOf(const v2::Message& message);

// Whether the topic takes messages of this type.
absl::Status CheckTypeAllowed(const store::TopicConfig& topic, store::TopicType type);

// "*", "" or absent: all; "a || b": those tags; with type SQL an expression (store::SqlFilter).
absl::StatusOr<store::MessageFilter> ParseFilter(const v2::FilterExpression& filter);

// The invisible time of a receive: the default with auto_renew, the request's otherwise.
absl::StatusOr<int64_t> ReceiveInvisibleMillis(const v2::ReceiveMessageRequest& request,
                                               const Limits& limits);
absl::Status CheckChangeInvisible(int64_t invisible_ms, const Limits& limits);

// How long a receive may wait: what it asks for (0: default_poll_ms), at most max_poll_ms, and
// answered half a second before the call's deadline. `remaining_ms` is what is left of that. Unlike
// RocketMQ's proxy it does not raise short polls to 5 s: a client that asks for one second gets an
// answer after one second. Reason::kIllegalPollingTime: negative, or no time is left to wait.
absl::StatusOr<int64_t> PollMillis(int64_t asked_ms, int64_t remaining_ms, const Limits& limits);

}  // namespace raftmq::broker
