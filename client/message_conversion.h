// Messages and filters of the client's API as the public protocol has them, both ways. For sources
// of client/ only.
//
// Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>

#include "apache/rocketmq/v2/service.pb.h"
#include "client/message.h"

namespace raftmq::client {

// Compresses a body of at least `over_how_much` bytes, if that makes it smaller.
struct BodyCompression {
  int64_t over_how_much = 4'096;
  int level = 5;  // zlib's: 1 fast to 9 small
};

// Everything but what a transaction needs. `id`: the message's; `now_ms`: when it is born.
void FillMessage(Message&& in, std::string id, int64_t now_ms, const BodyCompression& compression,
                 apache::rocketmq::v2::Message* out);

// A message that came from `broker`'s member at `address`, its body as it was before compression.
ReceivedMessage ToReceivedMessage(apache::rocketmq::v2::Message&& in, const std::string& broker,
                                  const std::string& address);

apache::rocketmq::v2::FilterExpression ToFilterExpression(const MessageSelector& selector);

}  // namespace raftmq::client
