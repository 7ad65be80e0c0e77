// A server-streaming call of the gRPC server and its method.
#pragma once

#include <grpcpp/grpcpp.h>

#include <deque>
#include <functional>
#include <mutex>
#include <utility>

#include "broker/call.h"
#include "broker/cq_tag.h"
#include "broker/grpc_calls.h"

namespace raftmq::broker {

template <typename Request, typename Response>
class GrpcServerStreamMethod;

template <typename Request, typename Response>
class GrpcServerStream final : public ServerStream<Request, Response>, public CqTag {
 public:
  using Method = GrpcServerStreamMethod<Request, Response>;

  GrpcServerStream(GrpcServerState* server, Method* method)
      : server_(server), method_(method), written_(this), done_(this), writer_(&grpc_) {
    this->request_ = &request_message_;
  }

  void Await() {
    grpc_.AsyncNotifyWhenDone(&done_);
    method_->RequestCall(&grpc_, &request_message_, &writer_, server_->queue, this);
  }

  // The call arrived, or will not any more.
  void Proceed(bool ok) override {
    if (!ok) {
      delete this;
      return;
    }
    method_->AwaitAnother();
    FillCallContext(grpc_, server_->clock, &this->context_);
    entered_ = server_->Enter();
    if (entered_) {
      method_->Handle(this);
    } else {
      method_->RefuseBusy(this);
    }
  }

  void AddHeader(const std::string& name, const std::string& value) override {
    grpc_.AddInitialMetadata(name, value);
  }
  void Write(Response response) override {
    std::lock_guard lock(mutex_);
    if (this->on_write_) this->on_write_(response);
    queue_.push_back(std::move(response));
    Pump();
  }
  void Finish() override { End(absl::OkStatus()); }
  void Fail(const absl::Status& status) override { End(status); }

  void OnCancel(absl::AnyInvocable<void()> on_cancel) override {
    {
      std::lock_guard lock(mutex_);
      if (!done_seen_) {
        on_cancel_ = std::move(on_cancel);
        return;
      }
    }
    on_cancel();
  }

 private:
  struct WrittenTag final : CqTag {
    explicit WrittenTag(GrpcServerStream* c) : call(c) {}
    void Proceed(bool ok) override { call->Written(ok); }
    GrpcServerStream* const call;
  };
  struct DoneTag final : CqTag {
    explicit DoneTag(GrpcServerStream* c) : call(c) {}
    void Proceed(bool) override { call->Done(); }
    GrpcServerStream* const call;
  };

  void End(const absl::Status& status) {
    std::lock_guard lock(mutex_);
    end_requested_ = true;
    end_status_ = status;
    on_cancel_ = nullptr;
    Pump();
  }

  // Starts the next operation, if none is under way. Under the lock.
  void Pump() {
    if (busy_ || end_sent_) return;
    if (failed_ || done_seen_) queue_.clear();
    if (!queue_.empty()) {
      busy_ = true;
      const Response next = std::move(queue_.front());
      queue_.pop_front();
      grpc::WriteOptions options;
      if (queue_.empty() && end_requested_ && end_status_.ok()) {
        end_sent_ = true;
        writer_.WriteAndFinish(next, options, grpc::Status::OK, &written_);
        return;
      }
      if (!queue_.empty()) options.set_buffer_hint();
      writer_.Write(next, options, &written_);
    } else if (end_requested_) {
      busy_ = end_sent_ = true;
      writer_.Finish(end_status_.ok() ? grpc::Status::OK : ToGrpcStatus(end_status_, &grpc_),
                     &written_);
    }
  }

  void Written(bool ok) {
    bool over;
    {
      std::lock_guard lock(mutex_);
      busy_ = false;
      if (!ok) failed_ = true;
      ended_ = end_sent_;
      Pump();
      over = ended_ && done_seen_;
    }
    if (over) Over();
  }

  void Done() {
    bool over;
    absl::AnyInvocable<void()> on_cancel;
    {
      std::lock_guard lock(mutex_);
      done_seen_ = true;
      over = ended_;
      if (!end_requested_) on_cancel = std::move(on_cancel_);
    }
    if (over) {
      Over();
    } else if (on_cancel) {
      on_cancel();
    }
  }

  void Over() {
    if (entered_) server_->Leave();
    if (this->on_end_) this->on_end_(!failed_ && !grpc_.IsCancelled());
    delete this;
  }

  GrpcServerState* const server_;
  Method* const method_;
  WrittenTag written_;
  DoneTag done_;
  grpc::ServerContext grpc_;
  Request request_message_;
  grpc::ServerAsyncWriter<Response> writer_;
  bool entered_ = false;

  std::mutex mutex_;
  std::deque<Response> queue_;
  absl::AnyInvocable<void()> on_cancel_;
  absl::Status end_status_;
  bool busy_ = false;           // an operation is under way
  bool failed_ = false;         // a write did not get out
  bool end_requested_ = false;  // by the handler
  bool end_sent_ = false;
  bool ended_ = false;
  bool done_seen_ = false;  // gRPC: the call is over on its side
};

template <typename Request, typename Response>
class GrpcServerStreamMethod final : public GrpcMethod {
 public:
  using Call = GrpcServerStream<Request, Response>;
  using Writer = grpc::ServerAsyncWriter<Response>;
  using RequestFunction = std::function<void(grpc::ServerContext*, Request*, Writer*,
                                             grpc::ServerCompletionQueue*, CqTag*)>;
  using Handler = std::function<void(ServerStream<Request, Response>*)>;

  GrpcServerStreamMethod(GrpcServerState* server, RequestFunction request, Handler handler,
                         Handler refuse_busy)
      : server_(server),
        request_(std::move(request)),
        handler_(std::move(handler)),
        refuse_busy_(std::move(refuse_busy)) {}

  void Start(int count) override {
    for (int i = 0; i < count; ++i) (new Call(server_, this))->Await();
  }
  void RequestCall(grpc::ServerContext* context, auto* request, Writer* writer,
                   grpc::ServerCompletionQueue* queue, CqTag* tag) {
    request_(context, request, writer, queue, tag);
  }
  void Handle(Call* call) { handler_(call); }
  void RefuseBusy(Call* call) { refuse_busy_(call); }
  void AwaitAnother() {
    if (!server_->stopping.load(std::memory_order_acquire)) (new Call(server_, this))->Await();
  }

 private:
  GrpcServerState* const server_;
  const RequestFunction request_;
  const Handler handler_;
  const Handler refuse_busy_;
};

}  // namespace raftmq::broker
