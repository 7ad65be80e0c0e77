#include "broker/grpc_binding.h"
#include "broker/grpc_server_stream.h"
#include "broker/grpc_unary.h"
#include "broker/status_mapping.h"
#include "raftmq/v1/admin.grpc.pb.h"

namespace raftmq::broker {
namespace {

class AdminBinding final : public GrpcBinding {
 public:
  AdminBinding(GrpcServerState* server, AdminService* service)
      : server_(server), handlers_(service) {
    using A = adm::Admin::AsyncService;
    using S = AdminService;
    Unary(&A::RequestGetMemberStatus, &S::GetMemberStatus);
    Unary(&A::RequestBootstrap, &S::Bootstrap);
    Unary(&A::RequestTransferLeadership, &S::TransferLeadership);
    Unary(&A::RequestReadIndex, &S::ReadIndex);
    Unary(&A::RequestExpireMessages, &S::ExpireMessages);
    Unary(&A::RequestReportMember, &S::ReportMember);
    Unary(&A::RequestUpdateTopic, &S::UpdateTopic);
    Unary(&A::RequestDeleteTopic, &S::DeleteTopic);
    Unary(&A::RequestGetTopic, &S::GetTopic);
    Unary(&A::RequestListTopics, &S::ListTopics);
    Unary(&A::RequestTopicStatus, &S::TopicStatus);
    Unary(&A::RequestListTransactions, &S::ListTransactions);
    Unary(&A::RequestResolveTransaction, &S::ResolveTransaction);
    Unary(&A::RequestCheckTransaction, &S::CheckTransaction);
    Unary(&A::RequestRecoverTransaction, &S::RecoverTransaction);
    Unary(&A::RequestUnsubscribeLite, &S::UnsubscribeLite);
    Unary(&A::RequestUpdateGroup, &S::UpdateGroup);
    Unary(&A::RequestDeleteGroup, &S::DeleteGroup);
    Unary(&A::RequestGetGroup, &S::GetGroup);
    Unary(&A::RequestListGroups, &S::ListGroups);
    Unary(&A::RequestGroupProgress, &S::GroupProgress);
    Unary(&A::RequestMoveOffsets, &S::MoveOffsets);
    Unary(&A::RequestListOffsetMoves, &S::ListOffsetMoves);
    Unary(&A::RequestListQueueHolds, &S::ListQueueHolds);
    Unary(&A::RequestRedriveDeadLetters, &S::RedriveDeadLetters);
    Unary(&A::RequestListClients, &S::ListClients);
    Unary(&A::RequestQueryMessagesByKey, &S::QueryMessagesByKey);
    Unary(&A::RequestMessageByOffset, &S::MessageByOffset);
    Unary(&A::RequestMessageByPosition, &S::MessageByPosition);
    methods_.push_back(
        std::make_unique<GrpcServerStreamMethod<adm::DumpStateRequest, adm::DumpStateResponse>>(
            server_,
            [this](auto* context, auto* message, auto* writer, auto* queue, CqTag* tag) {
              service_.RequestDumpState(context, message, writer, queue, queue, tag);
            },
            [this](auto* call) {
              KeepConnection(call->context());
              handlers_->DumpState(call);
            },
            [this](auto* call) { call->Fail(TooManyCalls(server_->max_in_flight)); }));
  }

  grpc::Service* service() override { return &service_; }

 private:
  template <typename Base, typename Request, typename Response>
  void Unary(void (Base::*request)(grpc::ServerContext*, Request*,
                                   grpc::ServerAsyncResponseWriter<Response>*,
                                   grpc::CompletionQueue*, grpc::ServerCompletionQueue*, void*),
             void (AdminService::*handler)(broker::Unary<Request, Response>*)) {
    methods_.push_back(std::make_unique<GrpcUnaryMethod<Request, Response>>(
        server_,
        [this, request](auto* context, auto* message, auto* writer, auto* queue, CqTag* tag) {
          (static_cast<Base&>(service_).*request)(context, message, writer, queue, queue, tag);
        },
        [this, handler](auto* call) {
          KeepConnection(call->context());
          (handlers_->*handler)(call);
        },
        [this](auto* call) { call->Fail(TooManyCalls(server_->max_in_flight)); }));
  }

  // An operator is served when clients are sent away; members' connections carry clients' calls.
  void KeepConnection(const CallContext& context) {
    if (!context.forwarded) server_->listener->KeepForOperator(context.peer);
  }

  GrpcServerState* const server_;
  AdminService* const handlers_;
  adm::Admin::AsyncService service_;
};

}  // namespace

std::unique_ptr<GrpcBinding> BindAdmin(GrpcServerState* server, AdminService* service) {
  return std::make_unique<AdminBinding>(server, service);
}

}  // namespace raftmq::broker
