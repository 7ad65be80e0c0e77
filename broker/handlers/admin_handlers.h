// AdminHandlers: raftmq.v1.Admin over a MessageStore and a Ledger.
//
// Called on completion-queue threads; never blocks: what reads the disk runs on `reads`. Changes go
// through the LeaderRouter and are carried out by Execute where the leader is. What reads the
// replicated state is as fresh as the caller asks (ReadBarrier).
#pragma once

#include <string>

#include "absl/functional/any_invocable.h"
#include "base/clock.h"
#include "base/task_runner.h"
#include "broker/admin_service.h"
#include "broker/client_registry.h"
#include "broker/forwarding.h"
#include "broker/group_members.h"
#include "broker/group_view.h"
#include "broker/lite_notices.h"
#include "broker/orphan_recovery.h"
#include "broker/read_barrier.h"
#include "broker/receive_waiters.h"
#include "dledger/ledger.h"
#include "dledger/read_index.h"
#include "store/dead_letter_queues.h"
#include "store/lite_topics.h"
#include "store/message_store.h"
#include "store/retention.h"
#include "store/waiting_messages.h"

namespace raftmq::broker {

// All outlive the handlers.
struct AdminDeps {
  store::MessageStore* store = nullptr;
  store::WaitingMessages* waiting = nullptr;
  store::DeadLetterQueues* dead_letters = nullptr;
  store::Retention* retention = nullptr;
  store::LiteTopics* lite_topics = nullptr;
  OrphanRecovery* recovery = nullptr;
  LiteNotices* lite_notices = nullptr;
  dledger::Ledger* ledger = nullptr;
  dledger::ReadIndexSource* read_index = nullptr;
  ReadBarrier* barrier = nullptr;
  Clock* clock = nullptr;
  ClientRegistry* clients = nullptr;
  GroupMembers* members = nullptr;
  GroupView* group = nullptr;
  ReceiveWaiters* waiters = nullptr;
  LeaderRouter* router = nullptr;
  TaskRunner* reads = nullptr;
};

struct AdminOptions {
  adm::MemberIdentity identity;
  int32_t default_topic_queues = 8;
  store::Retention::Limits retention;  // of ExpireMessages
};

class AdminHandlers final : public AdminService {
 public:
  AdminHandlers(AdminOptions options, AdminDeps deps) : options_(std::move(options)), deps_(deps) {}

  void GetMemberStatus(GetMemberStatusCall* call) override;
  void Bootstrap(BootstrapCall* call) override;
  void TransferLeadership(TransferLeadershipCall* call) override;
  void ReadIndex(ReadIndexCall* call) override;
  void ReportMember(ReportMemberCall* call) override;
  void ExpireMessages(ExpireMessagesCall* call) override;
  void DumpState(DumpStateCall* call) override;
  void UpdateTopic(UpdateTopicCall* call) override;
  void DeleteTopic(DeleteTopicCall* call) override;
  void GetTopic(GetTopicCall* call) override;
  void ListTopics(ListTopicsCall* call) override;
  void TopicStatus(TopicStatusCall* call) override;
  void ListTransactions(ListTransactionsCall* call) override;
  void ResolveTransaction(ResolveTransactionCall* call) override;
  void CheckTransaction(CheckTransactionCall* call) override;
  void RecoverTransaction(RecoverTransactionCall* call) override;
  void UnsubscribeLite(UnsubscribeLiteCall* call) override;
  void UpdateGroup(UpdateGroupCall* call) override;
  void DeleteGroup(DeleteGroupCall* call) override;
  void GetGroup(GetGroupCall* call) override;
  void ListGroups(ListGroupsCall* call) override;
  void GroupProgress(GroupProgressCall* call) override;
  void MoveOffsets(MoveOffsetsCall* call) override;
  void ListOffsetMoves(ListOffsetMovesCall* call) override;
  void ListQueueHolds(ListQueueHoldsCall* call) override;
  void RedriveDeadLetters(RedriveDeadLettersCall* call) override;
  void ListClients(ListClientsCall* call) override;
  void QueryMessagesByKey(QueryMessagesByKeyCall* call) override;
  void MessageByOffset(MessageByOffsetCall* call) override;
  void MessageByPosition(MessageByPositionCall* call) override;

  // On the leader.
  void Execute(UpdateTopicCall* call);
  void Execute(DeleteTopicCall* call);
  void Execute(ListTransactionsCall* call);
  void Execute(ResolveTransactionCall* call);
  void Execute(CheckTransactionCall* call);
  void Execute(UpdateGroupCall* call);
  void Execute(DeleteGroupCall* call);
  void Execute(GetGroupCall* call);
  void Execute(MoveOffsetsCall* call);
  void Execute(RedriveDeadLettersCall* call);
  void Execute(TransferLeadershipCall* call);
  void Execute(ReadIndexCall* call);
  void Execute(ExpireMessagesCall* call);

 private:
  void AddLiteTopics(TopicStatusCall* call) const;
  // Runs `read` on the reading runner, when what it reads is as fresh as `call` asks.
  template <typename Call>
  void Read(Call* call, absl::AnyInvocable<void()> read) {
    if (!ReadBarrier::IsAskedFor(call->context())) return deps_.reads->Post(std::move(read));
    deps_.barrier->Await(call->context(), /*then_ms=*/0,
                         [this, call, read = std::move(read)](const absl::Status& fresh) mutable {
                           if (!fresh.ok()) return call->Fail(fresh);
                           deps_.reads->Post(std::move(read));
                         });
  }
  template <typename Call>
  void EndOrReroute(Call* call, const absl::Status& status) {
    if (LeaderRouter::IsForAnotherMember(status)) {
      deps_.router->NotLeader(call);
    } else {
      call->Fail(status);
    }
  }

  const AdminOptions options_;
  const AdminDeps deps_;
};

}  // namespace raftmq::broker
