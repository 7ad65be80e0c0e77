// Requests that wait for a reply, and the replies (RocketMQ: RequestResponseFuture, MessageUtil). A
// request is a message like any other, with three properties; a consumer answers it by
// Producer::SendReply. The reply goes to the requester alone and is not stored: if either side or
// the member in between dies at the wrong moment it is lost, and the request ends by its timeout.
//
// Plain values; any thread.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "client/message.h"

namespace raftmq::client {

// RocketMQ's names.
inline constexpr std::string_view kCorrelationId = "CORRELATION_ID";
inline constexpr std::string_view kReplyToClient = "REPLY_TO_CLIENT";
inline constexpr std::string_view kTtl = "TTL";  // the requester's patience, in milliseconds

struct ReplyMessage {
  std::string topic;        // of the request
  std::string broker_name;  // where the request came from
  std::string correlation_id;
  std::string reply_to_client;
  std::string body;
  std::map<std::string, std::string> properties;
};

// InvalidArgument: nobody waits for a reply to this message.
absl::StatusOr<ReplyMessage> CreateReplyMessage(const ReceivedMessage& request, std::string body);

}  // namespace raftmq::client
