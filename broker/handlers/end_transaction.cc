#include "broker/handlers/messaging_handlers.h"

namespace raftmq::broker {

void MessagingHandlers::EndTransaction(EndTransactionCall* call) {
  if (!HasClientId(call)) return;
  if (call->request().resolution() == v2::TRANSACTION_RESOLUTION_UNSPECIFIED) {
    // The producer does not know yet: it is asked again.
    SetOk(call->response()->mutable_status());
    return call->Finish();
  }
  deps_.router->Route(call);
}

void MessagingHandlers::Execute(EndTransactionCall* call) {
  const v2::EndTransactionRequest& request = call->request();
  absl::Status status = CheckTopic(request.topic());
  if (status.ok() && request.resolution() != v2::COMMIT && request.resolution() != v2::ROLLBACK) {
    status = absl::InvalidArgumentError(StrCat("the resolution is ",
                                               static_cast<int>(request.resolution()),
                                               ", expected COMMIT or ROLLBACK"));
  }
  if (!status.ok()) return FinishWithError(call, status);
  deps_.waiting->EndTransaction(request.topic().name(), request.message_id(),
                                request.transaction_id(), request.resolution() == v2::COMMIT,
                                [this, call](const absl::Status& ended) {
                                  if (!ended.ok())
                                    return EndOrReroute(call, AsPlainNotFound(ended));
                                  SetOk(call->response()->mutable_status());
                                  call->Finish();
                                });
}

}  // namespace raftmq::broker
