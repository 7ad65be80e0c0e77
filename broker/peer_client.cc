#include "broker/peer_client.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "apache/rocketmq/v2/service.grpc.pb.h"
#include "base/strings.h"
#include "broker/cq_tag.h"
#include "broker/forwarding.h"
#include "broker/proto_time.h"
#include "raftmq/v1/admin.grpc.pb.h"
#include "store/reason.h"

namespace raftmq::broker {
namespace {

// A connection that never came up: gRPC 1.51's text, the only thing that tells it from one that
// broke after the request was sent.
constexpr std::string_view kNeverConnected = "failed to connect to all addresses";

std::optional<store::Reason> ReasonNamed(std::string_view name) {
  for (int i = 1; i <= static_cast<int>(store::Reason::kStopped); ++i) {
    const auto reason = static_cast<store::Reason>(i);
    if (store::ReasonName(reason) == name) return reason;
  }
  return std::nullopt;
}

PeerResult ResultOf(const grpc::Status& status, const grpc::ClientContext& context) {
  if (status.ok()) return {PeerResult::Kind::kAnswered, absl::OkStatus()};
  const auto& trailers = context.GetServerTrailingMetadata();
  if (const auto it = trailers.find("x-raftmq-reason"); it != trailers.end()) {
    const std::string_view name(it->second.data(), it->second.size());
    if (const auto reason = ReasonNamed(name)) {
      return {*reason == store::Reason::kNotLeader ? PeerResult::Kind::kNotLeader
                                                   : PeerResult::Kind::kRefused,
              store::Refuse(*reason, status.error_message())};
    }
  }
  const absl::Status error(static_cast<absl::StatusCode>(status.error_code()),
                           status.error_message());
  if (LeaderRouter::IsNotLeaderHere(error)) return {PeerResult::Kind::kNotLeader, error};
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE: {
      const bool never =
          std::string_view(status.error_message()).find(kNeverConnected) != std::string_view::npos;
      return {never ? PeerResult::Kind::kNotLeader : PeerResult::Kind::kBroken, error};
    }
    case grpc::StatusCode::CANCELLED:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
    case grpc::StatusCode::INTERNAL:
    case grpc::StatusCode::UNKNOWN:
      return {PeerResult::Kind::kBroken, error};
    default:
      return {PeerResult::Kind::kRefused, error};
  }
}

struct Peer {
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v2::MessagingService::Stub> messaging;
  std::unique_ptr<adm::Admin::Stub> admin;
};

std::shared_ptr<Peer> Connect(const std::string& address,
                              const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 500);  // also the time to connect
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 3'000);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  auto peer = std::make_shared<Peer>();
  peer->channel = grpc::CreateCustomChannel(address, credentials, arguments);
  peer->messaging = v2::MessagingService::NewStub(peer->channel);
  peer->admin = adm::Admin::NewStub(peer->channel);
  return peer;
}

}  // namespace

struct GrpcPeerClient::Impl {
  grpc::CompletionQueue* queue = nullptr;
  Clock* clock = nullptr;
  std::shared_ptr<grpc::ChannelCredentials> credentials;
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<Peer>> peers;
  // By address; value: whether it is a receive.
  std::map<std::string, std::map<grpc::ClientContext*, bool>> under_way;

  static constexpr size_t kMaxPeers = 256;

  std::shared_ptr<Peer> PeerAt(const std::string& address) {
    std::lock_guard lock(mutex);
    std::shared_ptr<Peer>& peer = peers[address];
    if (peer == nullptr) {
      if (peers.size() > kMaxPeers) {  // addresses of members that moved
        peers.clear();
        return peers[address] = Connect(address, credentials);
      }
      peer = Connect(address, credentials);
    }
    return peer;
  }

  void Begin(const std::string& address, grpc::ClientContext* context, bool receive) {
    std::lock_guard lock(mutex);
    under_way[address].emplace(context, receive);
  }
  void End(const std::string& address, grpc::ClientContext* context) {
    std::lock_guard lock(mutex);
    const auto it = under_way.find(address);
    it->second.erase(context);
    if (it->second.empty()) under_way.erase(it);
  }

