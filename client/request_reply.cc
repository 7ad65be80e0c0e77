#include "client/request_reply.h"

#include <utility>

#include "base/strings.h"

namespace raftmq::client {

absl::StatusOr<ReplyMessage> CreateReplyMessage(const ReceivedMessage& request, std::string body) {
  const auto id = request.properties.find(std::string(kCorrelationId));
  const auto client = request.properties.find(std::string(kReplyToClient));
  if (id == request.properties.end() || client == request.properties.end()) {
    return absl::InvalidArgumentError(
        StrCat("message ", request.message_id, " of topic ", request.topic, " has no property ",
               id == request.properties.end() ? kCorrelationId : kReplyToClient,
               ": it was not sent by Producer::Request, nobody waits for a reply"));
  }
  ReplyMessage reply;
  reply.topic = request.topic;
  reply.broker_name = request.broker_name;
  reply.correlation_id = id->second;
  reply.reply_to_client = client->second;
  reply.body = std::move(body);
  return reply;
}

}  // namespace raftmq::client
