#include <algorithm>
#include <string>
#include <utility>

#include "broker/handlers/admin_handlers.h"
#include "store/names.h"

namespace raftmq::broker {
namespace {

void FillTopic(const store::TopicConfig& config, adm::Topic* topic) {
  topic->set_name(config.name);
  topic->set_read_queues(config.read_queues);
  topic->set_write_queues(config.write_queues);
  topic->set_perm(config.perm);
  topic->set_type(static_cast<adm::TopicType>(config.type));
  if (config.ack_level) {
    topic->set_ack_level(std::string(dledger::AckLevelName(*config.ack_level)));
  }
  topic->set_lite_expiration_minutes(config.lite_expiration_minutes);
  topic->set_reserve_hours(config.reserve_hours);
  topic->set_created_ms(config.created_ms);
  topic->set_created_index(config.created_index.value());
}

// What the request sets; the rest stays.
absl::Status ApplyRequest(const adm::UpdateTopicRequest& request, store::TopicConfig* config) {
  if (request.has_read_queues()) config->read_queues = request.read_queues();
  if (request.has_write_queues()) config->write_queues = request.write_queues();
  if (request.has_perm()) {
    if (request.perm() < 0 || (request.perm() & ~(store::kPermRead | store::kPermWrite)) != 0) {
      return absl::InvalidArgumentError(
          StrCat("perm is ", request.perm(), ", expected 2 (write), 4 (read), 6 (both) or 0"));
    }
    config->perm = static_cast<uint8_t>(request.perm());
  }
  if (request.type() != adm::TOPIC_TYPE_UNSPECIFIED) {
    if (!adm::TopicType_IsValid(request.type())) {
      return absl::InvalidArgumentError(
          StrCat("topic type ", static_cast<int>(request.type()), " is not known"));
    }
    config->type = static_cast<store::TopicType>(request.type());
  }
  if (request.has_ack_level()) {
    config->ack_level = dledger::ParseAckLevel(request.ack_level());
    if (!config->ack_level.has_value() && !request.ack_level().empty()) {
      return absl::InvalidArgumentError(StrCat("ack level \"", request.ack_level(), "\", expected ",
                                               dledger::kAckLevelNames,
                                               ", or nothing for the broker's default"));
    }
  }
  if (request.has_lite_expiration_minutes()) {
    if (request.lite_expiration_minutes() < 1 && request.lite_expiration_minutes() != -1) {
      return absl::InvalidArgumentError(StrCat("lite_expiration_minutes is ",
                                               request.lite_expiration_minutes(),
                                               ", expected minutes, or -1 for never"));
    }
    config->lite_expiration_minutes = request.lite_expiration_minutes();
  }
  if (request.has_reserve_hours()) config->reserve_hours = request.reserve_hours();
  return absl::OkStatus();
}

}  // namespace

void AdminHandlers::UpdateTopic(UpdateTopicCall* call) { deps_.router->Route(call); }

void AdminHandlers::Execute(UpdateTopicCall* call) {
  const adm::UpdateTopicRequest& request = call->request();
  if (const absl::Status status = store::CheckTopicName(request.name()); !status.ok()) {
    return call->Fail(status);
  }
  // The call lives until it is answered, which is after the edit.
  deps_.store->EditTopic(
      request.name(),
      [&request, queues = options_.default_topic_queues](bool exists, store::TopicConfig* topic) {
        if (!exists) topic->read_queues = topic->write_queues = queues;
        return ApplyRequest(request, topic);
      },
      [this, call](const absl::Status& done) {
        if (!done.ok()) return EndOrReroute(call, done);
        const absl::StatusOr<store::TopicConfig> stored =
            deps_.store->FindTopic(call->request().name());
        if (!stored.ok()) return call->Fail(stored.status());  // deleted since
        FillTopic(*stored, call->response()->mutable_topic());
        call->Finish();
      });
}

void AdminHandlers::DeleteTopic(DeleteTopicCall* call) { deps_.router->Route(call); }

void AdminHandlers::Execute(DeleteTopicCall* call) {
  deps_.store->DeleteTopic(call->request().name(), [this, call](const absl::Status& done) {
    if (!done.ok()) return EndOrReroute(call, done);
    call->Finish();
  });
}

void AdminHandlers::GetTopic(GetTopicCall* call) {
  Read(call, [this, call] {
    const absl::StatusOr<store::TopicConfig> topic = deps_.store->FindTopic(call->request().name());
    if (!topic.ok()) return call->Fail(topic.status());
    FillTopic(*topic, call->response()->mutable_topic());
    call->Finish();
  });
}

void AdminHandlers::ListTopics(ListTopicsCall* call) {
  Read(call, [this, call] {
    for (const store::TopicConfig& topic : deps_.store->ListTopics()) {
      FillTopic(topic, call->response()->add_topics());
    }
    call->Finish();
  });
}

void AdminHandlers::AddLiteTopics(TopicStatusCall* call) const {
  const adm::TopicStatusRequest& request = call->request();
  call->response()->set_lite_topic_count(deps_.lite_topics->Count(request.name()));
  const auto max = static_cast<size_t>(std::clamp(request.max_lite_topics(), 0, 1'024));
  for (store::LiteTopicStatus& status :
       deps_.lite_topics->List(request.name(), request.after_lite_topic(), max)) {
    adm::LiteTopicStatus* row = call->response()->add_lite_topics();
    row->set_lite_topic(status.lite_topic);
    row->set_min_offset(status.min_offset.value());
    row->set_max_offset(status.max_offset.value());
    row->set_last_store_ms(status.last_store_ms);
    for (std::string& client : status.subscribers) row->add_subscribers(std::move(client));
  }
}

void AdminHandlers::TopicStatus(TopicStatusCall* call) {
  Read(call, [this, call] {
    const absl::StatusOr<store::TopicConfig> topic = deps_.store->FindTopic(call->request().name());
    if (!topic.ok()) return call->Fail(topic.status());
    call->response()->set_name(topic->name);
    for (int32_t id = 0; id < std::max(topic->read_queues, topic->write_queues); ++id) {
      const auto range = deps_.store->Range(topic->name, QueueId(id));
      if (!range.ok()) return call->Fail(range.status());
      adm::QueueStatus* queue = call->response()->add_queues();
      queue->set_queue(id);
      queue->set_min_offset(range->min.value());
      queue->set_max_offset(range->max.value());
      queue->set_last_store_ms(range->last_store_ms);
      if (!call->request().has_since_ms()) continue;
      const auto since =
          deps_.store->OffsetByTime(topic->name, QueueId(id), call->request().since_ms());
      if (!since.ok()) return call->Fail(since.status());
      queue->set_since_offset(since->value());
    }
    if (topic->type == store::TopicType::kLite) AddLiteTopics(call);
    call->Finish();
  });
}

}  // namespace raftmq::broker