  void FillContext(const CallContext& caller, int64_t deadline_ms, grpc::ClientContext* context) {
    context->AddMetadata("x-raftmq-forwarded", "1");
    if (caller.renewal) context->AddMetadata("x-raftmq-renewal", "1");
    if (caller.nack) context->AddMetadata("x-raftmq-nack", "1");
    context->AddMetadata("x-raftmq-client-peer", caller.peer);
    context->AddMetadata("x-mq-client-id", caller.client_id);
    context->AddMetadata("x-mq-language", std::string(ClientLanguageName(caller.language)));
    context->AddMetadata("x-mq-client-version", caller.client_version);
    if (caller.queue) context->AddMetadata("x-raftmq-queue-id", StrCat(*caller.queue));
    if (caller.delay_level != 0) {
      context->AddMetadata("x-raftmq-delay-level", StrCat(caller.delay_level));
    }
    if (!caller.ack_level.empty()) context->AddMetadata("x-raftmq-ack-level", caller.ack_level);
    if (caller.topic_created) {
      context->AddMetadata("x-raftmq-topic-created", StrCat(*caller.topic_created));
    }
    const int64_t left_ms = std::max<int64_t>(deadline_ms - clock->MonotonicMillis(), 1);
    context->set_deadline(
        gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(left_ms, GPR_TIMESPAN)));
  }
};

namespace {

using ImplPtr = std::shared_ptr<GrpcPeerClient::Impl>;

// One forwarded unary call; deletes itself.
template <typename Request, typename Response>
class ForwardedUnary final : public CqTag {
 public:
  template <typename Stub, typename Prepare>
  static void Start(const ImplPtr& impl, const std::string& address, int64_t deadline_ms,
                    std::shared_ptr<Peer> peer, Stub* stub, Prepare prepare,
                    Unary<Request, Response>* call, PeerClient::Done done) {
    auto* self = new ForwardedUnary(impl, address, std::move(peer), call, std::move(done));
    impl->FillContext(call->context(), deadline_ms, &self->context_);
    impl->Begin(address, &self->context_, /*receive=*/false);
    self->reader_ = (stub->*prepare)(&self->context_, call->request(), impl->queue);
    self->reader_->StartCall();
    self->reader_->Finish(call->response(), &self->status_, static_cast<CqTag*>(self));
  }

  void Proceed(bool) override {
    impl_->End(address_, &context_);
    PeerResult result = ResultOf(status_, context_);
    if (result.kind == PeerResult::Kind::kAnswered) {
      PassHeadersOn();
    } else {
      call_->response()->Clear();
    }
    PeerClient::Done done = std::move(done_);
    delete this;
    done(std::move(result));
  }

 private:
  ForwardedUnary(ImplPtr impl, std::string address, std::shared_ptr<Peer> peer,
                 Unary<Request, Response>* call, PeerClient::Done done)
      : impl_(std::move(impl)),
        address_(std::move(address)),
        peer_(std::move(peer)),
        call_(call),
        done_(std::move(done)) {}

  void PassHeadersOn() {
    for (const auto& [name, value] : context_.GetServerInitialMetadata()) {
      if (!name.starts_with("x-raftmq-")) continue;
      call_->AddHeader(std::string(name.data(), name.size()),
                       std::string(value.data(), value.size()));
    }
  }

  const ImplPtr impl_;
  const std::string address_;
  const std::shared_ptr<Peer> peer_;
  Unary<Request, Response>* const call_;
  PeerClient::Done done_;
  grpc::ClientContext context_;
  grpc::Status status_;
  std::unique_ptr<grpc::ClientAsyncResponseReader<Response>> reader_;
};

// One forwarded receive. Its answer, one batch of messages, is collected and passed on whole, so
// that a leader lost half-way leaves no half answer. Owns itself until gRPC is done with it.
class ForwardedReceive final : public CqTag, public std::enable_shared_from_this<ForwardedReceive> {
 public:
  static void Start(const ImplPtr& impl, const std::string& address, int64_t deadline_ms,
                    std::shared_ptr<Peer> peer, ReceiveMessageCall* call, PeerClient::Done done) {
    std::shared_ptr<ForwardedReceive> self(
        new ForwardedReceive(impl, address, std::move(peer), call, std::move(done)));
    self->self_ = self;
    impl->FillContext(call->context(), deadline_ms, &self->context_);
    impl->Begin(address, &self->context_, /*receive=*/true);
    self->reader_ = self->peer_->messaging->PrepareAsyncReceiveMessage(
        &self->context_, call->request(), impl->queue);
    // The client's going away is carried to the leader.
    call->OnCancel([self] {
      self->client_gone_.store(true);
      self->context_.TryCancel();
    });
    self->reader_->StartCall(self->tag());
  }

