#include "broker/handlers/messaging_handlers.h"

namespace raftmq::broker {

void MessagingHandlers::RecallMessage(RecallMessageCall* call) {
  if (HasClientId(call)) deps_.router->Route(call);
}

void MessagingHandlers::Execute(RecallMessageCall* call) {
  const v2::RecallMessageRequest& request = call->request();
  if (const absl::Status status = CheckTopic(request.topic()); !status.ok()) {
    return FinishWithError(call, status);
  }
  deps_.waiting->Recall(request.topic().name(), request.recall_handle(),
                        [this, call](const absl::StatusOr<std::string>& message_id) {
                          if (!message_id.ok())
                            return EndOrReroute(call, AsPlainNotFound(message_id.status()));
                          SetOk(call->response()->mutable_status());
                          call->response()->set_message_id(*message_id);
                          call->Finish();
                        });
}

}  // namespace raftmq::broker
