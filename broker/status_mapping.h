// From the project's errors to apache.rocketmq.v2 codes, in one function, and the ending of calls
// with such a status: business errors travel in the body, gRPC's own status stays OK.
//
// An unknown outcome has one code, PROXY_TIMEOUT: the request may or may not have taken effect.
//
// Pure functions but for the ending of the call; any thread.
#pragma once

#include "absl/status/status.h"
#include "broker/messaging_service.h"
#include "store/reason.h"

namespace raftmq::broker {

v2::Code CodeOf(store::Reason reason);

// OK, or the code of the status's reason, else of its absl code; with its text.
v2::Status ToV2Status(const absl::Status& status);

inline void SetOk(v2::Status* status) {
  status->set_code(v2::OK);
  status->set_message("OK");
}

// Ends the call with a refusal. Where an answer lists one result per item of the request, each gets
// the status too, as the official clients expect.
void FinishWithError(SendMessageCall* call, const absl::Status& status);
void FinishWithError(AckMessageCall* call, const absl::Status& status);
void FinishWithError(ChangeInvisibleCall* call, const absl::Status& status);
void FinishWithError(ReceiveMessageCall* call, const absl::Status& status);
void FinishWithError(PullMessageCall* call, const absl::Status& status);

template <typename Request, typename Response>
void FinishWithError(Unary<Request, Response>* call, const absl::Status& status) {
  if constexpr (requires { call->response()->mutable_status(); }) {
    *call->response()->mutable_status() = ToV2Status(status);
    call->Finish();
  } else {
    call->Fail(status);  // raftmq.v1: gRPC's own status
  }
}

}  // namespace raftmq::broker
