// PendingRequests: a producer's requests that wait for replies, and the streams that bring these.
// For sources of client/ only: it includes gRPC.
//
// Thread-safe; nothing blocks but Close. Outlives its instance's threads.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "client/grpc_client_instance.h"
#include "client/grpc_standing_streams.h"
#include "client/message.h"
#include "raftmq/v1/replies.pb.h"

namespace raftmq::client {

class PendingRequests {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<ReceivedMessage>)>;
  using Send = absl::AnyInvocable<void()>;

  // At most `max` requests wait.
  PendingRequests(int max, ClientInstance* instance);

  // The request waits for its reply from now on, `timeout_ms` at most. `send` is called, at most
  // once, when some member of the topic's brokers could pass a reply on. `done` is called once, on
  // this thread only if the request is refused at once.
  void Await(const std::string& topic, const std::string& correlation_id, int64_t timeout_ms,
             Send send, Done done);
  // The request could not be sent.
  void Fail(const std::string& correlation_id, const absl::Status& status);

  // Ends those that wait, with Cancelled; later ones are refused. No `send` runs when it returns.
  // Not on a thread of the instance.
  void Close();

 private:
  struct Pending {
    std::string topic;
    int64_t timeout_ms = 0;
    Send send;  // null: it was called
    std::set<std::string> addresses;
    Done done;
  };

  void OnRoute(const std::string& correlation_id, const absl::StatusOr<RouteCache::Route>& route);
  void OnReply(const std::string& address, ::raftmq::v1::Reply& reply);
  void OnOpen(const std::string& address);
  void OnTimeout(const std::string& correlation_id);
  void Run(std::vector<Send> sends);
  // Null: it is over.
  Done Take(const std::string& correlation_id, Pending* pending);

  const int max_;
  ClientInstance* const instance_;
  absl::Mutex mu_;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  int sending_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<std::string, Pending> pending_ ABSL_GUARDED_BY(mu_);
  std::set<std::string> open_ ABSL_GUARDED_BY(mu_);  // addresses that bring replies
  StandingStreams streams_;
};

}  // namespace raftmq::client
