#include "broker/grpc_calls.h"

#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "absl/strings/numbers.h"
#include "base/strings.h"
#include "store/reason.h"

namespace raftmq::broker {
namespace {

std::string_view View(grpc::string_ref text) { return {text.data(), text.size()}; }

// "ipv4:10.1.2.3:4711" → "10.1.2.3:4711"; "ipv6:%5B::1%5D:4711" → "[::1]:4711".
std::string PeerAddress(const std::string& peer) {
  const size_t colon = peer.find(':');
  if (colon == std::string::npos) return peer;
  std::string address;
  address.reserve(peer.size() - colon);
  for (size_t i = colon + 1; i < peer.size(); ++i) {
    if (peer.compare(i, 3, "%5B") == 0) {
      address += '[';
      i += 2;
    } else if (peer.compare(i, 3, "%5D") == 0) {
      address += ']';
      i += 2;
    } else {
      address += peer[i];
    }
  }
  return address;
}

int64_t DeadlineMillis(const grpc::ServerContext& grpc, Clock* clock) {
  // The Java client opens Telemetry with a deadline 60 years off: none, that is.
  constexpr int64_t kForever = int64_t{10} * 365 * 86'400'000;
  const gpr_timespec deadline = gpr_convert_clock_type(grpc.raw_deadline(), GPR_CLOCK_REALTIME);
  if (deadline.tv_sec >= std::numeric_limits<int64_t>::max() / 1000) return kNoDeadline;
  const int64_t wall_ms = deadline.tv_sec * 1000 + deadline.tv_nsec / 1'000'000;
  const int64_t left_ms = wall_ms - clock->WallMillis();
  return left_ms > kForever ? kNoDeadline : clock->MonotonicMillis() + left_ms;
}

}  // namespace

void FillCallContext(const grpc::ServerContext& grpc, Clock* clock, CallContext* context) {
  for (const auto& [name_ref, value_ref] : grpc.client_metadata()) {
    const std::string_view name = View(name_ref);
    if (name.substr(0, 2) != "x-") continue;
    const std::string_view value = View(value_ref);
    if (name == "x-mq-client-id") {
      context->client_id = value;
    } else if (name == "x-mq-language") {
      context->language = ParseClientLanguage(value);
    } else if (name == "x-mq-client-version") {
      context->client_version = value;
    } else if (name == "x-raftmq-queue-id") {
      int32_t queue = -1;
      // What is no number is no queue of any topic: the store says so.
      if (!absl::SimpleAtoi({value.data(), value.size()}, &queue)) queue = -1;
      context->queue = QueueId(queue);
    } else if (name == "x-raftmq-delay-level") {
      if (!absl::SimpleAtoi({value.data(), value.size()}, &context->delay_level)) {
        context->delay_level = 0;
      }
    } else if (name == "x-raftmq-ack-level") {
      context->ack_level = value;
    } else if (name == "x-raftmq-topic-created") {
      int64_t index = -1;
      // What is no number is no topic's.
      if (!absl::SimpleAtoi({value.data(), value.size()}, &index)) index = -1;
      context->topic_created = LogIndex(index);
    } else if (name == "x-raftmq-read") {
      context->read_level = value;
    } else if (name == "x-raftmq-min-applied-index") {
      int64_t index = -1;
      // What is no number is no entry of any log: the barrier says so.
      if (!absl::SimpleAtoi({value.data(), value.size()}, &index) || index < 0) {
        index = std::numeric_limits<int64_t>::max();
      }
      context->min_applied = LogIndex(index);
    } else if (name == "x-raftmq-forwarded") {
      context->forwarded = value == "1";
    } else if (name == "x-raftmq-renewal") {
      context->renewal = value == "1";
    } else if (name == "x-raftmq-nack") {
      context->nack = value == "1";
    } else if (name == "x-raftmq-client-peer") {
      context->peer = value;
    }
  }
  if (!context->forwarded || context->peer.empty()) context->peer = PeerAddress(grpc.peer());
  context->deadline_ms = DeadlineMillis(grpc, clock);
}

bool TurnAway(GrpcServerState* server, const CallContext& context) {
  if (!server->refusing.load(std::memory_order_relaxed) || context.forwarded) return false;
  server->listener->CloseClient(context.peer);
  return true;
}

absl::Status TurnedAway() {
  return absl::UnavailableError(
      "this member has no leader: clients are sent to the group's other members");
}

grpc::Status ToGrpcStatus(const absl::Status& status, grpc::ServerContext* grpc) {
  if (const std::optional<store::Reason> reason = store::ReasonOf(status)) {
    grpc->AddTrailingMetadata("x-raftmq-reason", std::string(store::ReasonName(*reason)));
  }
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(Message(status)));
}

absl::Status TooManyCalls(int bound) {
  return store::Refuse(
      store::Reason::kBusy,
      StrCat("this member has ", bound, " calls in flight, which is its bound: try again later"));
}

}  // namespace raftmq::broker
