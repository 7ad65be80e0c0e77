// A unary call of the gRPC server and its method.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "broker/call.h"
#include "broker/cq_tag.h"
#include "broker/grpc_calls.h"
#include "google/protobuf/arena.h"

namespace raftmq::broker {

template <typename Request, typename Response>
class GrpcUnaryMethod;

template <typename Request, typename Response>
class GrpcUnary final : public Unary<Request, Response>, public CqTag {
 public:
  using Method = GrpcUnaryMethod<Request, Response>;

  GrpcUnary(GrpcServerState* server, Method* method) : server_(server), method_(method) {}

  // Asks gRPC for the next call of this method.
  void Await() {
    grpc_.emplace();
    writer_.emplace(&*grpc_);
    this->request_ = google::protobuf::Arena::CreateMessage<Request>(&arena_);
    this->response_ = google::protobuf::Arena::CreateMessage<Response>(&arena_);
    this->attempts = 0;
    arrived_ = false;
    method_->RequestCall(&*grpc_, this->request_, &*writer_, server_->queue, tag());
  }

  void Proceed(bool ok) override {
    if (arrived_) {
      if (entered_) server_->Leave();
      Recycle();
    } else if (!ok) {
      delete this;
    } else {
      arrived_ = true;
      method_->AwaitAnother();
      FillCallContext(*grpc_, server_->clock, &this->context_);
      entered_ = server_->Enter();
      if (entered_) {
        method_->Handle(this);
      } else {
        method_->RefuseBusy(this);
      }
    }
  }

  void AddHeader(const std::string& name, const std::string& value) override {
    grpc_->AddInitialMetadata(name, value);
  }

  // After the last statement of these two the call may be in use by the next caller already.
  void Finish() override {
    if (this->on_finish_) this->on_finish_(*this->response_);
    writer_->Finish(*this->response_, grpc::Status::OK, tag());
  }
  void Fail(const absl::Status& status) override {
    writer_->FinishWithError(ToGrpcStatus(status, &*grpc_), tag());
  }

 private:
  // gRPC hands tags back as void*: always the CqTag part.
  CqTag* tag() { return this; }

  void Recycle() {
    writer_.reset();
    grpc_.reset();
    this->context_ = CallContext();
    this->on_finish_ = nullptr;
    arena_.Reset();
    method_->TakeBack(this);
  }

  alignas(8) char block_[1536];
  google::protobuf::Arena arena_{block_, sizeof(block_)};
  GrpcServerState* const server_;
  Method* const method_;
  std::optional<grpc::ServerContext> grpc_;
  std::optional<grpc::ServerAsyncResponseWriter<Response>> writer_;
  bool arrived_ = false;
  bool entered_ = false;
};

template <typename Request, typename Response>
class GrpcUnaryMethod final : public GrpcMethod {
 public:
  using Call = GrpcUnary<Request, Response>;
  using Writer = grpc::ServerAsyncResponseWriter<Response>;
  // Bound to the generated service: RequestX(context, request, writer, queue, queue, tag).
  using RequestFunction = std::function<void(grpc::ServerContext*, Request*, Writer*,
                                             grpc::ServerCompletionQueue*, CqTag*)>;
  using Handler = std::function<void(Unary<Request, Response>*)>;

  GrpcUnaryMethod(GrpcServerState* server, RequestFunction request, Handler handler,
                  Handler refuse_busy)
      : server_(server),
        request_(std::move(request)),
        handler_(std::move(handler)),
        refuse_busy_(std::move(refuse_busy)) {}
  ~GrpcUnaryMethod() override {
    for (Call* call : idle_) delete call;
  }

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
    if (server_->stopping.load(std::memory_order_acquire)) return;
    Call* call = nullptr;
    {
      std::lock_guard lock(mutex_);
      if (!idle_.empty()) {
        call = idle_.back();
        idle_.pop_back();
      }
    }
    if (call == nullptr) call = new Call(server_, this);
    call->Await();
  }
  void TakeBack(Call* call) {
    {
      std::lock_guard lock(mutex_);
      if (idle_.size() < kMaxIdle) {
        idle_.push_back(call);
        return;
      }
    }
    delete call;
  }

 private:
  static constexpr size_t kMaxIdle = 1024;

  GrpcServerState* const server_;
  const RequestFunction request_;
  const Handler handler_;
  const Handler refuse_busy_;
  std::mutex mutex_;
  std::vector<Call*> idle_;
};

}  // namespace raftmq::broker