  void Proceed(bool ok) override {
    switch (state_) {
      case State::kStarting:
        state_ = State::kReading;
        if (ok) return reader_->Read(&incoming_, tag());
        break;
      case State::kReading:
        if (ok) {
          collected_.push_back(std::move(incoming_));
          incoming_.Clear();
          return reader_->Read(&incoming_, tag());
        }
        break;
      case State::kFinishing:
        return Finished();
    }
    state_ = State::kFinishing;
    reader_->Finish(&status_, tag());
  }

 private:
  enum class State { kStarting, kReading, kFinishing };

  // gRPC hands tags back as void*: always the CqTag part.
  CqTag* tag() { return this; }

  ForwardedReceive(ImplPtr impl, std::string address, std::shared_ptr<Peer> peer,
                   ReceiveMessageCall* call, PeerClient::Done done)
      : impl_(std::move(impl)),
        address_(std::move(address)),
        peer_(std::move(peer)),
        call_(call),
        done_(std::move(done)) {}

  void Finished() {
    const std::shared_ptr<ForwardedReceive> keep = std::move(self_);
    impl_->End(address_, &context_);
    PeerResult result = ResultOf(status_, context_);
    const bool any_message =
        std::any_of(collected_.begin(), collected_.end(),
                    [](const v2::ReceiveMessageResponse& r) { return r.has_message(); });
    if (result.kind == PeerResult::Kind::kAnswered || any_message || client_gone_.load()) {
      result.kind = PeerResult::Kind::kAnswered;
      PassOn();
    }
    PeerClient::Done done = std::move(done_);
    done(std::move(result));
  }

  void PassOn() {
    const bool complete = !collected_.empty() && collected_.back().has_delivery_timestamp();
    for (v2::ReceiveMessageResponse& response : collected_) call_->Write(std::move(response));
    if (!complete) {
      v2::ReceiveMessageResponse last;
      SetTimestamp(impl_->clock->WallMillis(), last.mutable_delivery_timestamp());
      call_->Write(std::move(last));
    }
    call_->Finish();
  }

  const ImplPtr impl_;
  const std::string address_;
  const std::shared_ptr<Peer> peer_;
  ReceiveMessageCall* const call_;
  PeerClient::Done done_;
  grpc::ClientContext context_;
  grpc::Status status_;
  std::unique_ptr<grpc::ClientAsyncReader<v2::ReceiveMessageResponse>> reader_;
  State state_ = State::kStarting;
  v2::ReceiveMessageResponse incoming_;
  std::vector<v2::ReceiveMessageResponse> collected_;
  std::atomic<bool> client_gone_{false};
  std::shared_ptr<ForwardedReceive> self_;
};

}  // namespace

GrpcPeerClient::GrpcPeerClient(grpc::CompletionQueue* queue, Clock* clock,
                               const TlsClientOptions& tls)
    : impl_(std::make_shared<Impl>()) {
  impl_->credentials = MakeChannelCredentials(tls);
  impl_->queue = queue;
  impl_->clock = clock;
}

GrpcPeerClient::~GrpcPeerClient() = default;

void GrpcPeerClient::BreakOffExcept(const std::string& address) {
  std::lock_guard lock(impl_->mutex);
  for (const auto& [other, contexts] : impl_->under_way) {
    if (other == address) continue;
    for (const auto& [context, receive] : contexts) context->TryCancel();
  }
}

void GrpcPeerClient::BreakOffReceives() {
  std::lock_guard lock(impl_->mutex);
  for (const auto& [address, contexts] : impl_->under_way) {
    for (const auto& [context, receive] : contexts) {
      if (receive) context->TryCancel();
    }
  }
}

void GrpcPeerClient::Forward(const std::string& address, int64_t deadline_ms,
                             ReceiveMessageCall* call, Done done) {
  ForwardedReceive::Start(impl_, address, deadline_ms, impl_->PeerAt(address), call,
                          std::move(done));
}

// The rest differ in the stub's method only.
#define RAFTMQ_FORWARD(CallType, Request, Response, stub, Method)                               \
  void GrpcPeerClient::Forward(const std::string& address, int64_t deadline_ms, CallType* call, \
                               Done done) {                                                     \
    std::shared_ptr<Peer> peer = impl_->PeerAt(address);                                        \
    auto* const stub_of_peer = peer->stub.get();                                                \
    ForwardedUnary<Request, Response>::Start(                                                   \
        impl_, address, deadline_ms, std::move(peer), stub_of_peer,                             \
        &std::remove_pointer_t<decltype(stub_of_peer)>::PrepareAsync##Method, call,             \
        std::move(done));                                                                       \
  }

RAFTMQ_FORWARD(SendMessageCall, v2::SendMessageRequest, v2::SendMessageResponse, messaging,
               SendMessage)
