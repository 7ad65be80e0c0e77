// A call of the gRPC server that streams both ways, and its method.
#pragma once

#include <grpcpp/grpcpp.h>

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include "broker/call.h"
#include "broker/cq_tag.h"
#include "broker/grpc_calls.h"

namespace raftmq::broker {

template <typename In, typename Out>
class GrpcBidiMethod;

// Owns itself (self_) from Await until gRPC is done with it; whoever holds the stream to write on
// it later shares it.
template <typename In, typename Out>
class GrpcBidi final : public BidiStream<In, Out>,
                       public std::enable_shared_from_this<GrpcBidi<In, Out>> {
 public:
  using Method = GrpcBidiMethod<In, Out>;

  GrpcBidi(GrpcServerState* server, Method* method)
      : server_(server),
        method_(method),
        arrived_(this, &GrpcBidi::Arrived),
        read_(this, &GrpcBidi::Read),
        written_(this, &GrpcBidi::Written),
        stream_(&grpc_) {}

  void Await() {
    self_ = this->shared_from_this();
    method_->RequestCall(&grpc_, &stream_, server_->queue, &arrived_);
  }

  bool Write(Out message) override {
    std::lock_guard lock(mutex_);
    const size_t bytes = message.ByteSizeLong();
    if (close_requested_ || failed_ || queue_.size() >= kMaxQueued ||
        (!queue_.empty() && queued_bytes_ + bytes > kMaxQueuedBytes)) {
      return false;
    }
    queued_bytes_ += bytes;
    queue_.push_back(std::move(message));
    Pump();
    return true;
  }

  void Close(const absl::Status& status) override {
    std::lock_guard lock(mutex_);
    if (close_requested_) return;
    close_requested_ = true;
    close_status_ = status;
    Pump();
  }

 private:
  static constexpr size_t kMaxQueued = 1024;
  static constexpr size_t kMaxQueuedBytes = 16 << 20;

  struct Tag final : CqTag {
    Tag(GrpcBidi* s, void (GrpcBidi::*m)(bool)) : stream(s), method(m) {}
    void Proceed(bool ok) override { (stream->*method)(ok); }
    GrpcBidi* const stream;
    void (GrpcBidi::*const method)(bool);
  };

  void Arrived(bool ok) {
    if (!ok) {
      self_.reset();
      return;
    }
    method_->AwaitAnother();
    FillCallContext(grpc_, server_->clock, &this->context_);
    {
      // Headers at once: some clients do not go on without them.
      std::lock_guard lock(mutex_);
      busy_ = true;
      stream_.SendInitialMetadata(&written_);
    }
    listener_ = method_->Handle(self_);
    stream_.Read(&incoming_, &read_);
  }

  void Read(bool ok) {
    if (ok) {
      listener_->OnRead(incoming_);
      incoming_.Clear();
      stream_.Read(&incoming_, &read_);
      return;
    }
    listener_->OnEnd();
    listener_.reset();
    Close(absl::OkStatus());
    std::unique_lock lock(mutex_);
    reading_ended_ = true;
    ReleaseIfOver(std::move(lock));
  }

  void Pump() {
    if (busy_ || close_sent_) return;
    if (failed_) queue_.clear();
    if (queue_.empty()) queued_bytes_ = 0;
    if (!queue_.empty()) {
      busy_ = true;
      const Out next = std::move(queue_.front());
      queue_.pop_front();
      queued_bytes_ -= next.ByteSizeLong();
      stream_.Write(next, &written_);
    } else if (close_requested_) {
      busy_ = close_sent_ = true;
      stream_.Finish(close_status_.ok() ? grpc::Status::OK : ToGrpcStatus(close_status_, &grpc_),
                     &written_);
    }
  }

  void Written(bool ok) {
    std::unique_lock lock(mutex_);
    busy_ = false;
    if (!ok) failed_ = true;
    closed_ = close_sent_;
    Pump();
    ReleaseIfOver(std::move(lock));
  }

  void ReleaseIfOver(std::unique_lock<std::mutex> lock) {
    if (!reading_ended_ || !closed_) return;
    const std::shared_ptr<GrpcBidi> last = std::move(self_);
    lock.unlock();
  }

  GrpcServerState* const server_;
  Method* const method_;
  Tag arrived_;
  Tag read_;
  Tag written_;
  grpc::ServerContext grpc_;
  grpc::ServerAsyncReaderWriter<Out, In> stream_;
  In incoming_;
  std::shared_ptr<typename BidiStream<In, Out>::Listener> listener_;
  std::shared_ptr<GrpcBidi> self_;

  std::mutex mutex_;
  std::deque<Out> queue_;
  size_t queued_bytes_ = 0;
  absl::Status close_status_;
  bool busy_ = false;
  bool failed_ = false;
  bool close_requested_ = false;
  bool close_sent_ = false;
  bool closed_ = false;
  bool reading_ended_ = false;
};

template <typename In, typename Out>
class GrpcBidiMethod final : public GrpcMethod {
 public:
  using Call = GrpcBidi<In, Out>;
  using Stream = grpc::ServerAsyncReaderWriter<Out, In>;
  using RequestFunction =
      std::function<void(grpc::ServerContext*, Stream*, grpc::ServerCompletionQueue*, CqTag*)>;
  using Handler = std::function<std::shared_ptr<typename BidiStream<In, Out>::Listener>(
      std::shared_ptr<BidiStream<In, Out>>)>;

  GrpcBidiMethod(GrpcServerState* server, RequestFunction request, Handler handler)
      : server_(server), request_(std::move(request)), handler_(std::move(handler)) {}

  void Start(int count) override {
    for (int i = 0; i < count; ++i) std::make_shared<Call>(server_, this)->Await();
  }
  void RequestCall(grpc::ServerContext* context, Stream* stream, grpc::ServerCompletionQueue* queue,
                   CqTag* tag) {
    request_(context, stream, queue, tag);
  }
  auto Handle(std::shared_ptr<BidiStream<In, Out>> stream) { return handler_(std::move(stream)); }
  void AwaitAnother() {
    if (!server_->stopping.load(std::memory_order_acquire)) {
      std::make_shared<Call>(server_, this)->Await();
    }
  }

 private:
  GrpcServerState* const server_;
  const RequestFunction request_;
  const Handler handler_;
};

}  // namespace raftmq::broker
