// The calls that need the leader, and the two places where they can be carried out: here
// (LocalLeader, implemented by the handlers) or at another member (PeerClient).
#pragma once

#include <cstdint>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "broker/admin_service.h"
#include "broker/messaging_service.h"

namespace raftmq::broker {

// Carries out a call on this member, which leads, and ends it; or gives it back with
// LeaderRouter::NotLeader while nothing has happened yet. Must not block.
class LocalLeader {
 public:
  virtual ~LocalLeader() = default;
  virtual void Execute(SendMessageCall* call) = 0;
  virtual void Execute(ReceiveMessageCall* call) = 0;
  virtual void Execute(AckMessageCall* call) = 0;
  virtual void Execute(ChangeInvisibleCall* call) = 0;
  virtual void Execute(UpdateOffsetCall* call) = 0;
  virtual void Execute(GetOffsetCall* call) = 0;
  virtual void Execute(EndTransactionCall* call) = 0;
  virtual void Execute(RecallMessageCall* call) = 0;
  virtual void Execute(ForwardToDeadLetterCall* call) = 0;
  virtual void Execute(SyncLiteSubscriptionCall* call) = 0;
  virtual void Execute(ListTransactionsCall* call) = 0;
  virtual void Execute(ResolveTransactionCall* call) = 0;
  virtual void Execute(CheckTransactionCall* call) = 0;
  virtual void Execute(UpdateTopicCall* call) = 0;
  virtual void Execute(DeleteTopicCall* call) = 0;
  virtual void Execute(UpdateGroupCall* call) = 0;
  virtual void Execute(DeleteGroupCall* call) = 0;
  virtual void Execute(MoveOffsetsCall* call) = 0;
  virtual void Execute(RedriveDeadLettersCall* call) = 0;
  virtual void Execute(TransferLeadershipCall* call) = 0;
  virtual void Execute(ReadIndexCall* call) = 0;
  virtual void Execute(ExpireMessagesCall* call) = 0;
  // Reads, which any member carries out by itself while it knows enough.
  virtual void Execute(QueryRouteCall* call) = 0;
  virtual void Execute(QueryAssignmentCall* call) = 0;
  virtual void Execute(GetGroupCall* call) = 0;
};

// Whether a call may be made again when it is not known if it took effect: its second effect is
// none, or is taken back by itself (a lease that nobody uses ends).
template <typename Call>
inline constexpr bool kSafeToRepeat = true;
template <>
inline constexpr bool kSafeToRepeat<SendMessageCall> = false;
template <>
inline constexpr bool kSafeToRepeat<RecallMessageCall> = false;
template <>
inline constexpr bool kSafeToRepeat<DeleteTopicCall> = false;
template <>
inline constexpr bool kSafeToRepeat<DeleteGroupCall> = false;
template <>
inline constexpr bool kSafeToRepeat<MoveOffsetsCall> = false;  // an undo of the latest is another
template <>
inline constexpr bool kSafeToRepeat<TransferLeadershipCall> = false;

struct PeerResult {
  enum class Kind {
    kAnswered,   // the response is filled in; a stream's responses were passed on and it was ended
    kRefused,    // the member ended the call with `status` as gRPC's: pass that on
    kNotLeader,  // it certainly did nothing: it does not lead, or could not be reached
    kBroken,     // nothing is known of what it did
  };
  Kind kind = Kind::kBroken;
  absl::Status status;
};

// Makes calls of other members, on the caller's behalf: marked as forwarded, with the caller's id,
// language and address. Thread-safe; `done` runs on a completion-queue thread, exactly once.
class PeerClient {
 public:
  virtual ~PeerClient() = default;
  using Done = absl::AnyInvocable<void(PeerResult)>;
  // `address`: host:port of the other member's client service. `deadline_ms`: monotonic.
  virtual void Forward(const std::string& address, int64_t deadline_ms, SendMessageCall* call,
                       Done done) = 0;
  virtual void Forward(const std::string& address, int64_t deadline_ms, ReceiveMessageCall* call,
                       Done done) = 0;
  virtual void Forward(const std::string& address, int64_t deadline_ms, AckMessageCall* call,
                       Done done) = 0;
  virtual void Forward(const std::string& address, int64_t deadline_ms, ChangeInvisibleCall* call,
                       Done done) = 0;
  virtual void Forward(const std::string& address, int64_t deadline_ms, UpdateOffsetCall* call,
                       Done done) = 0;
  virtual void Forward(const std::string& address, int64_t deadline_ms, GetOffsetCall* call,
                       Done done) = 0;
  virtual void Forward(const std::string& address, int64_t deadline_ms, EndTransactionCall* call,
                       Done done) = 0;
  virtual void Forward(const std::string& address, int64_t deadline_ms, RecallMessageCall* call,
                       Done done) = 0;
  virtual void Forward(const std::string& address, int64_t deadline_ms,
                       ForwardToDeadLetterCall* call, Done done) = 0;
  virtual void Forward(const std::string& address, int64_t deadline_ms,
                       SyncLiteSubscriptionCall* call, Done done) = 0;
  // To any member: it is that member's clients that are told.
  virtual void Forward(const std::string& address, int64_t deadline_ms, UnsubscribeLiteCall* call,
                       Done done) = 0;
  virtual void Forward(const std::string& address, int64_t deadline_ms, ListTransactionsCall* call,
                       Done done) = 0;
  virtual void Forward(const std::string& address, int64_t deadline_ms,
                       ResolveTransactionCall* call, Done done) = 0;
  virtual void Forward(const std::string& address, int64_t deadline_ms, CheckTransactionCall* call,
                       Done done) = 0;
  // To any member: it is that member's clients that are asked.
  virtual void Forward(const std::string& address, int64_t deadline_ms,
                       RecoverTransactionCall* call, Done done) = 0;
  virtual void Forward(const std::string& address, int64_t deadline_ms, UpdateTopicCall* call,
                       Done done) = 0;
  virtual void Forward(const std::string& address, int64_t deadline_ms, DeleteTopicCall* call,
                       Done done) = 0;
  virtual void Forward(const std::string& address, int64_t deadline_ms, UpdateGroupCall* call,
                       Done done) = 0;
  virtual void Forward(const std::string& address, int64_t deadline_ms, DeleteGroupCall* call,
                       Done done) = 0;
  virtual void Forward(const std::string& address, int64_t deadline_ms, MoveOffsetsCall* call,
                       Done done) = 0;
  virtual void Forward(const std::string& address, int64_t deadline_ms,
                       RedriveDeadLettersCall* call, Done done) = 0;
  virtual void Forward(const std::string& address, int64_t deadline_ms,
                       TransferLeadershipCall* call, Done done) = 0;
  virtual void Forward(const std::string& address, int64_t deadline_ms, ReadIndexCall* call,
                       Done done) = 0;
  virtual void Forward(const std::string& address, int64_t deadline_ms, ExpireMessagesCall* call,
                       Done done) = 0;
  virtual void Forward(const std::string& address, int64_t deadline_ms, QueryRouteCall* call,
                       Done done) = 0;
  virtual void Forward(const std::string& address, int64_t deadline_ms, QueryAssignmentCall* call,
                       Done done) = 0;
  virtual void Forward(const std::string& address, int64_t deadline_ms, GetGroupCall* call,
                       Done done) = 0;
};

}  // namespace raftmq::broker
