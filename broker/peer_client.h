// GrpcPeerClient: PeerClient over gRPC, on the server's completion queue. One connection to each
// member, TLS or plaintext as the options say.
#pragma once

#include <memory>
#include <string>

#include "base/channel_credentials.h"
#include "base/clock.h"
#include "broker/leader_calls.h"

namespace grpc {
class CompletionQueue;
}

namespace raftmq::broker {

class GrpcPeerClient final : public PeerClient {
 public:
  // Both outlive it; the queue is polled until all calls have ended.
  GrpcPeerClient(grpc::CompletionQueue* queue, Clock* clock, const TlsClientOptions& tls);
  ~GrpcPeerClient() override;

  void Forward(const std::string& address, int64_t deadline_ms, SendMessageCall* call,
               Done done) override;
  void Forward(const std::string& address, int64_t deadline_ms, ReceiveMessageCall* call,
               Done done) override;
  void Forward(const std::string& address, int64_t deadline_ms, AckMessageCall* call,
               Done done) override;
  void Forward(const std::string& address, int64_t deadline_ms, ChangeInvisibleCall* call,
               Done done) override;
  void Forward(const std::string& address, int64_t deadline_ms, UpdateOffsetCall* call,
               Done done) override;
  void Forward(const std::string& address, int64_t deadline_ms, GetOffsetCall* call,
               Done done) override;
  void Forward(const std::string& address, int64_t deadline_ms, EndTransactionCall* call,
               Done done) override;
  void Forward(const std::string& address, int64_t deadline_ms, ForwardToDeadLetterCall* call,
               Done done) override;
  void Forward(const std::string& address, int64_t deadline_ms, RedriveDeadLettersCall* call,
               Done done) override;
  void Forward(const std::string& address, int64_t deadline_ms, RecallMessageCall* call,
               Done done) override;
  void Forward(const std::string& address, int64_t deadline_ms, SyncLiteSubscriptionCall* call,
               Done done) override;
  void Forward(const std::string& address, int64_t deadline_ms, UnsubscribeLiteCall* call,
               Done done) override;
  void Forward(const std::string& address, int64_t deadline_ms, ListTransactionsCall* call,
               Done done) override;
  void Forward(const std::string& address, int64_t deadline_ms, ResolveTransactionCall* call,
               Done done) override;
  void Forward(const std::string& address, int64_t deadline_ms, CheckTransactionCall* call,
               Done done) override;
  void Forward(const std::string& address, int64_t deadline_ms, RecoverTransactionCall* call,
               Done done) override;
  void Forward(const std::string& address, int64_t deadline_ms, ExpireMessagesCall* call,
               Done done) override;
  void Forward(const std::string& address, int64_t deadline_ms, UpdateTopicCall* call,
               Done done) override;
  void Forward(const std::string& address, int64_t deadline_ms, DeleteTopicCall* call,
               Done done) override;
  void Forward(const std::string& address, int64_t deadline_ms, UpdateGroupCall* call,
               Done done) override;
  void Forward(const std::string& address, int64_t deadline_ms, DeleteGroupCall* call,
               Done done) override;
  void Forward(const std::string& address, int64_t deadline_ms, MoveOffsetsCall* call,
               Done done) override;
  void Forward(const std::string& address, int64_t deadline_ms, TransferLeadershipCall* call,
               Done done) override;
  void Forward(const std::string& address, int64_t deadline_ms, ReadIndexCall* call,
               Done done) override;
  void Forward(const std::string& address, int64_t deadline_ms, QueryRouteCall* call,
               Done done) override;
  void Forward(const std::string& address, int64_t deadline_ms, QueryAssignmentCall* call,
               Done done) override;
  void Forward(const std::string& address, int64_t deadline_ms, GetGroupCall* call,
               Done done) override;
  // Not on a client's behalf: this member's own report.
  void Forward(const std::string& address, int64_t deadline_ms, ReportMemberCall* call, Done done);

  // The leader serves at `address` now: calls under way to other members are broken off, so that
  // they need not wait for a dead one.
  void BreakOffExcept(const std::string& address);
  // Breaks off the receives, which may wait for long; for shutting down.
  void BreakOffReceives();

  struct Impl;  // known to the source file only

 private:
  const std::shared_ptr<Impl> impl_;
};

}  // namespace raftmq::broker
