// InternalUnary: a unary call that this member makes of itself, so that it takes the same way to
// the leader as a client's. Deletes itself when it ends.
//
// `done` runs on whatever thread ends the call; the response lives for that call only. A failure
// that has no status in the body comes as an error.
#pragma once

#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "broker/call.h"

namespace raftmq::broker {

template <typename Request, typename Response>
class InternalUnary final : public Unary<Request, Response> {
 public:
  using Done = absl::AnyInvocable<void(const absl::Status&, const Response&)>;

  static Unary<Request, Response>* Make(CallContext context, Request request, Done done) {
    return new InternalUnary(std::move(context), std::move(request), std::move(done));
  }

  void Finish() override { End(absl::OkStatus()); }
  void Fail(const absl::Status& status) override { End(status); }

 private:
  InternalUnary(CallContext context, Request request, Done done)
      : request_message_(std::move(request)), done_(std::move(done)) {
    this->context_ = std::move(context);
    this->request_ = &request_message_;
    this->response_ = &response_message_;
  }

  void End(const absl::Status& status) {
    done_(status, response_message_);
    delete this;
  }

  Request request_message_;
  Response response_message_;
  Done done_;
};

}  // namespace raftmq::broker
