// CallQueue: a completion queue for unary calls and streams, and the one thread,
// "mq-client-cq", that serves it. For sources of client/ only: it includes gRPC.
//
// Start may be called from any thread. Destroyed off its own thread, when no call is under way.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <thread>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "base/thread.h"

namespace raftmq::client {

class CallQueue {
 public:
  using Done = absl::AnyInvocable<void(const grpc::Status&)>;

  CallQueue() : thread_(StartThread("mq-client-cq", [this] { Run(); })) {}
  ~CallQueue() {
    queue_.Shutdown();
    thread_.join();
  }

  CallQueue(const CallQueue&) = delete;
  CallQueue& operator=(const CallQueue&) = delete;

  // For a stub's PrepareAsync… methods.
  grpc::CompletionQueue* queue() { return &queue_; }

  // Starts a prepared call. `done` is called once, on the queue's thread, which it must not hold
  // up; `response` and the call's context live until then.
  template <typename Response>
  void Start(std::unique_ptr<grpc::ClientAsyncResponseReader<Response>> call, Response* response,
             Done done) {
    auto* under_way = new Call<Response>(std::move(call), std::move(done));
    // The tag may be served, and deleted, before Finish returns: nothing of it is used after.
    under_way->reader->StartCall();
    under_way->reader->Finish(response, &under_way->status, static_cast<Tag*>(under_way));
  }

  // The same for a prepared stream of answers: `on_response` for each, then `done`.
  template <typename Response>
  void StartStream(std::unique_ptr<grpc::ClientAsyncReader<Response>> stream,
                   absl::AnyInvocable<void(Response&)> on_response, Done done) {
    auto* under_way =
        new Stream<Response>(std::move(stream), std::move(on_response), std::move(done));
    under_way->reader->StartCall(static_cast<Tag*>(under_way));
  }

  // The same for a stream both ways, on which `first` is all that is sent: it stays open until the
  // server ends it or its context is cancelled.
  template <typename Request, typename Response>
  void StartBidi(std::unique_ptr<grpc::ClientAsyncReaderWriter<Request, Response>> stream,
                 Request first, absl::AnyInvocable<void(Response&)> on_response, Done done) {
    auto* under_way = new Bidi<Request, Response>(std::move(stream), std::move(first),
                                                  std::move(on_response), std::move(done));
    under_way->stream->StartCall(static_cast<Tag*>(under_way));
  }

 private:
  struct Tag {
    explicit Tag(Done done) : done(std::move(done)) {}
    virtual ~Tag() = default;
    // False: the call goes on. Otherwise `status` is how it ended.
    virtual bool Proceed(bool ok) = 0;
    grpc::Status status;
    Done done;
  };
  template <typename Response>
  struct Call final : Tag {
    Call(std::unique_ptr<grpc::ClientAsyncResponseReader<Response>> call, Done done)
        : Tag(std::move(done)), reader(std::move(call)) {}
    bool Proceed(bool) override { return true; }
    const std::unique_ptr<grpc::ClientAsyncResponseReader<Response>> reader;
  };
  template <typename Response>
  struct Stream final : Tag {
    Stream(std::unique_ptr<grpc::ClientAsyncReader<Response>> stream,
           absl::AnyInvocable<void(Response&)> on_response, Done done)
        : Tag(std::move(done)), reader(std::move(stream)), on_response(std::move(on_response)) {}
    bool Proceed(bool ok) override {
      if (finishing) return true;
      if (ok) {
        if (reading) on_response(response);
        reading = true;
        response.Clear();
        reader->Read(&response, static_cast<Tag*>(this));
      } else {
        finishing = true;
        reader->Finish(&this->status, static_cast<Tag*>(this));
      }
      return false;
    }
    const std::unique_ptr<grpc::ClientAsyncReader<Response>> reader;
    absl::AnyInvocable<void(Response&)> on_response;
    Response response;
    bool reading = false;
    bool finishing = false;
  };

  template <typename Request, typename Response>
  struct Bidi final : Tag {
    Bidi(std::unique_ptr<grpc::ClientAsyncReaderWriter<Request, Response>> call, Request request,
         absl::AnyInvocable<void(Response&)> on_response, Done done)
        : Tag(std::move(done)),
          stream(std::move(call)),
          first(std::move(request)),
          on_response(std::move(on_response)) {}
    bool Proceed(bool ok) override {
      if (step == kFinishing) return true;
      if (!ok) {
        step = kFinishing;
        stream->Finish(&this->status, static_cast<Tag*>(this));
      } else if (step == kStarting) {
        step = kWriting;
        stream->Write(first, static_cast<Tag*>(this));
      } else {
        if (step == kReading) on_response(response);
        step = kReading;
        response.Clear();
        stream->Read(&response, static_cast<Tag*>(this));
      }
      return false;
    }
    enum { kStarting, kWriting, kReading, kFinishing } step = kStarting;
    const std::unique_ptr<grpc::ClientAsyncReaderWriter<Request, Response>> stream;
    const Request first;
    absl::AnyInvocable<void(Response&)> on_response;
    Response response;
  };

  void Run() {
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
      Tag* const call = static_cast<Tag*>(tag);
      if (!call->Proceed(ok)) continue;
      // First the call goes, which lives in memory of its context, then the context, with `done`.
      Done done = std::move(call->done);
      const grpc::Status status = std::move(call->status);
      delete call;
      done(status);
    }
  }

  grpc::CompletionQueue queue_;
  std::thread thread_;
};

}  // namespace raftmq::client
