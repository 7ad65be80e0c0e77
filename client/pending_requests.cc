#include <utility>

#include "base/strings.h"
#include "client/grpc_pending_requests.h"

namespace raftmq::client {

namespace v1 = ::raftmq::v1;

PendingRequests::PendingRequests(int max, ClientInstance* instance)
    : max_(max),
      instance_(instance),
      streams_(instance, [this](const std::string& address, grpc::ClientContext* context,
                                StandingStreams::Ended ended) {
        CallQueue* const calls = instance_->calls();
        calls->StartBidi<v1::WatchRepliesRequest, v1::Reply>(
            instance_->RepliesStubAt(address)->PrepareAsyncWatchReplies(context, calls->queue()),
            v1::WatchRepliesRequest(),
            [this, address](v1::Reply& reply) { OnReply(address, reply); },
            [this, address, ended = std::move(ended)](const grpc::Status& status) mutable {
              {
                absl::MutexLock lock(&mu_);
                open_.erase(address);
              }
              ended(status);
            });
      }) {}

void PendingRequests::Await(const std::string& topic, const std::string& correlation_id,
                            int64_t timeout_ms, Send send, Done done) {
  absl::Status refused;
  {
    absl::MutexLock lock(&mu_);
    if (closed_) {
      refused = absl::CancelledError(StrCat("request ", correlation_id, " of topic ", topic,
                                            ": the producer is being closed"));
    } else if (static_cast<int64_t>(pending_.size()) >= max_) {
      refused = absl::ResourceExhaustedError(
          StrCat(max_,
                 " requests wait for their replies: wait for some to end, or raise "
                 "maxRequestsUnderWay"));
    } else {
      Pending& pending = pending_[correlation_id];
      pending.topic = topic;
      pending.timeout_ms = timeout_ms;
      pending.send = std::move(send);
      pending.done = std::move(done);
    }
  }
  if (!refused.ok()) return done(std::move(refused));
  instance_->timers()->RunAfter(timeout_ms * 1'000'000,
                                [this, correlation_id] { OnTimeout(correlation_id); });
  streams_.Add(topic);
  instance_->routes()->Find(topic,
                            [this, correlation_id](const absl::StatusOr<RouteCache::Route>& route) {
                              OnRoute(correlation_id, route);
                            });
}

void PendingRequests::OnRoute(const std::string& correlation_id,
                              const absl::StatusOr<RouteCache::Route>& route) {
  if (!route.ok()) return Fail(correlation_id, route.status());
  std::vector<Send> sends;
  {
    absl::MutexLock lock(&mu_);
    const auto it = pending_.find(correlation_id);
    if (it == pending_.end()) return;
    bool open = false;
    for (const BrokerRoute& broker : (*route)->brokers) {
      for (const std::string& address : broker.addresses) {
        open = open || open_.count(address) != 0;
        it->second.addresses.insert(address);
      }
    }
    if (!open) return;  // OnOpen goes on
    sends.push_back(std::exchange(it->second.send, nullptr));
    ++sending_;
  }
  Run(std::move(sends));
}

void PendingRequests::OnOpen(const std::string& address) {
  std::vector<Send> sends;
  {
    absl::MutexLock lock(&mu_);
    open_.insert(address);
    for (auto& [id, pending] : pending_) {
      if (pending.send && pending.addresses.count(address) != 0) {
        sends.push_back(std::exchange(pending.send, nullptr));
      }
    }
    ++sending_;
  }
  Run(std::move(sends));
}

void PendingRequests::Run(std::vector<Send> sends) {
  for (Send& send : sends) {
    if (send) send();
  }
  absl::MutexLock lock(&mu_);
  --sending_;
}

void PendingRequests::OnReply(const std::string& address, v1::Reply& reply) {
  if (reply.correlation_id().empty()) return OnOpen(address);  // the stream's beginning
  Pending pending;
  Done done = Take(reply.correlation_id(), &pending);
  if (!done) return;  // too late, or a second one
  ReceivedMessage message;
  message.topic = pending.topic;
  message.body = std::move(*reply.mutable_body());
  message.properties.insert(reply.properties().begin(), reply.properties().end());
  message.endpoint = address;
  done(std::move(message));
}

void PendingRequests::OnTimeout(const std::string& correlation_id) {
  Pending pending;
  Done done = Take(correlation_id, &pending);
  if (!done) return;
  const std::string what = StrCat("request ", correlation_id, " of topic ", pending.topic);
  if (pending.send) {
    done(absl::DeadlineExceededError(
        StrCat(what, " was not sent: no broker of the topic took a stream for replies within ",
               pending.timeout_ms, " ms: look whether the brokers serve")));
  } else {
    done(absl::DeadlineExceededError(
        StrCat(what, " was sent, but no reply came within ", pending.timeout_ms,
               " ms: it may have been consumed, or will be; look whether a consumer of the topic "
               "runs and replies, or wait longer")));
  }
}

void PendingRequests::Fail(const std::string& correlation_id, const absl::Status& status) {
  Pending pending;
  if (Done done = Take(correlation_id, &pending)) done(status);
}

PendingRequests::Done PendingRequests::Take(const std::string& correlation_id, Pending* pending) {
  absl::MutexLock lock(&mu_);
  const auto it = pending_.find(correlation_id);
  if (it == pending_.end()) return nullptr;
  *pending = std::move(it->second);
  pending_.erase(it);
  return std::move(pending->done);
}

void PendingRequests::Close() {
  std::map<std::string, Pending> all;
  {
    absl::MutexLock lock(&mu_);
    closed_ = true;
    all.swap(pending_);
  }
  for (auto& [id, pending] : all) {
    pending.done(absl::CancelledError(
        StrCat("request ", id, " of topic ", pending.topic, ": the producer was closed")));
  }
  streams_.Close();
  absl::MutexLock lock(&mu_);
  mu_.Await(absl::Condition(
      +[](int* n) { return *n == 0; }, &sending_));
}

}  // namespace raftmq::client
