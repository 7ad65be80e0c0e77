#include "client/grpc_channels.h"

#include <chrono>

#include "base/strings.h"

namespace raftmq::client {

namespace v2 = ::apache::rocketmq::v2;

ChannelCache::ChannelCache(const TlsClientOptions& tls)
    : credentials_(MakeChannelCredentials(tls)) {}

std::shared_ptr<grpc::Channel> ChannelCache::Get(const std::string& address) {
  absl::MutexLock lock(&mu_);
  std::shared_ptr<grpc::Channel>& channel = channels_[address];
  if (channel == nullptr) {
    grpc::ChannelArguments args;
    args.SetMaxReceiveMessageSize(64 << 20);
    // Retries are decided where the outcome of a send is understood, not in the transport.
    args.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
    // Each probe is a ping and its answer, for what is not used here: windows that grow with the
    // link. This one is large enough for any answer to come in one go.
    args.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    args.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 4 << 20);
    // Bodies are compressed, if at all, before they get here.
    args.SetInt(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0);
    args.SetInt(GRPC_ARG_ENABLE_CHANNELZ, 0);
    // A member that comes back is found again within this time.
    args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
    args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
    // Despite its name the time that connecting may take, TLS included: a busy machine or a far one
    // needs more than a moment. A dead process is noticed at once; this is for a dead machine.
    args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
    channel = grpc::CreateCustomChannel(address, credentials_, args);
  }
  return channel;
}

void PrepareContext(grpc::ClientContext* context, const std::string& client_id,
                    int64_t timeout_ms) {
  // A gRPC deadline is a moment of the machine's clock; nothing is decided by it here.
  gpr_timespec deadline =
      gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(timeout_ms, GPR_TIMESPAN));
  context->set_deadline(deadline);
  context->AddMetadata("x-mq-client-id", client_id);
  context->AddMetadata("x-mq-language", "RAFTMQ");
  context->AddMetadata("x-mq-client-version", "1");
  context->AddMetadata("x-mq-protocol", "v2");
}

absl::Status FromGrpc(const grpc::Status& status, const std::string& address) {
  if (status.ok()) return absl::OkStatus();
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                      StrCat(address, ": ", status.error_message()));
}

absl::Status FromV2(const v2::Status& status) {
  const std::string text = StrCat(v2::Code_Name(status.code()), ": ", status.message());
  switch (status.code()) {
    case v2::OK:
    case v2::MULTIPLE_RESULTS:
      return absl::OkStatus();
    case v2::TOO_MANY_REQUESTS:
      return absl::ResourceExhaustedError(text);
    case v2::REQUEST_TIMEOUT:
    case v2::PROXY_TIMEOUT:
    case v2::MASTER_PERSISTENCE_TIMEOUT:
    case v2::SLAVE_PERSISTENCE_TIMEOUT:
      return absl::DeadlineExceededError(text);
    // Certainly not stored: a member is away, and its disk was asked for.
    case v2::HA_NOT_AVAILABLE:
      return absl::FailedPreconditionError(text);
    case v2::UNAUTHORIZED:
      return absl::UnauthenticatedError(text);
    case v2::FORBIDDEN:
      return absl::PermissionDeniedError(text);
    case v2::NOT_IMPLEMENTED:
    case v2::UNSUPPORTED:
    case v2::VERSION_UNSUPPORTED:
      return absl::UnimplementedError(text);
    default:
      break;
  }
  if (status.code() >= 40400 && status.code() < 40500) return absl::NotFoundError(text);
  if (status.code() >= 40000 && status.code() < 50000) return absl::InvalidArgumentError(text);
  return absl::InternalError(text);
}

bool IsRetriable(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kCancelled:
      return true;
    default:
      return false;
  }
}

}  // namespace raftmq::client
