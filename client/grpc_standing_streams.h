// StandingStreams: a stream kept open to every member of the broker groups that serve some topics.
// One that ends is opened anew after a moment, also to members that joined since. For sources of
// client/ only: it includes gRPC.
//
// Thread-safe; nothing blocks but Close. Outlives its instance's threads.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "client/grpc_client_instance.h"

namespace raftmq::client {

class StandingStreams {
 public:
  using Ended = absl::AnyInvocable<void(const grpc::Status&)>;
  // Begins a stream to the member at `address`. `context`, which is prepared, lives until `ended`,
  // to be called once.
  using Open =
      std::function<void(const std::string& address, grpc::ClientContext* context, Ended ended)>;

  StandingStreams(ClientInstance* instance, Open open);
  // Close, if it was not called.
  ~StandingStreams();

  // From now on also to the members that serve this topic.
  void Add(const std::string& topic);
  // Ends all; they are opened anew at once, because what is said at their beginning changed.
  void Reopen();
  // Ends all and waits until they have. Not on a thread of the instance.
  void Close();

 private:
  void Look();
  void LookEvery();
  void OpenAt(const std::string& address);

  ClientInstance* const instance_;
  const Open open_;
  absl::Mutex mu_;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  std::set<std::string> topics_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::shared_ptr<grpc::ClientContext>> streams_ ABSL_GUARDED_BY(mu_);
};

}  // namespace raftmq::client
