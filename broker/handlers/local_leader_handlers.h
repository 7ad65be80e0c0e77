// LocalLeaderHandlers: carries out leader calls with the handlers of this process.
#pragma once

#include "broker/handlers/admin_handlers.h"
#include "broker/handlers/messaging_handlers.h"
#include "broker/leader_calls.h"

namespace raftmq::broker {

class LocalLeaderHandlers final : public LocalLeader {
 public:
  // Before the first call; the handlers need the router, which needs this.
  void Set(MessagingHandlers* messaging, AdminHandlers* admin) {
    messaging_ = messaging;
    admin_ = admin;
  }

  void Execute(SendMessageCall* call) override { messaging_->Execute(call); }
  void Execute(ReceiveMessageCall* call) override { messaging_->Execute(call); }
  void Execute(AckMessageCall* call) override { messaging_->Execute(call); }
  void Execute(ChangeInvisibleCall* call) override { messaging_->Execute(call); }
  void Execute(UpdateOffsetCall* call) override { messaging_->Execute(call); }
  void Execute(GetOffsetCall* call) override { messaging_->Execute(call); }
  void Execute(EndTransactionCall* call) override { messaging_->Execute(call); }
  void Execute(RecallMessageCall* call) override { messaging_->Execute(call); }
  void Execute(ForwardToDeadLetterCall* call) override { messaging_->Execute(call); }
  void Execute(SyncLiteSubscriptionCall* call) override { messaging_->Execute(call); }
  void Execute(ListTransactionsCall* call) override { admin_->Execute(call); }
  void Execute(ResolveTransactionCall* call) override { admin_->Execute(call); }
  void Execute(CheckTransactionCall* call) override { admin_->Execute(call); }
  void Execute(UpdateTopicCall* call) override { admin_->Execute(call); }
  void Execute(DeleteTopicCall* call) override { admin_->Execute(call); }
  void Execute(UpdateGroupCall* call) override { admin_->Execute(call); }
  void Execute(DeleteGroupCall* call) override { admin_->Execute(call); }
  void Execute(MoveOffsetsCall* call) override { admin_->Execute(call); }
  void Execute(RedriveDeadLettersCall* call) override { admin_->Execute(call); }
  void Execute(TransferLeadershipCall* call) override { admin_->Execute(call); }
  void Execute(ReadIndexCall* call) override { admin_->Execute(call); }
  void Execute(ExpireMessagesCall* call) override { admin_->Execute(call); }
  void Execute(QueryRouteCall* call) override { messaging_->Execute(call); }
  void Execute(QueryAssignmentCall* call) override { messaging_->Execute(call); }
  void Execute(GetGroupCall* call) override { admin_->Execute(call); }

 private:
  MessagingHandlers* messaging_ = nullptr;
  AdminHandlers* admin_ = nullptr;
};

}  // namespace raftmq::broker
