#include <optional>
#include <utility>

#include "broker/handlers/messaging_handlers.h"
#include "broker/lite_handle.h"
#include "broker/proto_time.h"

namespace raftmq::broker {

// Nack and renewal are both this.
void MessagingHandlers::ChangeInvisibleDuration(ChangeInvisibleCall* call) {
  if (!HasClientId(call)) return;
  v2::ChangeInvisibleDurationRequest* request = call->mutable_request();
  if (!call->context().forwarded) {
    call->OnFinish([this, call](const v2::ChangeInvisibleDurationResponse& response) {
      if (response.status().code() == v2::OK) {
        deps_.renewals->Remove(call->request().receipt_handle());
      }
    });
  }
  // Push consumers do not prolong leases: they give up messages that they failed on.
  const auto client = deps_.clients->Find(call->context().client_id);
  const bool node = call->context().language == ClientLanguage::kNodeJs;
  const v2::ClientType type = client.has_value() ? client->type : v2::CLIENT_TYPE_UNSPECIFIED;
  // Of a Node.js client whose Settings went to another member it is taken for granted.
  const bool push = type == v2::PUSH_CONSUMER || type == v2::LITE_PUSH_CONSUMER ||
                    (node && type == v2::CLIENT_TYPE_UNSPECIFIED);
  // A lite topic is suspended for the time that is asked for: nobody failed on the message.
  if (push && !request->suspend() && !call->context().forwarded && !call->context().renewal) {
    call->mutable_context()->nack = true;
    // Its library takes the seconds of the back-off policy for milliseconds; a message that fails
    // would come back in a tight loop. The group's policy decides.
    if (node) request->clear_invisible_duration();
  }
  deps_.router->Route(call);
}

void MessagingHandlers::Execute(ChangeInvisibleCall* call) {
  const v2::ChangeInvisibleDurationRequest& request = call->request();
  const int64_t invisible_ms = ToMillis(request.invisible_duration());
  absl::Status status = CheckGroup(request.group());
  if (status.ok()) status = CheckTopic(request.topic());
  if (status.ok()) status = CheckChangeInvisible(invisible_ms, options_.limits);
  if (!status.ok()) return FinishWithError(call, status);
  const StoredHandle stored = StoredHandleOf(request.topic().name(), request.receipt_handle());
  auto done = [this, call, invisible_ms, stored](absl::StatusOr<std::string> handle) {
    if (!handle.ok()) return EndOrReroute(call, handle.status());
    deps_.waiters->OnReleased(call->request().group().name(), stored.topic, invisible_ms);
    SetOk(call->response()->mutable_status());
    call->response()->set_receipt_handle(stored.ForClient(*handle));
    call->Finish();
  };
  if (call->context().nack) {
    deps_.store->Nack(
        request.group().name(), stored.topic, stored.handle,
        request.has_invisible_duration() ? std::optional<int64_t>(invisible_ms) : std::nullopt,
        std::move(done));
  } else if (call->context().renewal) {
    deps_.store->Renew(request.group().name(), stored.topic, stored.handle, invisible_ms,
                       std::move(done));
  } else {
    deps_.store->ChangeInvisible(request.group().name(), stored.topic, stored.handle, invisible_ms,
                                 std::move(done));
  }
}

}  // namespace raftmq::broker
