// MessagingHandlers: RocketMQ's MessagingService over a MessageStore. Thin: each RPC checks what it
// was given, asks the store, and turns the answer into the protocol's. One source file per RPC.
//
// Called on completion-queue threads; never blocks. What needs the leader comes in by its RPC name,
// on any member, goes through the LeaderRouter and is carried out by Execute where the leader is.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/task_runner.h"
#include "broker/client_registry.h"
#include "broker/client_settings.h"
#include "broker/delay_levels.h"
#include "broker/forwarding.h"
#include "broker/group_view.h"
#include "broker/leader_calls.h"
#include "broker/lite_notices.h"
#include "broker/member_addresses.h"
#include "broker/messaging_service.h"
#include "broker/other_groups.h"
#include "broker/pull_waiters.h"
#include "broker/read_barrier.h"
#include "broker/receive_waiters.h"
#include "broker/renewals.h"
#include "broker/validation.h"
#include "dledger/ledger.h"
#include "store/dead_letter_queues.h"
#include "store/lite_topics.h"
#include "store/message_store.h"
#include "store/waiting_messages.h"

namespace raftmq::broker {

struct MessagingOptions {
  Limits limits;
  SettingsDefaults settings;
  bool auto_create_topic = false;    // autoCreateTopicEnable: by a send, never by a route
  int32_t default_topic_queues = 8;  // defaultTopicQueueNums
  // flushDiskType decides when a plain send is answered.
  dledger::AckLevel ack_level = dledger::AckLevel::kMajorityDisk;
  DelayLevels delay_levels;  // messageDelayLevel
  // A consumer that is more bytes than this behind the log's end is told which follower to pull
  // from. None: never (slaveReadEnable).
  std::optional<int64_t> bytes_behind_to_follower;
};

// All outlive the handlers.
struct MessagingDeps {
  store::MessageStore* store = nullptr;
  store::WaitingMessages* waiting = nullptr;
  store::DeadLetterQueues* dead_letters = nullptr;
  store::LiteTopics* lite_topics = nullptr;
  LiteNotices* lite_notices = nullptr;
  dledger::Ledger* ledger = nullptr;
  Clock* clock = nullptr;
  ClientRegistry* clients = nullptr;
  GroupView* group = nullptr;
  ReceiveWaiters* waiters = nullptr;
  PullWaiters* pull_waiters = nullptr;
  ReadBarrier* barrier = nullptr;
  MemberAddresses* addresses = nullptr;
  OtherGroups* others = nullptr;  // null: there is no NameServer
  LeaderRouter* router = nullptr;
  Renewals* renewals = nullptr;
  TaskRunner* reads = nullptr;  // runs what reads the disk
};

class MessagingHandlers final : public MessagingService {
 public:
  MessagingHandlers(MessagingOptions options, MessagingDeps deps)
      : options_(std::move(options)), deps_(deps) {}

  void QueryRoute(QueryRouteCall* call) override;
  void Heartbeat(HeartbeatCall* call) override;
  void SendMessage(SendMessageCall* call) override;
  void QueryAssignment(QueryAssignmentCall* call) override;
  void ReceiveMessage(ReceiveMessageCall* call) override;
  void AckMessage(AckMessageCall* call) override;
  void ForwardMessageToDeadLetterQueue(ForwardToDeadLetterCall* call) override;
  void PullMessage(PullMessageCall* call) override;
  void UpdateOffset(UpdateOffsetCall* call) override;
  void GetOffset(GetOffsetCall* call) override;
  void QueryOffset(QueryOffsetCall* call) override;
  void EndTransaction(EndTransactionCall* call) override;
  std::shared_ptr<TelemetryStream::Listener> Telemetry(
      std::shared_ptr<TelemetryStream> stream) override;
  void NotifyClientTermination(NotifyClientTerminationCall* call) override;
  void ChangeInvisibleDuration(ChangeInvisibleCall* call) override;
  void RecallMessage(RecallMessageCall* call) override;
  void SyncLiteSubscription(SyncLiteSubscriptionCall* call) override;

  // On the leader.
  void Execute(SendMessageCall* call);
  void Execute(ReceiveMessageCall* call);
  void Execute(AckMessageCall* call);
  void Execute(ChangeInvisibleCall* call);
  void Execute(UpdateOffsetCall* call);
  void Execute(GetOffsetCall* call);
  void Execute(QueryRouteCall* call);
  void Execute(QueryAssignmentCall* call);
  void Execute(EndTransactionCall* call);
  void Execute(RecallMessageCall* call);
  void Execute(ForwardToDeadLetterCall* call);
  void Execute(SyncLiteSubscriptionCall* call);

