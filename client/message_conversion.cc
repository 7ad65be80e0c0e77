#include "client/message_conversion.h"

#include <google/protobuf/util/time_util.h>

#include <utility>

#include "base/gzip.h"
#include "base/strings.h"
#include "glog/logging.h"

namespace raftmq::client {
namespace {

namespace v2 = ::apache::rocketmq::v2;
using google::protobuf::util::TimeUtil;

// RocketMQ's property for a delay level: one for each message, where a header is one for a call.
constexpr char kDelayLevelProperty[] = "DELAY";
// A body that would be larger is left as it is: nobody sent that.
constexpr int64_t kMaxBodyBytes = 256 << 20;

v2::MessageType TypeOf(const Message& message) {
  if (message.deliver_ms.has_value()) return v2::DELAY;
  if (!message.message_group.empty()) return v2::FIFO;
  if (message.priority.has_value()) return v2::PRIORITY;
  return v2::NORMAL;
}

}  // namespace

void FillMessage(Message&& in, std::string id, int64_t now_ms, const BodyCompression& compression,
                 v2::Message* out) {
  out->mutable_topic()->set_name(in.topic);
  for (auto& [key, value] : in.properties) (*out->mutable_user_properties())[key] = value;
  if (in.delay_level > 0) {
    (*out->mutable_user_properties())[kDelayLevelProperty] = StrCat(in.delay_level);
  }
  v2::SystemProperties* system = out->mutable_system_properties();
  system->set_message_id(std::move(id));
  if (!in.tag.empty()) system->set_tag(in.tag);
  for (std::string& key : in.keys) system->add_keys(std::move(key));
  system->set_message_type(TypeOf(in));
  if (!in.message_group.empty()) system->set_message_group(in.message_group);
  if (in.priority.has_value()) system->set_priority(*in.priority);
  if (in.deliver_ms.has_value()) {
    *system->mutable_delivery_timestamp() = TimeUtil::MillisecondsToTimestamp(*in.deliver_ms);
  }
  if (in.check_immunity_ms.has_value()) {
    *system->mutable_orphaned_transaction_recovery_duration() =
        TimeUtil::MillisecondsToDuration(*in.check_immunity_ms);
  }
  *system->mutable_born_timestamp() = TimeUtil::MillisecondsToTimestamp(now_ms);

  system->set_body_encoding(v2::IDENTITY);
  if (static_cast<int64_t>(in.body.size()) >= compression.over_how_much) {
    std::string smaller = GzipCompress(in.body, compression.level);
    if (smaller.size() < in.body.size()) {
      in.body = std::move(smaller);
      system->set_body_encoding(v2::GZIP);
    }
  }
  out->set_body(std::move(in.body));
}

ReceivedMessage ToReceivedMessage(v2::Message&& in, const std::string& broker,
                                  const std::string& address) {
  ReceivedMessage out;
  v2::SystemProperties& system = *in.mutable_system_properties();
  out.topic = in.topic().name();
  out.message_id = system.message_id();
  out.body = std::move(*in.mutable_body());
  if (system.body_encoding() == v2::GZIP) {
    absl::StatusOr<std::string> body = GzipDecompress(out.body, kMaxBodyBytes);
    if (body.ok()) {
      out.body = *std::move(body);
    } else {
      out.still_compressed = true;
      LOG(WARNING) << "message " << out.message_id << " of topic " << out.topic
                   << ": its body stays as it was sent: " << body.status();
    }
  }
  out.tag = system.tag();
  out.keys.assign(system.keys().begin(), system.keys().end());
  out.properties.insert(in.user_properties().begin(), in.user_properties().end());
  out.message_group = system.message_group();
  if (system.has_priority()) out.priority = system.priority();
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

v2::FilterExpression ToFilterExpression(const MessageSelector& selector) {
  v2::FilterExpression filter;
  filter.set_type(selector.type == MessageSelector::Type::kSql92 ? v2::SQL : v2::TAG);
  filter.set_expression(selector.expression);
  return filter;
}

}  // namespace raftmq::client
