// raftmq.v1.Admin without gRPC: what the server calls, what the broker implements (handlers/).
//
// Methods are called on completion-queue threads and must not block; see call.h. They end with Fail
// for a refusal: its reason travels in the trailing metadata `x-raftmq-reason`.
#pragma once

#include "broker/call.h"
#include "raftmq/v1/admin.pb.h"

namespace raftmq::broker {

namespace adm = ::raftmq::v1;

using GetMemberStatusCall = Unary<adm::GetMemberStatusRequest, adm::GetMemberStatusResponse>;
using BootstrapCall = Unary<adm::BootstrapRequest, adm::BootstrapResponse>;
using TransferLeadershipCall =
    Unary<adm::TransferLeadershipRequest, adm::TransferLeadershipResponse>;
using ReadIndexCall = Unary<adm::ReadIndexRequest, adm::ReadIndexResponse>;
using ReportMemberCall = Unary<adm::ReportMemberRequest, adm::ReportMemberResponse>;
using ExpireMessagesCall = Unary<adm::ExpireMessagesRequest, adm::ExpireMessagesResponse>;
using DumpStateCall = ServerStream<adm::DumpStateRequest, adm::DumpStateResponse>;
using UpdateTopicCall = Unary<adm::UpdateTopicRequest, adm::UpdateTopicResponse>;
using DeleteTopicCall = Unary<adm::DeleteTopicRequest, adm::DeleteTopicResponse>;
using GetTopicCall = Unary<adm::GetTopicRequest, adm::GetTopicResponse>;
using ListTopicsCall = Unary<adm::ListTopicConfigsRequest, adm::ListTopicConfigsResponse>;
using TopicStatusCall = Unary<adm::TopicStatusRequest, adm::TopicStatusResponse>;
using ListTransactionsCall = Unary<adm::ListTransactionsRequest, adm::ListTransactionsResponse>;
using ResolveTransactionCall =
    Unary<adm::ResolveTransactionRequest, adm::ResolveTransactionResponse>;
using CheckTransactionCall = Unary<adm::CheckTransactionRequest, adm::CheckTransactionResponse>;
using RecoverTransactionCall =
    Unary<adm::RecoverTransactionRequest, adm::RecoverTransactionResponse>;
using UnsubscribeLiteCall = Unary<adm::UnsubscribeLiteRequest, adm::UnsubscribeLiteResponse>;
using UpdateGroupCall = Unary<adm::UpdateGroupRequest, adm::UpdateGroupResponse>;
using DeleteGroupCall = Unary<adm::DeleteGroupRequest, adm::DeleteGroupResponse>;
using GetGroupCall = Unary<adm::GetGroupRequest, adm::GetGroupResponse>;
using ListGroupsCall = Unary<adm::ListGroupsRequest, adm::ListGroupsResponse>;
using GroupProgressCall = Unary<adm::GroupProgressRequest, adm::GroupProgressResponse>;
using MoveOffsetsCall = Unary<adm::MoveOffsetsRequest, adm::MoveOffsetsResponse>;
using ListOffsetMovesCall = Unary<adm::ListOffsetMovesRequest, adm::ListOffsetMovesResponse>;
using ListQueueHoldsCall = Unary<adm::ListQueueHoldsRequest, adm::ListQueueHoldsResponse>;
using RedriveDeadLettersCall =
    Unary<adm::RedriveDeadLettersRequest, adm::RedriveDeadLettersResponse>;
using ListClientsCall = Unary<adm::ListClientsRequest, adm::ListClientsResponse>;
using QueryMessagesByKeyCall = Unary<adm::QueryMessagesByKeyRequest, adm::QueryMessagesResponse>;
using MessageByOffsetCall = Unary<adm::MessageByOffsetRequest, adm::QueryMessagesResponse>;
using MessageByPositionCall = Unary<adm::MessageByPositionRequest, adm::QueryMessagesResponse>;

class AdminService {
 public:
  virtual ~AdminService() = default;

  virtual void GetMemberStatus(GetMemberStatusCall* call) = 0;
  virtual void Bootstrap(BootstrapCall* call) = 0;
  virtual void TransferLeadership(TransferLeadershipCall* call) = 0;
  virtual void ReportMember(ReportMemberCall* call) = 0;
  virtual void ReadIndex(ReadIndexCall* call) = 0;
  virtual void ExpireMessages(ExpireMessagesCall* call) = 0;
  virtual void DumpState(DumpStateCall* call) = 0;
  virtual void UpdateTopic(UpdateTopicCall* call) = 0;
  virtual void DeleteTopic(DeleteTopicCall* call) = 0;
  virtual void GetTopic(GetTopicCall* call) = 0;
  virtual void ListTopics(ListTopicsCall* call) = 0;
  virtual void TopicStatus(TopicStatusCall* call) = 0;
  virtual void ListTransactions(ListTransactionsCall* call) = 0;
  virtual void ResolveTransaction(ResolveTransactionCall* call) = 0;
  virtual void CheckTransaction(CheckTransactionCall* call) = 0;
  virtual void RecoverTransaction(RecoverTransactionCall* call) = 0;
  virtual void UnsubscribeLite(UnsubscribeLiteCall* call) = 0;
  virtual void UpdateGroup(UpdateGroupCall* call) = 0;
  virtual void DeleteGroup(DeleteGroupCall* call) = 0;
  virtual void GetGroup(GetGroupCall* call) = 0;
  virtual void ListGroups(ListGroupsCall* call) = 0;
  virtual void GroupProgress(GroupProgressCall* call) = 0;
  virtual void MoveOffsets(MoveOffsetsCall* call) = 0;
  virtual void ListOffsetMoves(ListOffsetMovesCall* call) = 0;
  virtual void ListQueueHolds(ListQueueHoldsCall* call) = 0;
  virtual void RedriveDeadLetters(RedriveDeadLettersCall* call) = 0;
  virtual void ListClients(ListClientsCall* call) = 0;
  virtual void QueryMessagesByKey(QueryMessagesByKeyCall* call) = 0;
  virtual void MessageByOffset(MessageByOffsetCall* call) = 0;
  virtual void MessageByPosition(MessageByPositionCall* call) = 0;
};

}  // namespace raftmq::broker
