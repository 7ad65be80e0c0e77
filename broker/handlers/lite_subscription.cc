#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "broker/handlers/messaging_handlers.h"
#include "broker/internal_call.h"
#include "broker/proto_time.h"

namespace raftmq::broker {
namespace {

using Action = store::LiteSubscribeRequest::Action;

// For a client that left to be taken off the lists.
constexpr int64_t kLeaveMs = 5'000;

absl::StatusOr<Action> ActionOf(v2::LiteSubscriptionAction action) {
  switch (action) {
    case v2::PARTIAL_ADD:
      return Action::kAdd;
    case v2::PARTIAL_REMOVE:
      return Action::kRemove;
    case v2::COMPLETE_ADD:
      return Action::kReplace;
    case v2::COMPLETE_REMOVE:
      return Action::kLeave;
    default:
      return absl::InvalidArgumentError(
          StrCat("lite subscription action ", static_cast<int>(action), " is not known"));
  }
}

// Version 5.1.2 of the Python client takes the lite topic that it subscribes to apart into its
// characters. It subscribes to one at a time.
void MendPythons(std::vector<std::string>* lite_topics) {
  std::string whole;
  for (const std::string& part : *lite_topics) {
    if (part.size() != 1) return;
    whole += part;
  }
  *lite_topics = {std::move(whole)};
}

// None: where the group is.
std::optional<store::LiteStart> StartOf(const v2::OffsetOption& option) {
  using Kind = store::LiteStart::Kind;
  switch (option.offset_type_case()) {
    case v2::OffsetOption::kPolicy:
      if (option.policy() == v2::OffsetOption::MIN) return store::LiteStart{Kind::kMin, 0};
      if (option.policy() == v2::OffsetOption::MAX) return store::LiteStart{Kind::kMax, 0};
      return std::nullopt;
    case v2::OffsetOption::kOffset:
      return store::LiteStart{Kind::kOffset, option.offset()};
    case v2::OffsetOption::kTailN:
      return store::LiteStart{Kind::kTailN, option.tail_n()};
    case v2::OffsetOption::kTimestamp:
      return store::LiteStart{Kind::kTimestamp, option.timestamp()};
    case v2::OffsetOption::OFFSET_TYPE_NOT_SET:
      return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

void MessagingHandlers::SyncLiteSubscription(SyncLiteSubscriptionCall* call) {
  if (!HasClientId(call)) return;
  if (!call->context().forwarded) {
    // It lives, though its heartbeats may go elsewhere.
    deps_.clients->Heard(call->context(), v2::CLIENT_TYPE_UNSPECIFIED,
                         call->request().group().name());
  }
  deps_.router->Route(call);
}

void MessagingHandlers::Execute(SyncLiteSubscriptionCall* call) {
  const v2::SyncLiteSubscriptionRequest& request = call->request();
  const absl::StatusOr<Action> action = ActionOf(request.action());
  if (!action.ok()) return FinishWithError(call, action.status());
  store::LiteSubscribeRequest subscribe;
  subscribe.action = *action;
  subscribe.group = request.group().name();
  subscribe.topic = request.topic().name();
  subscribe.client_id = call->context().client_id;
  subscribe.lite_topics.assign(request.lite_topic_set().begin(), request.lite_topic_set().end());
  if (call->context().language == ClientLanguage::kPython && *action == Action::kAdd) {
    MendPythons(&subscribe.lite_topics);
  }
  if (request.has_offset_option()) subscribe.start = StartOf(request.offset_option());
  deps_.clients->HeardElsewhere(subscribe.client_id, 0);
  deps_.lite_topics->Subscribe(
      std::move(subscribe), [this, call](absl::StatusOr<store::LiteSubscribeResult> result) {
        if (!result.ok()) return EndOrReroute(call, result.status());
        for (const store::LiteSubscribeResult::Lost& lost : result->lost) {
          deps_.lite_notices->Tell(lost.client_id, lost.lite_topic);
        }
        deps_.waiters->OnSubscribed(call->request().group().name(), call->request().topic().name(),
                                    call->context().client_id);
        SetOk(call->response()->mutable_status());
        call->Finish();
      });
}

// The client is gone, wherever it had subscribed.
void MessagingHandlers::LeaveLiteTopics(const CallContext& of, const ClientRecord& client) {
  if (client.type != v2::LITE_PUSH_CONSUMER && client.type != v2::LITE_SIMPLE_CONSUMER) return;
  if (client.topics.empty()) return;
  v2::SyncLiteSubscriptionRequest request;
  request.set_action(v2::COMPLETE_REMOVE);
  request.mutable_group()->set_name(client.group);
  request.mutable_topic()->set_name(client.topics.front());
  CallContext context;
  context.client_id = of.client_id;
  context.deadline_ms = deps_.clock->MonotonicMillis() + kLeaveMs;
  deps_.router->Route(
      InternalUnary<v2::SyncLiteSubscriptionRequest, v2::SyncLiteSubscriptionResponse>::Make(
          std::move(context), std::move(request), [](const absl::Status&, const auto&) {
            // If this failed its silence ends it.
          }));
}

}  // namespace raftmq::broker
