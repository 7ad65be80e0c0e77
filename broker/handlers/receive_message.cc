#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "broker/handlers/messaging_handlers.h"
#include "broker/internal_call.h"
#include "broker/message_conversion.h"
#include "broker/proto_time.h"
#include "glog/logging.h"

namespace raftmq::broker {
namespace {

// How long before the caller's deadline a receive is answered.
constexpr int64_t kAnswerEarlyMs = 500;

void WriteDeliveryTimestamp(ReceiveMessageCall* call, int64_t now_ms) {
  v2::ReceiveMessageResponse last;
  SetTimestamp(now_ms, last.mutable_delivery_timestamp());
  call->Write(std::move(last));
}

// Go's push consumer (5.1.3) gives its listener the next message of a receive while one that failed
// waits for its next try, also in an orderly group: it is given one message at a time there.
bool GoesOnBehindAFailure(const ReceiveMessageCall& call, const store::MessageStore& store) {
  if (call.context().language != ClientLanguage::kGo || !call.request().auto_renew()) return false;
  const absl::StatusOr<store::GroupConfig> group = store.FindGroup(call.request().group().name());
  return group.ok() && group->orderly;
}

}  // namespace

void MessagingHandlers::ReceiveMessage(ReceiveMessageCall* call) {
  if (!HasClientId(call)) return;
  if (!call->context().forwarded) {
    if (const absl::Status status = CheckKindOfClient(*call); !status.ok()) {
      return FinishWithError(call, status);
    }
    FillFromSettings(call);
  }
  WatchDeliveries(call);
  deps_.router->Route(call);
}

// A client that cannot subscribe to lite topics would wait for ever for messages of a topic of type
// LITE. What this member does not know is not refused.
absl::Status MessagingHandlers::CheckKindOfClient(const ReceiveMessageCall& call) const {
  const std::string& name = call.request().message_queue().topic().name();
  const absl::StatusOr<store::TopicConfig> topic = deps_.store->FindTopic(name);
  if (!topic.ok() || topic->type != store::TopicType::kLite) return absl::OkStatus();
  const auto client = deps_.clients->Find(call.context().client_id);
  if (!client.has_value() ||
      (client->type != v2::PUSH_CONSUMER && client->type != v2::SIMPLE_CONSUMER)) {
    return absl::OkStatus();
  }
  return store::Refuse(store::Reason::kUnrecognizedClientType,
                       StrCat("topic ", name, " is of type LITE: its messages are in lite topics, ",
                              "which a LitePushConsumer or LiteSimpleConsumer receives"));
}

// Adds what the client's Settings said, which only the member that they came to knows, and notes
// that the client lives.
void MessagingHandlers::FillFromSettings(ReceiveMessageCall* call) {
  v2::ReceiveMessageRequest* request = call->mutable_request();
  if (!request->has_long_polling_timeout()) {
    const auto client = deps_.clients->Find(call->context().client_id);
    if (client.has_value() && client->long_polling_ms > 0) {
      SetDuration(client->long_polling_ms, request->mutable_long_polling_timeout());
    }
  }
  // Its heartbeats may go elsewhere, but this member will renew its leases.
  if (request->auto_renew()) {
    deps_.clients->Heard(call->context(), v2::CLIENT_TYPE_UNSPECIFIED, request->group().name());
  }
}

// Runs on the member that writes to the client, and on the leader that writes to that member. What
// could not be written is given back at once; what was is renewed if the client wants that.
void MessagingHandlers::WatchDeliveries(ReceiveMessageCall* call) {
  auto leases = std::make_shared<std::vector<Renewals::Lease>>();
  call->OnWrite([leases, call](const v2::ReceiveMessageResponse& response) {
    if (!response.has_message()) return;
    const v2::SystemProperties& system = response.message().system_properties();
    leases->push_back(Renewals::Lease{call->context().client_id, call->request().group().name(),
                                      response.message().topic().name(), system.receipt_handle(),
                                      system.message_id()});
  });
  const bool renew = call->request().auto_renew() && !call->context().forwarded;
  call->OnEnd([this, leases, renew](bool ok) {
    for (Renewals::Lease& lease : *leases) {
      if (!ok) {
        GiveBack(lease);
      } else if (renew) {
        deps_.renewals->Add(std::move(lease), options_.limits.default_invisible_ms);
      }
    }
  });
}

void MessagingHandlers::GiveBack(const Renewals::Lease& lease) {
  v2::ChangeInvisibleDurationRequest request;
  request.mutable_group()->set_name(lease.group);
  request.mutable_topic()->set_name(lease.topic);
  request.set_receipt_handle(lease.handle);
  request.set_message_id(lease.message_id);
  request.mutable_invisible_duration()->set_seconds(0);
  CallContext context;
  context.client_id = lease.client_id;
  context.deadline_ms = deps_.clock->MonotonicMillis() + 3'000;
  deps_.router->Route(
      InternalUnary<v2::ChangeInvisibleDurationRequest, v2::ChangeInvisibleDurationResponse>::Make(
          std::move(context), std::move(request), [](const absl::Status&, const auto&) {
            // If this failed the lease ends by itself.
          }));
}

void MessagingHandlers::Execute(ReceiveMessageCall* call) {
  const v2::ReceiveMessageRequest& request = call->request();
  absl::Status status = CheckGroup(request.group());
  if (status.ok()) status = CheckTopic(request.message_queue().topic());
  if (!status.ok()) return FinishWithError(call, status);
  absl::StatusOr<store::MessageFilter> filter = ParseFilter(request.filter_expression());
  if (!filter.ok()) return FinishWithError(call, filter.status());
  const absl::StatusOr<int64_t> invisible_ms = ReceiveInvisibleMillis(request, options_.limits);
  if (!invisible_ms.ok()) return FinishWithError(call, invisible_ms.status());

  store::ReceiveRequest receive;
  receive.group = request.group().name();
  receive.topic = request.message_queue().topic().name();
  const absl::StatusOr<store::TopicConfig> topic = deps_.store->FindTopic(receive.topic);
  receive.lite = topic.ok() && topic->type == store::TopicType::kLite;
  // The queue and the broker that the client names are not a choice of its: any queue is given.
  receive.filter = *std::move(filter);
  receive.max_messages = std::clamp(request.batch_size(), 1, options_.limits.max_receive_batch);
  if (GoesOnBehindAFailure(*call, *deps_.store)) receive.max_messages = 1;
  receive.invisible_ms = *invisible_ms;
  receive.client_id = call->context().client_id;
  receive.attempt_id = request.attempt_id();

  const int64_t now_ms = deps_.clock->MonotonicMillis();
  const int64_t remaining_ms = call->context().deadline_ms == kNoDeadline
                                   ? options_.limits.max_poll_ms
                                   : call->context().deadline_ms - now_ms - kAnswerEarlyMs;
  const absl::StatusOr<int64_t> poll_ms =
      PollMillis(ToMillis(request.long_polling_timeout()), remaining_ms, options_.limits);
  if (!poll_ms.ok()) return FinishWithError(call, poll_ms.status());
  // Set first: after Receive the call may be over.
  const ReceiveWaiters::WaiterId id = deps_.waiters->NewId();
  call->OnCancel([this, id] { deps_.waiters->Cancel(id); });
  deps_.waiters->Receive(id, std::move(receive), now_ms + *poll_ms,
                         [this, call](absl::StatusOr<store::ReceiveResult> result) {
                           if (result.ok()) {
                             FinishReceive(call, *result);
                           } else {
                             EndOrReroute(call, result.status());
                           }
                         });
}

void MessagingHandlers::FinishReceive(ReceiveMessageCall* call,
                                      const store::ReceiveResult& result) const {
  std::vector<v2::ReceiveMessageResponse> messages;
  messages.reserve(result.deliveries.size());
  for (const store::Delivery& delivery : result.deliveries) {
    const absl::Status status = ToMessage(delivery, messages.emplace_back().mutable_message());
    if (!status.ok()) {
      // Damaged here only, perhaps: its lease ends and it is tried again.
      LOG(ERROR) << "group " << call->request().group().name() << ", queue " << delivery.queue
                 << ", offset " << delivery.offset << ": " << status;
      messages.pop_back();
      continue;
    }
    DecompressFor(call->context().language, messages.back().mutable_message());
  }
  v2::ReceiveMessageResponse first;
  if (messages.empty()) {
    first.mutable_status()->set_code(v2::MESSAGE_NOT_FOUND);
    first.mutable_status()->set_message(
        result.inflight_full ? StrCat("group ", call->request().group().name(),
                                      " has as many messages in flight as it may on a queue of "
                                      "topic ",
                                      call->request().message_queue().topic().name(),
                                      ": nothing new comes before some are acked")
                             : "no message arrived within the polling time");
  } else {
    SetOk(first.mutable_status());
  }
  call->Write(std::move(first));
  for (v2::ReceiveMessageResponse& message : messages) call->Write(std::move(message));
  WriteDeliveryTimestamp(call, deps_.clock->WallMillis());
  call->Finish();
}

}  // namespace raftmq::broker
