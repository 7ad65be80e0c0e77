#include "client/received_message.h"

#include <google/protobuf/util/time_util.h>

#include <utility>

namespace raftmq::client {

namespace v2 = ::apache::rocketmq::v2;
using google::protobuf::util::TimeUtil;

ReceivedMessage ToReceivedMessage(v2::Message&& in, const std::string& broker,
                                  const std::string& address) {
  ReceivedMessage out;
  v2::SystemProperties& system = *in.mutable_system_properties();
  out.topic = in.topic().name();
  out.message_id = system.message_id();
  out.body = std::move(*in.mutable_body());
  out.tag = system.tag();
  out.keys.assign(system.keys().begin(), system.keys().end());
  out.properties.insert(in.user_properties().begin(), in.user_properties().end());
  out.message_group = system.message_group();
  out.broker_name = broker;
  out.queue = QueueId(system.queue_id());
  out.offset = QueueOffset(system.queue_offset());
  out.delivery_attempt = system.delivery_attempt();
  out.born_ms = TimeUtil::TimestampToMilliseconds(system.born_timestamp());
  out.store_ms = TimeUtil::TimestampToMilliseconds(system.store_timestamp());
  out.receipt_handle = system.receipt_handle();
  out.endpoint = address;
  return out;
}

}  // namespace raftmq::client