RAFTMQ_FORWARD(AckMessageCall, v2::AckMessageRequest, v2::AckMessageResponse, messaging, AckMessage)
RAFTMQ_FORWARD(ChangeInvisibleCall, v2::ChangeInvisibleDurationRequest,
               v2::ChangeInvisibleDurationResponse, messaging, ChangeInvisibleDuration)
RAFTMQ_FORWARD(UpdateOffsetCall, v2::UpdateOffsetRequest, v2::UpdateOffsetResponse, messaging,
               UpdateOffset)
RAFTMQ_FORWARD(GetOffsetCall, v2::GetOffsetRequest, v2::GetOffsetResponse, messaging, GetOffset)
RAFTMQ_FORWARD(EndTransactionCall, v2::EndTransactionRequest, v2::EndTransactionResponse, messaging,
               EndTransaction)
RAFTMQ_FORWARD(RecallMessageCall, v2::RecallMessageRequest, v2::RecallMessageResponse, messaging,
               RecallMessage)
RAFTMQ_FORWARD(ForwardToDeadLetterCall, v2::ForwardMessageToDeadLetterQueueRequest,
               v2::ForwardMessageToDeadLetterQueueResponse, messaging,
               ForwardMessageToDeadLetterQueue)
RAFTMQ_FORWARD(SyncLiteSubscriptionCall, v2::SyncLiteSubscriptionRequest,
               v2::SyncLiteSubscriptionResponse, messaging, SyncLiteSubscription)
RAFTMQ_FORWARD(UnsubscribeLiteCall, adm::UnsubscribeLiteRequest, adm::UnsubscribeLiteResponse,
               admin, UnsubscribeLite)
RAFTMQ_FORWARD(ListTransactionsCall, adm::ListTransactionsRequest, adm::ListTransactionsResponse,
               admin, ListTransactions)
RAFTMQ_FORWARD(ResolveTransactionCall, adm::ResolveTransactionRequest,
               adm::ResolveTransactionResponse, admin, ResolveTransaction)
RAFTMQ_FORWARD(CheckTransactionCall, adm::CheckTransactionRequest, adm::CheckTransactionResponse,
               admin, CheckTransaction)
RAFTMQ_FORWARD(RecoverTransactionCall, adm::RecoverTransactionRequest,
               adm::RecoverTransactionResponse, admin, RecoverTransaction)
RAFTMQ_FORWARD(UpdateTopicCall, adm::UpdateTopicRequest, adm::UpdateTopicResponse, admin,
               UpdateTopic)
RAFTMQ_FORWARD(DeleteTopicCall, adm::DeleteTopicRequest, adm::DeleteTopicResponse, admin,
               DeleteTopic)
RAFTMQ_FORWARD(UpdateGroupCall, adm::UpdateGroupRequest, adm::UpdateGroupResponse, admin,
               UpdateGroup)
RAFTMQ_FORWARD(DeleteGroupCall, adm::DeleteGroupRequest, adm::DeleteGroupResponse, admin,
               DeleteGroup)
RAFTMQ_FORWARD(MoveOffsetsCall, adm::MoveOffsetsRequest, adm::MoveOffsetsResponse, admin,
               MoveOffsets)
RAFTMQ_FORWARD(RedriveDeadLettersCall, adm::RedriveDeadLettersRequest,
               adm::RedriveDeadLettersResponse, admin, RedriveDeadLetters)
RAFTMQ_FORWARD(TransferLeadershipCall, adm::TransferLeadershipRequest,
               adm::TransferLeadershipResponse, admin, TransferLeadership)
RAFTMQ_FORWARD(ReadIndexCall, adm::ReadIndexRequest, adm::ReadIndexResponse, admin, ReadIndex)
RAFTMQ_FORWARD(ExpireMessagesCall, adm::ExpireMessagesRequest, adm::ExpireMessagesResponse, admin,
               ExpireMessages)
RAFTMQ_FORWARD(QueryRouteCall, v2::QueryRouteRequest, v2::QueryRouteResponse, messaging, QueryRoute)
RAFTMQ_FORWARD(QueryAssignmentCall, v2::QueryAssignmentRequest, v2::QueryAssignmentResponse,
               messaging, QueryAssignment)
RAFTMQ_FORWARD(GetGroupCall, adm::GetGroupRequest, adm::GetGroupResponse, admin, GetGroup)
RAFTMQ_FORWARD(ReportMemberCall, adm::ReportMemberRequest, adm::ReportMemberResponse, admin,
               ReportMember)
#undef RAFTMQ_FORWARD

}  // namespace raftmq::broker
