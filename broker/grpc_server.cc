#include "broker/grpc_server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/event_loop.h"
#include "base/strings.h"
#include "base/thread.h"
#include "broker/cq_tag.h"
#include "broker/grpc_binding.h"
#include "broker/port_listener.h"
#include "broker/tls_certificate.h"
#include "glog/logging.h"

namespace raftmq::broker {

namespace {

// Of posts; one of them may stand for many proposals. So much later, at most, is the first served.
constexpr size_t kMaxGathered = 64;

}  // namespace

struct GrpcServer::Impl {
  GrpcServerOptions options;
  GrpcServerState state;
  grpc::ServerBuilder builder;
  std::unique_ptr<grpc::ServerCompletionQueue> queue;
  std::vector<std::unique_ptr<GrpcBinding>> bindings;
  HealthBinding* health = nullptr;  // one of them
  std::unique_ptr<grpc::Server> server;
  std::vector<std::thread> threads;
  std::unique_ptr<PortListener> listener;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> plaintext;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> tls;
  bool queue_is_shut = false;

  void Run() {
    void* tag = nullptr;
    bool ok = false;
    // Calls come in bursts, since a connection is read in pieces that hold several: what they post
    // is gathered until no event is left, so that the replica finds them together and logs them as
    // one.
    PostCork cork;
    while (true) {
      if (cork.size() == 0) {
        if (!queue->Next(&tag, &ok)) return;
      } else {
        const auto next = queue->AsyncNext(&tag, &ok, gpr_inf_past(GPR_CLOCK_MONOTONIC));
        if (next == grpc::CompletionQueue::SHUTDOWN) return;
        if (next == grpc::CompletionQueue::TIMEOUT) {
          cork.Flush();
          continue;
        }
      }
      static_cast<CqTag*>(tag)->Proceed(ok);
      if (cork.size() >= kMaxGathered) cork.Flush();
    }
  }

  grpc_ssl_client_certificate_request_type CertificateRequest() const {
    switch (options.client_auth) {
      case ClientAuth::kNone:
        break;
      case ClientAuth::kOptional:
        return GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY;
      case ClientAuth::kRequire:
        return GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY;
    }
    return GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE;
  }

  absl::Status AddAcceptors() {
    using Type = grpc::ServerBuilder::experimental_type::ExternalConnectionType;
    if (options.tls != TlsMode::kEnforcing) {
      plaintext = builder.experimental().AddExternalConnectionAcceptor(
          Type::FROM_FD, grpc::InsecureServerCredentials());
    }
    if (options.tls == TlsMode::kDisabled) return absl::OkStatus();
    if (options.tls_key_pem.empty()) {
      RAFTMQ_ASSIGN_OR_RETURN(TlsCertificate made,
                              MakeSelfSignedCertificate(options.certificate_host));
      options.tls_key_pem = std::move(made.private_key_pem);
      options.tls_certificate_pem = std::move(made.certificate_pem);
    }
    grpc::SslServerCredentialsOptions ssl(CertificateRequest());
    ssl.pem_root_certs = options.client_trust_pem;
    ssl.pem_key_cert_pairs.push_back({options.tls_key_pem, options.tls_certificate_pem});
    tls = builder.experimental().AddExternalConnectionAcceptor(Type::FROM_FD,
                                                               grpc::SslServerCredentials(ssl));
    return absl::OkStatus();
  }