 private:
  // Every client says who it is; false: the call was ended with CLIENT_ID_REQUIRED.
  template <typename Call>
  bool HasClientId(Call* call) const;
  // Ends the call with the error, or takes it back to the router if this member does not lead.
  template <typename Call>
  void EndOrReroute(Call* call, const absl::Status& status) const;

  // Whether the leader must be asked what this member's applied state says of the topic: it may be
  // behind.
  template <typename Call>
  bool MustAskLeader(Call* call, const std::string& topic) const;
  // All groups that serve the topic, by broker name; NotFound if there is none. `routed` is called
  // once, at once or on some thread.
  using Routed = absl::AnyInvocable<void(absl::StatusOr<std::vector<GroupRoute>>)>;
  void Route(const std::string& topic, Routed routed);

  void Send(SendMessageCall* call, bool may_create_topic);
  void FinishSend(SendMessageCall* call, const std::vector<store::SendResult>& results) const;
  void SendCreatingTopic(SendMessageCall* call);
  void FinishAck(AckMessageCall* call, const std::vector<std::string>& topics,
                 const std::vector<absl::Status>& results);
  void FinishReceive(ReceiveMessageCall* call, const store::ReceiveResult& result) const;
  void FillFromSettings(ReceiveMessageCall* call);
  absl::Status CheckKindOfClient(const ReceiveMessageCall& call) const;
  void WatchDeliveries(ReceiveMessageCall* call);
  void GiveBack(const Renewals::Lease& lease);
  // One pull, over all its looks at the queue.
  struct OpenPull {
    PullMessageCall* call = nullptr;
    store::MessageFilter filter;
    QueueOffset offset;    // where to look next
    int64_t until_ms = 0;  // waits that long for a message, monotonic
    LogPosition read_to;   // where the last message that was looked at ends
    std::optional<PullWaiters::WaiterId> waiter;
  };
  void Pull(const std::shared_ptr<OpenPull>& pull);
  void ParkPull(const std::shared_ptr<OpenPull>& pull);
  void FinishPull(const OpenPull& pull,
                  absl::StatusOr<std::vector<v2::PullMessageResponse>> messages) const;
  // Where the consumer had better pull next; "": where it does.
  std::string SuggestRead(const OpenPull& pull) const;
  void WhenFresh(const CallContext& context, ReadBarrier::Done then, int64_t then_ms = 0) const;
  void QueryOffsetHere(QueryOffsetCall* call);
  void QueryOffsetByTime(QueryOffsetCall* call);
  bool IsOrderly(const std::string& group) const;
  void LeaveLiteTopics(const CallContext& of, const ClientRecord& client);

  const MessagingOptions options_;
  const MessagingDeps deps_;
};

template <typename Call>
bool MessagingHandlers::HasClientId(Call* call) const {
  if (!call->context().client_id.empty()) return true;
  FinishWithError(call, store::Refuse(store::Reason::kClientIdRequired,
                                      "the header x-mq-client-id is missing or empty"));
  return false;
}

template <typename Call>
bool MessagingHandlers::MustAskLeader(Call* call, const std::string& topic) const {
  if (call->context().forwarded) return true;  // which is this member, or it says so
  const std::shared_ptr<const dledger::LedgerStatus> status = deps_.ledger->Status();
  if (LeaderRouter::Leads(*status)) return false;
  return !deps_.group->CaughtUp(*status) || !deps_.store->FindTopic(topic).ok();
}

// For calls about one message: some client libraries take MESSAGE_NOT_FOUND, which an empty receive
// has, for success in any answer. NOT_FOUND they do not.
inline absl::Status AsPlainNotFound(const absl::Status& status) {
  return store::ReasonOf(status) == store::Reason::kMessageNotFound
             ? absl::NotFoundError(status.message())
             : status;
}

template <typename Call>
void MessagingHandlers::EndOrReroute(Call* call, const absl::Status& status) const {
  if (LeaderRouter::IsForAnotherMember(status)) {
    deps_.router->NotLeader(call);
  } else {
    FinishWithError(call, status);
  }
}

}  // namespace raftmq::broker
