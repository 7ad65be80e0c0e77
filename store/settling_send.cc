#include "store/settling_send.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "base/strings.h"
#include "store/message_encoding.h"
#include "store/message_properties.h"
#include "store/names.h"
#include "store/outcome.h"
#include "store/reason.h"

namespace raftmq::store {
namespace {

// Of a record that waited under one of the broker's topics; its successor must not carry them.
bool IsOfWaiting(std::string_view name) {
  return name == property::kRealTopic || name == property::kRealQueueId ||
         name == property::kTimerOutMs || name == property::kTransactionPrepared ||
         name == property::kCheckImmunityMs || name == property::kSettles ||
         name == property::kClient || name == property::kForGroup;
}

}  // namespace

absl::StatusOr<std::string> RepublishRecord(const RecordView& stored, const Republication& as,
                                            const HostAddress& store_host) {
  std::string properties;
  properties.reserve(stored.properties.text().size() + 64);
  stored.properties.ForEach([&](std::string_view name, std::string_view value) {
    const bool replaced =
        std::any_of(as.properties.begin(), as.properties.end(),
                    [name](const auto& property) { return property.first == name; });
    if (!replaced && !IsOfWaiting(name)) AppendProperty(&properties, name, value);
  });
  for (const auto& [name, value] : as.properties) {
    if (!value.empty()) AppendProperty(&properties, name, value);
  }
  AppendProperty(&properties, property::kSettles, EncodeSettlement(as.settles));
  if (!as.for_group.empty()) AppendProperty(&properties, property::kForGroup, as.for_group);

  MessageFields fields;
  fields.topic = as.topic;
  fields.body = stored.body;
  fields.properties = properties;
  fields.flag = stored.flag;
  fields.sys_flag = stored.sys_flag & ~sys_flag::kTransactionMask;
  fields.born_timestamp_ms = stored.born_timestamp_ms;
  fields.born_host = stored.born_host;
  fields.store_host = store_host;
  fields.reconsume_times = as.reconsume_times;
  if (as.transaction_commit) {
    fields.sys_flag |= sys_flag::kTransactionCommit;
    fields.prepared_transaction_offset = std::get<HalfRef>(as.settles).position.value();
  }
  std::string record;
  record.reserve(EncodedRecordSize(fields));
  RAFTMQ_RETURN_IF_ERROR(EncodeRecord(fields, &record));
  return record;
}

void SettlingSend::Start(StoreContext* context, std::string_view stored, Republication as,
                         IfTopicGone if_gone, DoneCallback done) {
  const auto parsed = ParseRecord(stored);
  if (!parsed.ok()) return done(parsed.status());
  auto record = RepublishRecord(*parsed, as, context->store_host);
  if (!record.ok()) return done(record.status());
  std::unique_ptr<SettlingSend> send(
      new SettlingSend(context, std::move(as), if_gone, std::move(done)));
  send->record_ = *std::move(record);
  const std::string_view group = parsed->properties.Get(property::kShardingKey);
  if (!group.empty()) send->group_hash_ = MessageGroupHash(group);
  send->priority_ = PriorityOf(parsed->properties);
  send->result_.message_id = std::string(parsed->unique_key());
  context->ledger->Propose(std::move(send));
}

absl::StatusOr<QueueId> SettlingSend::PickQueue(const TopicConfig& topic, LeaderView& view) const {
  const auto count = static_cast<uint32_t>(topic.write_queues);
  if (topic.type == TopicType::kPriority) return PriorityQueue(priority_, topic.write_queues);
  if (as_.queue.has_value() && as_.queue->value() < topic.write_queues) return *as_.queue;
  if (group_hash_.has_value()) return QueueId(static_cast<int32_t>(*group_hash_ % count));
  return QueueId(static_cast<int32_t>(view.NextSendTurn(as_.topic) % count));
}

absl::Status SettlingSend::CheckOpen(LeaderView& view) const {
  const bool open = context_->applied.Read(
      [&](const BrokerState& applied) { return view.IsOpen(as_.settles, applied); });
  if (!open) {
    return Refuse(Reason::kMessageNotFound,
                  StrCat(EncodeSettlement(as_.settles), " is settled already"));
  }
  if (!as_.only_if_spent) return absl::OkStatus();
  const LeaseRef& of = std::get<LeaseRef>(as_.settles);
  const Lease* lease = view.state().FindLease(of.group, of.topic, of.queue, of.offset);
  if (lease->until_ms <= view.LeaseTimeMs() &&
      lease->attempt >= view.state().FindGroup(of.group)->max_attempts()) {
    return absl::OkStatus();
  }
  return Refuse(Reason::kMessageNotFound,
                StrCat("the lease ", EncodeSettlement(as_.settles), " is not over any more"));
}

absl::Status SettlingSend::Decide(dledger::ProposalWriter& writer) {
  LeaderView& view = context_->view();
  RAFTMQ_RETURN_IF_ERROR(CheckOpen(view));
  const TopicConfig* topic = view.state().FindTopic(as_.topic);
  topic_gone_ = topic == nullptr || topic->write_queues <= 0;
  if (topic_gone_) {
    if (if_gone_ == IfTopicGone::kSettle) return view.Log(Settle{as_.settles}, writer);
    return Refuse(Reason::kTopicNotFound, StrCat("topic ", as_.topic, " does not exist"));
  }
  RAFTMQ_ASSIGN_OR_RETURN(result_.queue, PickQueue(*topic, view));
  RAFTMQ_ASSIGN_OR_RETURN(const auto place, writer.ReserveRecord(record_.size()));
  const auto ends = view.state().FindQueue(as_.topic, result_.queue);
  CHECK(ends.has_value()) << "topic " << as_.topic << " has no queue " << result_.queue;
  result_.offset = ends->max;
  result_.position = place.position;
  result_.store_ms = view.LogTimeMs();
  std::memcpy(place.data, record_.data(), record_.size());
  FinishRecord(place.data, record_.size(), result_.queue, result_.offset, result_.position,
               result_.store_ms);
  view.AddRecord(as_.topic, result_.queue, result_.offset, result_.store_ms,
                 AudienceOf(as_.for_group));
  view.Settled(as_.settles, as_.topic == kCheckMaxTimeTopic ? TransactionEnd::kExpired
                                                            : TransactionEnd::kCommitted);
  return absl::OkStatus();
}

void SettlingSend::Done(const dledger::ProposalOutcome& outcome) {
  if (!outcome.status.ok()) {
    done_(StatusOf(outcome, StrCat("record of topic ", as_.topic)));
  } else if (topic_gone_) {
    done_(Refuse(Reason::kTopicNotFound,
                 StrCat("topic ", as_.topic, " does not exist any more: message ",
                        result_.message_id, " went nowhere")));
  } else {
    done_(std::move(result_));
  }
}

}  // namespace raftmq::store
