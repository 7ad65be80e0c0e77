// ChannelCache: one gRPC channel for each address, shared by all that talk to it. For sources of
// client/ only: it includes gRPC.
//
// Thread-safe.
#pragma once

#include <grpcpp/grpcpp.h>

#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "apache/rocketmq/v2/definition.pb.h"
#include "base/channel_credentials.h"

namespace raftmq::client {

class ChannelCache {
 public:
  explicit ChannelCache(const TlsClientOptions& tls = {});

  std::shared_ptr<grpc::Channel> Get(const std::string& address);

 private:
  const std::shared_ptr<grpc::ChannelCredentials> credentials_;
  absl::Mutex mu_;
  std::map<std::string, std::shared_ptr<grpc::Channel>> channels_ ABSL_GUARDED_BY(mu_);
};

// Sets a deadline and the metadata that mark our own client, which gets physical routes.
void PrepareContext(grpc::ClientContext* context, const std::string& client_id, int64_t timeout_ms);

// The same code and text. `address` is added to the text.
absl::Status FromGrpc(const grpc::Status& status, const std::string& address);

// What a v2 status says. OK and MULTIPLE_RESULTS are OK; TOO_MANY_REQUESTS is ResourceExhausted;
// timeouts, whose outcome is unknown, are DeadlineExceeded; bad requests are InvalidArgument.
absl::Status FromV2(const apache::rocketmq::v2::Status& status);

// Whether another try may do better: transport failures, overload, no leader, unknown outcome.
bool IsRetriable(const absl::Status& status);

}  // namespace raftmq::client
