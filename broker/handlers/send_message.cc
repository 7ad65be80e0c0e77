#include <algorithm>
#include <utility>
#include <vector>

#include "broker/handlers/messaging_handlers.h"
#include "broker/message_conversion.h"

namespace raftmq::broker {
namespace {

// A delay level makes a message a delayed one, unless it states its delivery time itself.
absl::Status ApplyDelayLevel(const v2::Message& from, int32_t asked, const DelayLevels& levels,
                             int64_t now_ms, store::NewMessage* message) {
  const int32_t level = levels.Clamp(asked > 0 ? asked : DelayLevelOf(from));
  if (level <= 0 || from.system_properties().has_delivery_timestamp()) return absl::OkStatus();
  if (message->type != store::TopicType::kNormal) {
    return store::Refuse(store::Reason::kTypeConflict,
                         StrCat("the message is of type ", TopicTypeName(message->type),
                                " and has delay level ", level, ": it can be one of both"));
  }
  message->type = store::TopicType::kDelay;
  message->delay_level = level;
  message->deliver_ms = now_ms + levels.Millis(level);
  return absl::OkStatus();
}

// The request's, else the topic's, else the broker's.
absl::StatusOr<dledger::AckLevel> AckLevelOf(const CallContext& context,
                                             const store::TopicConfig& topic,
                                             dledger::AckLevel by_default) {
  if (context.ack_level.empty()) return topic.ack_level.value_or(by_default);
  const auto asked = dledger::ParseAckLevel(context.ack_level);
  if (asked.has_value()) return *asked;
  return absl::InvalidArgumentError(StrCat("x-raftmq-ack-level is \"", context.ack_level,
                                           "\", expected ", dledger::kAckLevelNames));
}

// Queue ids of the results, if they are not all in the queue that the client chose: a repeated send
// may have been stored in another.
std::string OtherQueues(const CallContext& context, const std::vector<store::SendResult>& results) {
  if (!context.queue.has_value()) return "";
  const bool as_chosen =
      std::all_of(results.begin(), results.end(),
                  [&](const store::SendResult& result) { return result.queue == *context.queue; });
  std::string ids;
  if (as_chosen) return ids;
  for (const store::SendResult& result : results) {
    ids += StrCat(ids.empty() ? "" : ",", result.queue);
  }
  return ids;
}

}  // namespace

void MessagingHandlers::SendMessage(SendMessageCall* call) {
  if (HasClientId(call)) deps_.router->Route(call);
}

void MessagingHandlers::Execute(SendMessageCall* call) { Send(call, options_.auto_create_topic); }

void MessagingHandlers::Send(SendMessageCall* call, bool may_create_topic) {
  const v2::SendMessageRequest& request = call->request();
  if (const absl::Status status = CheckSend(request, options_.limits); !status.ok()) {
    return FinishWithError(call, status);
  }
  const absl::StatusOr<store::TopicConfig> topic =
      deps_.store->FindTopic(request.messages(0).topic().name());
  if (!topic.ok()) {
    if (may_create_topic && store::ReasonOf(topic.status()) == store::Reason::kTopicNotFound) {
      return SendCreatingTopic(call);
    }
    return FinishWithError(call, topic.status());
  }
  const auto ack_level = AckLevelOf(call->context(), *topic, options_.ack_level);
  if (!ack_level.ok()) return FinishWithError(call, ack_level.status());
  std::vector<store::NewMessage> messages;
  messages.reserve(request.messages_size());
  const int64_t now_ms = deps_.clock->WallMillis();
  for (const v2::Message& message : request.messages()) {
    // Copied, not moved: the call may have to go to another member after all.
    messages.push_back(ToNewMessage(message, call->context(), now_ms));
    absl::Status status = ApplyDelayLevel(message, call->context().delay_level,
                                          options_.delay_levels, now_ms, &messages.back());
    if (status.ok()) status = CheckTypeAllowed(*topic, messages.back().type);
    if (!status.ok()) return FinishWithError(call, status);
  }
  deps_.store->Send(std::move(messages), *ack_level,
                    [this, call](absl::StatusOr<std::vector<store::SendResult>> results) {
                      if (results.ok()) {
                        FinishSend(call, *results);
                      } else {
                        EndOrReroute(call, results.status());
                      }
                    });
}

void MessagingHandlers::FinishSend(SendMessageCall* call,
                                   const std::vector<store::SendResult>& results) const {
  v2::SendMessageResponse* response = call->response();
  SetOk(response->mutable_status());
  for (const store::SendResult& result : results) {
    v2::SendResultEntry* entry = response->add_entries();
    SetOk(entry->mutable_status());
    entry->set_message_id(result.message_id);
    entry->set_offset(result.offset.value());
    entry->set_recall_handle(result.recall_handle);
    entry->set_transaction_id(result.transaction_id);
  }
  const CallContext& context = call->context();
  const dledger::AckLevel reached = results[0].reached;
  if (!context.ack_level.empty() || reached != dledger::AckLevel::kMajorityDisk) {
    call->AddHeader("x-raftmq-ack-level", std::string(dledger::AckLevelName(reached)));
  }
  if (const std::string queues = OtherQueues(context, results); !queues.empty()) {
    call->AddHeader("x-raftmq-queue-id", queues);
  }
  call->Finish();
}

void MessagingHandlers::SendCreatingTopic(SendMessageCall* call) {
  deps_.store->EditTopic(
      call->request().messages(0).topic().name(),
      [queues = options_.default_topic_queues](bool exists, store::TopicConfig* topic) {
        // Somebody else may just have made it, with other settings: those stay.
        if (!exists) topic->read_queues = topic->write_queues = queues;
        return absl::OkStatus();
      },
      [this, call](const absl::Status& status) {
        if (status.ok()) {
          Send(call, false);
        } else {
          EndOrReroute(call, status);
        }
      });
}

}  // namespace raftmq::broker
