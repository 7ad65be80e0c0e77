// A gRPC call as handlers see it, without gRPC: unary, server streaming, both ways streaming.
//
// Handlers get a plain pointer that stays valid until they end the call with Finish or Fail, which
// they do exactly once, on any thread. The caller of a handler is a completion-queue thread: a
// handler must not block.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "base/ids.h"
#include "broker/client_language.h"

namespace raftmq::broker {

inline constexpr int64_t kNoDeadline = std::numeric_limits<int64_t>::max();

// Who calls and until when. For a forwarded call these are the original caller's.
struct CallContext {
  std::string client_id;
  ClientLanguage language = ClientLanguage::kUnknown;
  std::string client_version;
  std::string peer;                   // numeric "10.1.2.3:4711", "[::1]:4711"
  int64_t deadline_ms = kNoDeadline;  // Clock::MonotonicMillis
  bool forwarded = false;             // by another member, because this one leads
  // x-raftmq-queue-id: the queue that our own client chose for what it sends.
  std::optional<QueueId> queue;
  bool renewal = false;  // of a lease, made by the member that wrote the message to its client
  // Of a change of invisibility: the consumer failed on the message, as a push consumer says it.
  bool nack = false;
  // x-raftmq-delay-level: of what is sent; 0: none.
  int32_t delay_level = 0;
  std::string ack_level;  // x-raftmq-ack-level: of what is sent; "": the topic's
  // x-raftmq-topic-created: the created_index of the topic that is meant, and not another of its
  // name.
  std::optional<LogIndex> topic_created;
  // x-raftmq-read, x-raftmq-min-applied-index: how fresh a read must be (ReadBarrier).
  std::string read_level;
  std::optional<LogIndex> min_applied;
};

template <typename Request, typename Response>
class Unary {
 public:
  virtual ~Unary() = default;

  const CallContext& context() const { return context_; }
  CallContext* mutable_context() { return &context_; }
  const Request& request() const { return *request_; }
  Request* mutable_request() { return request_; }
  Response* response() { return response_; }

  // Goes with the answer, for what the public protocol has no field for: x-raftmq-…, in lower case.
  // Before Finish; nothing for calls that no client waits for.
  virtual void AddHeader(const std::string& /*name*/, const std::string& /*value*/) {}

  // Sends *response() with gRPC's OK.
  virtual void Finish() = 0;
  // Ends the call with a gRPC error: for what has no status in its body.
  virtual void Fail(const absl::Status& status) = 0;

  // `on_finish` sees the response as Finish sends it; it is not called for Fail. Set before Finish,
  // for calls that come from a client.
  void OnFinish(absl::AnyInvocable<void(const Response&)> on_finish) {
    on_finish_ = std::move(on_finish);
  }

  // How often the call was given to a member that turned out not to lead.
  int attempts = 0;

 protected:
  CallContext context_;
  Request* request_ = nullptr;
  Response* response_ = nullptr;
  absl::AnyInvocable<void(const Response&)> on_finish_;
};

template <typename Request, typename Response>
class ServerStream {
 public:
  virtual ~ServerStream() = default;

  const CallContext& context() const { return context_; }
  const Request& request() const { return *request_; }
  Request* mutable_request() { return request_; }

  // Goes with the answer, as Unary's. Before the first Write.
  virtual void AddHeader(const std::string& /*name*/, const std::string& /*value*/) {}
  // Queues one response; they leave in order. What is queued is bounded by what the handler writes:
  // one answer's messages. After the client is gone it is dropped.
  virtual void Write(Response response) = 0;
  // Ends the stream with gRPC's OK once all is written.
  virtual void Finish() = 0;
  virtual void Fail(const absl::Status& status) = 0;

  // `on_cancel` is called at most once, when the client goes away before Finish or Fail, which are
  // still due. At once if it has gone already. On a completion-queue thread or the caller's.
  virtual void OnCancel(absl::AnyInvocable<void()> on_cancel) = 0;
  // Sees each response as it is queued. Set before the first Write.
  void OnWrite(absl::AnyInvocable<void(const Response&)> on_write) {
    on_write_ = std::move(on_write);
  }
  // `on_end` is called exactly once when the call is over: whether the transport took everything
  // that was written. Set before Finish.
  void OnEnd(absl::AnyInvocable<void(bool ok)> on_end) { on_end_ = std::move(on_end); }

  int attempts = 0;

 protected:
  CallContext context_;
  Request* request_ = nullptr;
  absl::AnyInvocable<void(const Response&)> on_write_;
  absl::AnyInvocable<void(bool)> on_end_;
};

// A stream both ways. Shared: whoever holds it may write; after its end writes are dropped.
template <typename In, typename Out>
class BidiStream {
 public:
  class Listener {
   public:
    virtual ~Listener() = default;
    // On a completion-queue thread, one at a time.
    virtual void OnRead(In& message) = 0;
    // Last call: the client ended its side or is gone. The stream is finished with OK if Close was
    // not called.
    virtual void OnEnd() = 0;
  };

  virtual ~BidiStream() = default;

  const CallContext& context() const { return context_; }

  // False: the stream is over or its queue of unsent messages is full; nothing was queued.
  virtual bool Write(Out message) = 0;
  virtual void Close(const absl::Status& status) = 0;

 protected:
  CallContext context_;
};

}  // namespace raftmq::broker
