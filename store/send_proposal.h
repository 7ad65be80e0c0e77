// SendProposal: messages of one topic on their way into the log. A delayed or half message is
// stored under a topic of the broker's own, where it waits, and goes alone. A message that was sent
// before (recent_sends.h) is not stored again: its result is the first one's.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "dledger/ledger.h"
#include "store/message_encoding.h"
#include "store/message_store.h"
#include "store/recent_sends.h"
#include "store/store_context.h"

namespace raftmq::store {

class SendProposal final : public dledger::Proposal {
 public:
  // Checks and encodes the messages on the caller's thread, and proposes them.
  static void Start(StoreContext* context, std::vector<NewMessage> messages, dledger::AckLevel ack,
                    MessageStore::SendCallback done);

  absl::Status Decide(dledger::ProposalWriter& writer) override;
  void Done(const dledger::ProposalOutcome& outcome) override;
  dledger::AckLevel ack_level() const override { return ack_; }
  size_t ByteSize() const override { return bytes_; }

 private:
  struct Message {
    std::string record;  // as EncodeMessage made it; freed once it is in the log
    TopicType type = TopicType::kNormal;
    std::optional<QueueId> queue;
    std::optional<int32_t> priority;
    std::optional<uint64_t> group_hash;
    std::optional<size_t> repeats;  // a message before it in this very send
  };

  SendProposal(StoreContext* context, dledger::AckLevel ack, MessageStore::SendCallback done)
      : context_(context), ack_(ack), done_(std::move(done)) {}

  // Where a message of this type waits, if anywhere; refuses a delay beyond the limit.
  static absl::StatusOr<StoredAs> StoredAsOf(const StoreContext& context,
                                             const NewMessage& message);
  absl::Status Add(NewMessage& message, const StoredAs& where, KnownSender* sender);
  void FindRepeatsWithin();
  bool IsNew(size_t i) const { return !results_[i].repeated && !messages_[i].repeats.has_value(); }
  static void Propose(std::unique_ptr<SendProposal> send);
  // Results of messages that were sent before; true if that is all of them.
  bool FindRepeats(const LeaderView& view);
  absl::Status CheckAckLevel() const;
  absl::Status CheckTopic(const TopicConfig* topic) const;
  absl::Status CheckRoomToWait() const;
  absl::Status LogMessages(LeaderView& view, dledger::ProposalWriter& writer);
  absl::Status PickWaitingQueue(const TopicConfig& topic);
  absl::Status PickQueues(const TopicConfig& topic, LeaderView& view);
  absl::StatusOr<std::vector<dledger::ProposalWriter::Reservation>> Reserve(
      dledger::ProposalWriter& writer) const;
  void Finish(size_t i, const dledger::ProposalWriter::Reservation& place, int64_t store_ms,
              LeaderView& view);
  void GiveHandle(size_t i);

  StoreContext* const context_;
  dledger::AckLevel ack_;
  MessageStore::SendCallback done_;
  std::string topic_;      // the sender's
  std::string stored_in_;  // topic_, or where the message waits
  StoredSend::Waits waits_ = StoredSend::Waits::kNowhere;
  std::vector<Message> messages_;
  // One for each message:
  std::vector<SendIdentity> identities_;
  std::vector<StoredSend::Waits> waited_;  // how its first send was stored
  std::vector<SendResult> results_;
  size_t bytes_ = 0;
  bool made_lite_topic_ = false;
  absl::Status after_making_;  // how the messages fared then
};

}  // namespace raftmq::store
