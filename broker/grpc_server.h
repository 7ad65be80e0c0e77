// GrpcServer: the broker's gRPC server on one asynchronous completion queue, which also serves the
// calls to other members (peer_client.h).
//
// One port serves TLS and plaintext (port_listener.h).
//
// Life: Bind, Add the services, Start, Stop, destroy; all on the thread of the process's wiring.
// Handlers run on the completion-queue threads ("grpc-cq"; one by default, since on few cores more
// only add wake-ups). gRPC stays out of this header.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/event_loop.h"
#include "broker/admin_service.h"
#include "broker/consumers_service.h"
#include "broker/messaging_service.h"
#include "broker/replies_service.h"

namespace grpc {
class CompletionQueue;
}

namespace raftmq::broker {

// Whether the client port takes TLS, plaintext or both (RocketMQ's tls.server.mode).
enum class TlsMode { kPermissive, kEnforcing, kDisabled };

enum class ClientAuth { kNone, kOptional, kRequire };

struct GrpcServerOptions {
  std::string listen_host = "0.0.0.0";
  int port = 8081;  // 0: any free one
  int threads = 1;
  // Kept waiting per method. Few: one more is requested as each arrives, and Debian's gRPC, built
  // with its assertions, searches all that wait on the queue at the end of each operation.
  int requested_calls = 4;
  int max_in_flight = 32'768;        // calls; above, TOO_MANY_REQUESTS
  int max_message_bytes = 32 << 20;  // received; official clients send up to 16 MiB
  bool reflection = true;            // server reflection
  TlsMode tls = TlsMode::kPermissive;
  // PEM; both empty: a self-signed certificate for `certificate_host` is made at start.
  std::string tls_key_pem;
  std::string tls_certificate_pem;
  std::string certificate_host;
  // Whether TLS clients are asked for a certificate signed by `client_trust_pem`, or must have one.
  ClientAuth client_auth = ClientAuth::kNone;
  std::string client_trust_pem;
};

class GrpcServer {
 public:
  // Takes the port; nothing is accepted yet. Unavailable: it cannot be had.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Bind(GrpcServerOptions options, Clock* clock);
  ~GrpcServer();

  GrpcServer(const GrpcServer&) = delete;
  GrpcServer& operator=(const GrpcServer&) = delete;

  // The services outlive the server.
  void Add(MessagingService* service);
  void Add(AdminService* service);
  void Add(ConsumersService* service);
  void Add(RepliesService* service);

  // Serves. New connections are accepted on `accept_loop`, where nothing else may wait.
  absl::Status Start(EventLoop* accept_loop);

  int port() const;

  // Of the client port that are open now.
  size_t connections() const;

  // While true, clients are sent away: their connections are closed and new ones refused. The
  // administration service goes on, on connections that used it before and on new ones from this
  // machine.
  void SetRefusing(bool refusing);

  // What grpc.health.v1.Health answers; not serving until this is called.
  void SetHealthy(bool healthy);

  // For calls to other members. Valid until Stop returns.
  grpc::CompletionQueue* completion_queue();

  // Refuses new calls, waits up to `grace_ms` for those under way, cancels the rest, then joins.
  // Handlers must have ended their calls, or do so soon: at most once more `grace_ms` is waited.
  // False: some call was never ended; the process must not go on as if nothing were.
  bool Stop(int64_t grace_ms);

  // Calls that handlers have not ended yet.
  int in_flight() const;

 private:
  struct Impl;
  explicit GrpcServer(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace raftmq::broker