  void TakeConnection(int fd, bool is_tls) {
    auto& acceptor = is_tls ? tls : plaintext;
    if (acceptor == nullptr) {
      // That kind is switched off. Closing alone would not end it: the listener has a descriptor
      // too.
      shutdown(fd, SHUT_RDWR);
      close(fd);
      return;
    }
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
    connection.fd = fd;
    acceptor->HandleNewConnection(&connection);
  }
};

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Bind(GrpcServerOptions options,
                                                             Clock* clock) {
  PortListener::Options listen;
  listen.host = options.listen_host;
  listen.port = options.port;
  auto impl = std::make_unique<Impl>();
  RAFTMQ_ASSIGN_OR_RETURN(impl->listener, PortListener::Bind(std::move(listen)));
  // The default one would take connections away from our completion queue: see grpc_health.cc.
  grpc::EnableDefaultHealthCheckService(false);
  if (options.reflection) {
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  }
  impl->options = std::move(options);
  impl->queue = impl->builder.AddCompletionQueue();
  impl->state.clock = clock;
  impl->state.queue = impl->queue.get();
  impl->state.listener = impl->listener.get();
  impl->state.max_in_flight = impl->options.max_in_flight;
  std::unique_ptr<HealthBinding> health = BindHealth(&impl->state);
  impl->health = health.get();
  impl->bindings.push_back(std::move(health));
  impl->builder.RegisterService(impl->bindings.back()->service());
  return std::unique_ptr<GrpcServer>(new GrpcServer(std::move(impl)));
}

GrpcServer::GrpcServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

GrpcServer::~GrpcServer() {
  if (impl_->server != nullptr) Stop(0);
  if (!impl_->queue_is_shut) {
    impl_->queue->Shutdown();
    impl_->Run();
  }
}

void GrpcServer::Add(MessagingService* service) {
  impl_->bindings.push_back(BindMessaging(&impl_->state, service));
  impl_->builder.RegisterService(impl_->bindings.back()->service());
}

void GrpcServer::Add(AdminService* service) {
  impl_->bindings.push_back(BindAdmin(&impl_->state, service));
  impl_->builder.RegisterService(impl_->bindings.back()->service());
}

void GrpcServer::Add(ConsumersService* service) {
  impl_->bindings.push_back(BindConsumers(&impl_->state, service));
  impl_->builder.RegisterService(impl_->bindings.back()->service());
}

void GrpcServer::Add(RepliesService* service) {
  impl_->bindings.push_back(BindReplies(&impl_->state, service));
  impl_->builder.RegisterService(impl_->bindings.back()->service());
}

absl::Status GrpcServer::Start(EventLoop* accept_loop) {
  grpc::ServerBuilder& builder = impl_->builder;
  const GrpcServerOptions& options = impl_->options;
  builder.SetMaxReceiveMessageSize(options.max_message_bytes);
  builder.SetMaxSendMessageSize(-1);
  // Official clients ping as often as each 60 s and without calls; none of that is an attack.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
  // A client that vanished without a word is noticed within a minute and a half.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // Measured to cost CPU for nothing here.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder.AddChannelArgument(GRPC_ARG_ENABLE_CHANNELZ, 0);

  RAFTMQ_RETURN_IF_ERROR(impl_->AddAcceptors());
  impl_->server = builder.BuildAndStart();
  if (impl_->server == nullptr) return absl::InternalError("gRPC could not start its server");
  for (auto& binding : impl_->bindings) binding->Start(options.requested_calls);
  for (int i = 0; i < options.threads; ++i) {
    impl_->threads.push_back(StartThread("grpc-cq", [this] { impl_->Run(); }));
  }
  impl_->listener->Start(
      accept_loop, [impl = impl_.get()](int fd, bool is_tls) { impl->TakeConnection(fd, is_tls); });
  return absl::OkStatus();
}

int GrpcServer::port() const { return impl_->listener->port(); }

size_t GrpcServer::connections() const { return impl_->listener->connections(); }

void GrpcServer::SetRefusing(bool refusing) {
  impl_->state.refusing.store(refusing);
  impl_->listener->SetRefusing(refusing);
}

void GrpcServer::SetHealthy(bool healthy) { impl_->health->SetHealthy(healthy); }

grpc::CompletionQueue* GrpcServer::completion_queue() { return impl_->queue.get(); }

int GrpcServer::in_flight() const { return impl_->state.in_flight.load(); }

bool GrpcServer::Stop(int64_t grace_ms) {
  impl_->state.stopping.store(true, std::memory_order_release);
  SetHealthy(false);
  impl_->listener->Stop();
  if (impl_->server != nullptr) {
    impl_->server->Shutdown(
        gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(grace_ms, GPR_TIMESPAN)));
  }
  // A handler that ended its call after the queue is shut would crash: be sure there is none.
  {
    GrpcServerState& state = impl_->state;
    absl::MutexLock lock(&state.idle_mutex);
    state.idle_mutex.AwaitWithTimeout(
        absl::Condition(
            +[](GrpcServerState* s) { return s->in_flight.load() == 0; }, &state),
        absl::Milliseconds(std::max<int64_t>(grace_ms, 1'000)));
  }
  if (in_flight() > 0) {
    LOG(ERROR) << "gRPC server: " << in_flight() << " calls were not ended by their handlers";
    return false;
  }
  impl_->queue->Shutdown();
  impl_->queue_is_shut = true;
  for (std::thread& thread : impl_->threads) thread.join();
  if (impl_->threads.empty()) impl_->Run();
  impl_->server.reset();
  return true;
}

}  // namespace raftmq::broker
