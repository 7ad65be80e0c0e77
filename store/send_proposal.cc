#include "store/send_proposal.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "base/strings.h"
#include "store/admin_proposals.h"
#include "store/log_lite_topics.h"
#include "store/message_encoding.h"
#include "store/names.h"
#include "store/outcome.h"
#include "store/reason.h"
#include "store/waiting_handles.h"

namespace raftmq::store {

using dledger::ProposalWriter;

namespace {

absl::Status NoSuchQueue(const TopicConfig& topic, QueueId queue) {
  return Refuse(Reason::kQueueNotFound,
                StrCat("queue ", queue, " of topic ", topic.name,
                       " takes no messages: it has write queues 0 to ", topic.write_queues - 1));
}

}  // namespace

absl::StatusOr<StoredAs> SendProposal::StoredAsOf(const StoreContext& context,
                                                  const NewMessage& message) {
  StoredAs where;
  if (message.type == TopicType::kTransaction) {
    where.waits_in = kHalfTopic;
    where.check_immunity_ms =
        message.check_immunity_ms.value_or(context.options.transaction_timeout_ms);
  } else if (message.type == TopicType::kDelay) {
    const int64_t now_ms = context.clock->WallMillis();
    if (message.deliver_ms <= now_ms) return where;
    if (message.deliver_ms - now_ms > context.options.max_delay_ms) {
      return Refuse(Reason::kIllegalDeliveryTime,
                    StrCat("a message for topic ", message.topic, " is to be delivered in ",
                           message.deliver_ms - now_ms, " ms, at most ",
                           context.options.max_delay_ms, " ms ahead are taken"));
    }
    where.waits_in = kTimerTopic;
    where.due_ms = message.deliver_ms;
  }
  return where;
}

absl::Status SendProposal::Add(NewMessage& message, const StoredAs& where, KnownSender* sender) {
  RAFTMQ_ASSIGN_OR_RETURN(std::string record,
                          EncodeMessage(message, context_->store_host, where, sender));
  Message encoded;
  encoded.record = std::move(record);
  encoded.type = message.type;
  encoded.queue = message.queue;
  encoded.priority = message.priority;
  if (!message.message_group.empty()) {
    encoded.group_hash = MessageGroupHash(message.message_group);
  }
  bytes_ += encoded.record.size() + sizeof(Message) + sizeof(SendIdentity);
  identities_.push_back(IdentityOf(sender->ClientHashOf(message.client_id), topic_,
                                   message.message_id, ReadRecordStamp(encoded.record)));
  messages_.push_back(std::move(encoded));
  SendResult& result = results_.emplace_back();
  result.message_id = std::move(message.message_id);
  result.due_ms = where.due_ms.value_or(0);
  return absl::OkStatus();
}

// The same message twice in one send, as a client that retries a batch of its own making has it.
void SendProposal::FindRepeatsWithin() {
  if (messages_.size() == 1) return;
  absl::flat_hash_map<uint64_t, size_t> first;
  for (size_t i = 0; i < messages_.size(); ++i) {
    if (identities_[i].key == 0) continue;
    const auto [known, is_new] = first.emplace(identities_[i].key, i);
    if (!is_new && IsRepetition(identities_[known->second], identities_[i],
                                context_->sends->options().born_slack_ms)) {
      messages_[i].repeats = known->second;
    }
  }
}

void SendProposal::Start(StoreContext* context, std::vector<NewMessage> messages,
                         dledger::AckLevel ack, MessageStore::SendCallback done) {
  if (messages.empty()) {
    done(Refuse(Reason::kMessageCorrupted, "a send without messages"));
    return;
  }
  std::unique_ptr<SendProposal> send(new SendProposal(context, ack, nullptr));
  send->topic_ = std::move(messages[0].topic);
  send->stored_in_ = send->topic_;
  send->messages_.reserve(messages.size());
  send->results_.reserve(messages.size());
  send->identities_.reserve(messages.size());
  send->bytes_ = 256;
  KnownSender sender;
  for (size_t i = 0; i < messages.size(); ++i) {
    NewMessage& message = messages[i];
    if (i == 0) {
      message.topic = send->topic_;
    } else if (message.topic != send->topic_) {
      return done(Refuse(Reason::kMessageCorrupted,
                         StrCat("one send has messages of topic ", send->topic_, " and of topic ",
                                message.topic, "; a send is of one topic")));
    }
    const auto where = StoredAsOf(*context, message);
    if (!where.ok()) return done(where.status());
    if (!where->waits_in.empty()) {
      if (messages.size() > 1) {
        return done(Refuse(Reason::kMessageCorrupted,
                           StrCat("a delayed or transactional message for topic ", send->topic_,
                                  " is one of ", messages.size(), "; each is sent alone")));
      }
      send->stored_in_ = std::string(where->waits_in);
      send->waits_ =
          where->due_ms.has_value() ? StoredSend::Waits::kAsTimer : StoredSend::Waits::kAsHalf;
    }
    if (absl::Status status = send->Add(message, *where, &sender); !status.ok()) {
      return done(std::move(status));
    }
  }
  // What waits is named by its handle: that must not be given before it is certain.
  if (send->stored_in_ != send->topic_)
    send->ack_ = std::max(ack, dledger::AckLevel::kMajorityDisk);
  send->FindRepeatsWithin();
  send->done_ = std::move(done);
  Propose(std::move(send));
}

void SendProposal::Propose(std::unique_ptr<SendProposal> send) {
  StoreContext* const context = send->context_;
  if (send->stored_in_ == send->topic_) return context->ledger->Propose(std::move(send));
  TopicConfig topic;
  topic.name = send->stored_in_;
  topic.read_queues = topic.write_queues = 1;
  topic.perm = kPermRead;
  StartEnsureTopic(context, std::move(topic),
                   [context, send = std::move(send)](const absl::Status& status) mutable {
                     if (status.ok()) {
                       context->ledger->Propose(std::move(send));
                     } else {
                       send->done_(status);
                     }
                   });
}

bool SendProposal::FindRepeats(const LeaderView& view) {
  waited_.assign(messages_.size(), waits_);
  const auto found = context_->sends->Find(topic_, identities_, view.LogTimeMs());
  bool all = true;
  for (size_t i = 0; i < messages_.size(); ++i) {
    if (i >= found.size() || !found[i].has_value()) {
      all = all && messages_[i].repeats.has_value();
      continue;
    }
    const StoredSend& first = *found[i];
    SendResult& result = results_[i];
    result.repeated = true;
    result.queue = first.queue;
    result.offset = first.offset;
    result.position = first.position;
    result.store_ms = first.store_ms;
    result.due_ms = first.due_ms;
    waited_[i] = first.waits;
    messages_[i].repeats.reset();
  }
  return all;
}

// Only all members' disks can be out of reach: without a majority nobody leads.
absl::Status SendProposal::CheckAckLevel() const {
  if (ack_ != dledger::AckLevel::kAllDisks) return absl::OkStatus();
  const auto status = context_->ledger->Status();
  for (const dledger::Member& member : status->members) {
    if (member.connected && !member.damaged) continue;
    return Refuse(Reason::kAckLevelUnavailable,
                  StrCat("the send to topic ", topic_,
                         " wants all members' disks (ack level all), ", "but member ", member.name,
                         member.damaged ? "'s log is being repaired" : " is not connected",
                         "; nothing was stored: ask for quorum_fsync, or bring it back"));
  }
  return absl::OkStatus();
}

absl::Status SendProposal::CheckTopic(const TopicConfig* topic) const {
  if (topic == nullptr) {
    return Refuse(Reason::kTopicNotFound,
                  StrCat("topic ", topic_, " does not exist; create it first"));
  }
  if ((topic->perm & kPermWrite) == 0 || topic->write_queues <= 0) {
    return Refuse(Reason::kForbidden, StrCat("topic ", topic_, " does not take messages (perm ",
                                             static_cast<int>(topic->perm), ")"));
  }
  if (topic->type == TopicType::kMixed) return absl::OkStatus();
  for (const Message& message : messages_) {
    if (message.type != topic->type) {
      return Refuse(Reason::kTypeConflict,
                    StrCat("a message of type ", static_cast<int>(message.type), " for topic ",
                           topic_, " of type ", static_cast<int>(topic->type)));
    }
  }
  return absl::OkStatus();
}

// Against what is applied: what is under way is bounded by the ledger.
absl::Status SendProposal::CheckRoomToWait() const {
  const bool timer = stored_in_ == kTimerTopic;
  const auto waiting = static_cast<int64_t>(context_->applied.Read([&](const BrokerState& state) {
    return timer ? state.timers().size() : state.transactions().size();
  }));
  const int64_t max =
      timer ? context_->options.max_pending_timers : context_->options.max_pending_transactions;
  if (waiting < max) return absl::OkStatus();
  return Refuse(Reason::kBusy,
                StrCat(waiting, timer ? " delayed messages" : " transactions",
                       " wait in this broker group, at most ", max,
                       timer ? " may (maxPendingTimers)" : " may (maxPendingTransactions)"));
}

// The broker's topics have one queue; the one asked for is kept for later, but must exist.
absl::Status SendProposal::PickWaitingQueue(const TopicConfig& topic) {
  const std::optional<QueueId> asked = messages_[0].queue;
  if (asked.has_value() && (asked->value() < 0 || asked->value() >= topic.write_queues)) {
    return NoSuchQueue(topic, *asked);
  }
  results_[0].queue = QueueId(0);
  return absl::OkStatus();
}

absl::Status SendProposal::PickQueues(const TopicConfig& topic, LeaderView& view) {
  if (stored_in_ != topic_) return PickWaitingQueue(topic);
  const auto count = static_cast<uint32_t>(topic.write_queues);
  // All messages of one send that may go anywhere go to the same queue, in order.
  std::optional<QueueId> turn;
  for (size_t i = 0; i < messages_.size(); ++i) {
    const Message& message = messages_[i];
    if (!IsNew(i)) continue;
    if (topic.type == TopicType::kPriority) {
      // Whatever queue its client thought of.
      results_[i].queue = PriorityQueue(message.priority, topic.write_queues);
    } else if (message.queue.has_value()) {
      if (message.queue->value() < 0 || message.queue->value() >= topic.write_queues) {
        return NoSuchQueue(topic, *message.queue);
      }
      results_[i].queue = *message.queue;
    } else if (message.group_hash.has_value()) {
      results_[i].queue = QueueId(static_cast<int32_t>(*message.group_hash % count));
    } else {
      if (!turn.has_value()) {
        turn = QueueId(static_cast<int32_t>(view.NextSendTurn(topic_) % count));
      }
      results_[i].queue = *turn;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<ProposalWriter::Reservation>> SendProposal::Reserve(
    ProposalWriter& writer) const {
  std::vector<ProposalWriter::Reservation> places;
  absl::Status status;
  if (messages_.size() == 1) {
    auto place = writer.ReserveRecord(messages_[0].record.size());
    if (place.ok()) places.push_back(*place);
    status = place.status();
  } else {
    std::vector<size_t> sizes;
    sizes.reserve(messages_.size());
    for (size_t i = 0; i < messages_.size(); ++i) {
      if (IsNew(i)) sizes.push_back(messages_[i].record.size());
    }
    auto all = writer.ReserveRecords(sizes);
    if (all.ok()) places = *std::move(all);
    status = all.status();
  }
  if (status.code() == absl::StatusCode::kInvalidArgument) {
    return Refuse(Reason::kBodyTooLarge, StrCat("send of ", messages_.size(), " messages, ", bytes_,
                                                " bytes in all: ", raftmq::Message(status)));
  }
  if (!status.ok()) return status;
  return places;
}

// Writes the record and takes it into the view; what is said of it depends on that.
void SendProposal::Finish(size_t i, const ProposalWriter::Reservation& place, int64_t store_ms,
                          LeaderView& view) {
  SendResult& result = results_[i];
  const auto ends = view.state().FindQueue(stored_in_, result.queue);
  CHECK(ends.has_value()) << "topic " << stored_in_ << " has no queue " << result.queue;
  result.offset = ends->max;
  result.position = place.position;
  result.store_ms = store_ms;
  std::string& record = messages_[i].record;
  std::memcpy(place.data, record.data(), record.size());
  FinishRecord(place.data, record.size(), result.queue, result.offset, result.position, store_ms);
  view.AddRecord(stored_in_, result.queue, result.offset, store_ms);
  std::string().swap(record);
  if (stored_in_ != topic_) view.WaitingLogged(result.position);
  context_->sends->AddPending(identities_[i], {result.queue, result.offset, result.position,
                                               store_ms, result.due_ms, waits_});
}

absl::Status SendProposal::Decide(ProposalWriter& writer) {
  LeaderView& view = context_->view();
  // Nothing is logged then, and Done comes when the first ones are committed.
  if (FindRepeats(view)) return absl::OkStatus();
  RAFTMQ_RETURN_IF_ERROR(CheckAckLevel());
  // Its first message makes a lite topic. Of what fails after that only this send is told.
  bool made = false;
  if (IsLiteTopic(topic_)) {
    RAFTMQ_RETURN_IF_ERROR(EnsureLiteTopic(*context_, topic_, writer, &made));
  }
  const absl::Status logged = LogMessages(view, writer);
  if (!made) return logged;
  made_lite_topic_ = true;
  after_making_ = logged;
  return absl::OkStatus();
}

absl::Status SendProposal::LogMessages(LeaderView& view, ProposalWriter& writer) {
  const TopicConfig* topic = view.state().FindTopic(topic_);
  RAFTMQ_RETURN_IF_ERROR(CheckTopic(topic));
  RAFTMQ_RETURN_IF_ERROR(PickQueues(*topic, view));
  if (view.state().FindTopic(stored_in_) == nullptr) {
    return Refuse(Reason::kBusy, StrCat("topic ", stored_in_, " is only just being made"));
  }
  if (stored_in_ != topic_) RAFTMQ_RETURN_IF_ERROR(CheckRoomToWait());
  RAFTMQ_ASSIGN_OR_RETURN(const auto places, Reserve(writer));
  const int64_t store_ms = view.LogTimeMs();
  size_t next_place = 0;
  for (size_t i = 0; i < messages_.size(); ++i) {
    if (IsNew(i)) Finish(i, places[next_place++], store_ms, view);
  }
  return absl::OkStatus();
}

// What a message that waits is named by.
void SendProposal::GiveHandle(size_t i) {
  SendResult& result = results_[i];
  if (waited_[i] == StoredSend::Waits::kAsTimer) {
    result.recall_handle = EncodeRecallHandle(topic_, {result.due_ms, result.position});
  } else if (waited_[i] == StoredSend::Waits::kAsHalf) {
    result.transaction_id =
        EncodeTransactionId(topic_, result.message_id, HalfRef{result.position});
  }
}

void SendProposal::Done(const dledger::ProposalOutcome& outcome) {
  LeaderView* const view = context_->leading.get();
  if (made_lite_topic_ && view != nullptr && view->term() == outcome.term) {
    view->TopicChangeIndexed(topic_, outcome.index);
  }
  if (!outcome.status.ok()) return done_(StatusOf(outcome, StrCat("send to topic ", topic_)));
  if (!after_making_.ok()) return done_(after_making_);
  for (size_t i = 0; i < messages_.size(); ++i) {
    if (messages_[i].repeats.has_value()) {
      const std::string message_id = std::move(results_[i].message_id);
      results_[i] = results_[*messages_[i].repeats];
      results_[i].message_id = message_id;
      results_[i].repeated = true;
    } else {
      GiveHandle(i);
    }
    results_[i].reached =
        outcome.committed ? std::max(ack_, dledger::AckLevel::kMajorityDisk) : ack_;
  }
  done_(std::move(results_));
}

}  // namespace raftmq::store
