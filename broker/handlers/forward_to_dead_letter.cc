#include "broker/handlers/messaging_handlers.h"
#include "broker/lite_handle.h"

namespace raftmq::broker {

// A push consumer of an orderly group gives a message up.
void MessagingHandlers::ForwardMessageToDeadLetterQueue(ForwardToDeadLetterCall* call) {
  if (!HasClientId(call)) return;
  v2::ForwardMessageToDeadLetterQueueRequest* request = call->mutable_request();
  if (!call->context().forwarded) {
    if (request->receipt_handle().empty()) {
      // The C++ client sends none. This member gave it the message, then, and renews its lease.
      request->set_receipt_handle(
          deps_.renewals->FindHandle(call->context().client_id, request->group().name(),
                                     request->topic().name(), request->message_id()));
    }
    call->OnFinish([this, call](const v2::ForwardMessageToDeadLetterQueueResponse& response) {
      if (response.status().code() == v2::OK) {
        deps_.renewals->Remove(call->request().receipt_handle());
      }
    });
  }
  deps_.router->Route(call);
}

void MessagingHandlers::Execute(ForwardToDeadLetterCall* call) {
  const v2::ForwardMessageToDeadLetterQueueRequest& request = call->request();
  absl::Status status = CheckGroup(request.group());
  if (status.ok()) status = CheckTopic(request.topic());
  if (!status.ok()) return FinishWithError(call, status);
  const StoredHandle stored = StoredHandleOf(request.topic().name(), request.receipt_handle());
  deps_.dead_letters->Forward(request.group().name(), stored.topic, stored.handle,
                              [this, call, topic = stored.topic](const absl::Status& moved) {
                                if (!moved.ok()) return EndOrReroute(call, moved);
                                // The next of its message group may come.
                                deps_.waiters->OnReleased(call->request().group().name(), topic, 0);
                                SetOk(call->response()->mutable_status());
                                call->Finish();
                              });
}

}  // namespace raftmq::broker
