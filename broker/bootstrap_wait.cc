#include "broker/bootstrap_wait.h"

#include <string>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "base/strings.h"
#include "broker/grpc_server.h"
#include "broker/member_status.h"
#include "dledger/group_configuration.h"
#include "dledger/identity.h"
#include "glog/logging.h"

namespace raftmq::broker {
namespace {

class BootstrapService final : public AdminService {
 public:
  BootstrapService(FileSystem* fs, std::string dir, adm::MemberIdentity identity)
      : fs_(fs), dir_(std::move(dir)), identity_(std::move(identity)) {}

  const absl::Notification& done() const { return done_; }

  void GetMemberStatus(GetMemberStatusCall* call) override {
    adm::GetMemberStatusResponse* response = call->response();
    *response->mutable_identity() = identity_;
    response->set_role(adm::NOT_BOOTSTRAPPED);
    response->set_version(kVersion);
    call->Finish();
  }

  // Blocks the completion queue for one small write: there is no other traffic.
  void Bootstrap(BootstrapCall* call) override {
    const absl::Status status = Install(call->request());
    if (!status.ok()) return call->Fail(status);
    call->Finish();
    absl::MutexLock lock(&mutex_);
    if (!done_.HasBeenNotified()) done_.Notify();
  }

  void TransferLeadership(TransferLeadershipCall* call) override { NotYet(call); }
  void ReadIndex(ReadIndexCall* call) override { NotYet(call); }
  void ReportMember(ReportMemberCall* call) override { NotYet(call); }
  void DumpState(DumpStateCall* call) override { NotYet(call); }
  void UpdateTopic(UpdateTopicCall* call) override { NotYet(call); }
  void DeleteTopic(DeleteTopicCall* call) override { NotYet(call); }
  void GetTopic(GetTopicCall* call) override { NotYet(call); }
  void ListTopics(ListTopicsCall* call) override { NotYet(call); }
  void TopicStatus(TopicStatusCall* call) override { NotYet(call); }
  void ListTransactions(ListTransactionsCall* call) override { NotYet(call); }
  void ResolveTransaction(ResolveTransactionCall* call) override { NotYet(call); }
  void CheckTransaction(CheckTransactionCall* call) override { NotYet(call); }
  void RecoverTransaction(RecoverTransactionCall* call) override { NotYet(call); }
  void UnsubscribeLite(UnsubscribeLiteCall* call) override { NotYet(call); }
  void UpdateGroup(UpdateGroupCall* call) override { NotYet(call); }
  void DeleteGroup(DeleteGroupCall* call) override { NotYet(call); }
  void GetGroup(GetGroupCall* call) override { NotYet(call); }
  void ListGroups(ListGroupsCall* call) override { NotYet(call); }
  void GroupProgress(GroupProgressCall* call) override { NotYet(call); }
  void MoveOffsets(MoveOffsetsCall* call) override { NotYet(call); }
  void ListOffsetMoves(ListOffsetMovesCall* call) override { NotYet(call); }
  void ListQueueHolds(ListQueueHoldsCall* call) override { NotYet(call); }
  void ExpireMessages(ExpireMessagesCall* call) override { NotYet(call); }
  void RedriveDeadLetters(RedriveDeadLettersCall* call) override { NotYet(call); }
  void ListClients(ListClientsCall* call) override { NotYet(call); }
  void QueryMessagesByKey(QueryMessagesByKeyCall* call) override { NotYet(call); }
  void MessageByOffset(MessageByOffsetCall* call) override { NotYet(call); }
  void MessageByPosition(MessageByPositionCall* call) override { NotYet(call); }

 private:
  template <typename Call>
  void NotYet(Call* call) {
    call->Fail(absl::UnavailableError(
        StrCat("member ", identity_.member_name(), " of group ", identity_.group(),
               " was not bootstrapped yet: run mqadmin bootstrap with all members")));
  }

  absl::Status Install(const adm::BootstrapRequest& request) {
    if (request.group() != identity_.group()) {
      return absl::FailedPreconditionError(
          StrCat("this member belongs to group ", identity_.group(), ", not to ", request.group()));
    }
    dledger::GroupConfiguration configuration;
    for (const adm::BootstrapMemberSpec& spec : request.members()) {
      dledger::ConfiguredMember member;
      member.id = MemberId(spec.id());
      member.name = spec.name();
      member.peer_address = spec.peer_address();
      member.incarnation = Incarnation(spec.incarnation());
      configuration.members.push_back(std::move(member));
    }
    RAFTMQ_RETURN_IF_ERROR(dledger::ValidateConfiguration(configuration));
    absl::MutexLock lock(&mutex_);
    return dledger::BootstrapMember(fs_, dir_, configuration);
  }

  FileSystem* const fs_;
  const std::string dir_;
  const adm::MemberIdentity identity_;
  absl::Mutex mutex_;
  absl::Notification done_;
};

}  // namespace

absl::Status WaitForBootstrap(FileSystem* fs, const std::string& dir,
                              const adm::MemberIdentity& identity, GrpcServer* server,
                              EventLoop* accept_loop, const std::function<bool()>& stop_requested) {
  LOG(INFO) << "member " << identity.member_name() << " of group " << identity.group()
            << " waits to be bootstrapped (mqadmin bootstrap), incarnation "
            << identity.incarnation();
  BootstrapService service(fs, dir, identity);
  server->Add(&service);
  RAFTMQ_RETURN_IF_ERROR(server->Start(accept_loop));
  bool stop = false;
  while (!stop && !service.done().WaitForNotificationWithTimeout(absl::Milliseconds(100))) {
    stop = stop_requested && stop_requested();
  }
  server->Stop(1'000);
  return stop ? absl::CancelledError("told to stop while waiting to be bootstrapped")
              : absl::OkStatus();
}

}  // namespace raftmq::broker
