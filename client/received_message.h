// From the protocol's message to what users of the client library get.
//
// Pure functions; any thread.
#pragma once

#include <string>

#include "apache/rocketmq/v2/definition.pb.h"
#include "client/message.h"

namespace raftmq::client {

// `broker`: the name of the group it came from; `address`: of the member.
ReceivedMessage ToReceivedMessage(apache::rocketmq::v2::Message&& in, const std::string& broker,
                                  const std::string& address);

}  // namespace raftmq::client
