#include "store/dispatcher.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/strings.h"
#include "glog/logging.h"
#include "store/entry_tag.h"
#include "store/names.h"
#include "store/record_effects.h"

namespace raftmq::store {

using dledger::CommittedEntry;
using dledger::FrameType;

namespace {

// Rows of the state go to the database before a flush only, so that a lease that is acked by then
// never is one; but so many at most wait in memory, and are written in one go while nothing is
// applied.
constexpr size_t kMaxPendingRows = 20'000;

}  // namespace

Dispatcher::Dispatcher(AppliedState* applied, RocksStateStore* state_store, ConsumeQueueSet* queues,
                       MessageIndex* index, RecentSends* sends, const RecordReader* records,
                       StoreCounters* counters)
    : applied_(applied),
      state_store_(state_store),
      queues_(queues),
      index_(index),
      sends_(sends),
      records_reader_(records),
      counters_(counters) {
  state_index_ = state_store->applied_index();
}

LogIndex Dispatcher::DurableIndex() const {
  LogIndex index = std::min(state_store_->durable_applied_index(), queues_->mark().index);
  if (index_ != nullptr) index = std::min(index, index_->mark().index);
  return index;
}

LogIndex Dispatcher::ReplayAfter() const { return std::min(DurableIndex(), sends_->mark()); }

absl::Status Dispatcher::Apply(std::span<const CommittedEntry> entries) {
  if (entries.empty()) return absl::OkStatus();
  LogIndex published;
  {
    absl::MutexLock lock(&apply_mutex_);
    RAFTMQ_RETURN_IF_ERROR(failure_);
    for (const CommittedEntry& entry : entries) {
      failure_ = CheckSequence(entry);
      if (failure_.ok()) failure_ = ApplyEntry(entry);
      if (!failure_.ok()) {
        failure_ = Annotate(failure_, StrCat("entry ", entry.index, " at ", entry.position));
        return failure_;
      }
    }
    failure_ = FinishBatch(entries.back());
    RAFTMQ_RETURN_IF_ERROR(failure_);
    published = state_index_;
  }
  applied_->Publish(published, entries.back().end);
  arrivals_.Tell(*applied_);
  return absl::OkStatus();
}

absl::Status Dispatcher::CheckSequence(const CommittedEntry& entry) {
  if (last_index_ != LogIndex(0)) {
    if (entry.index == last_index_ + 1) return absl::OkStatus();
    return absl::InternalError(StrCat("entries are to be applied without gaps: after ", last_index_,
                                      " came ", entry.index));
  }
  // After a restart some entries that all parts have may come once more. A derived part that has
  // nothing is made from the log's present start.
  const auto check = [&entry](std::string_view part, AppliedMark mark, bool may_begin_here) {
    if (entry.index <= mark.index + 1 || (may_begin_here && mark == AppliedMark())) {
      return absl::OkStatus();
    }
    return absl::FailedPreconditionError(
        StrCat(part, " has entries up to ", mark.index, ", and the log goes on with ", entry.index,
               ": stop this member and delete the folder ", part, "; it is made anew"));
  };
  RAFTMQ_RETURN_IF_ERROR(check("state", {state_index_, LogPosition(0)}, false));
  RAFTMQ_RETURN_IF_ERROR(check("consumequeue", queues_->mark(), true));
  return index_ == nullptr ? absl::OkStatus() : check("index", index_->mark(), true);
}

absl::Status Dispatcher::ApplyEntry(const CommittedEntry& entry) {
  switch (entry.type) {
    case FrameType::kNoOp:
    case FrameType::kConfiguration:
      break;
    case FrameType::kRecords:
      RAFTMQ_RETURN_IF_ERROR(ApplyRecords(entry));
      break;
    case FrameType::kCommands:
      RAFTMQ_RETURN_IF_ERROR(ApplyCommands(entry));
      break;
    default:
      return absl::UnimplementedError(
          StrCat("frame type ", static_cast<int>(entry.type), " is unknown to this version"));
  }
  unflushed_bytes_.fetch_add(entry.end - entry.position, std::memory_order_relaxed);
  last_index_ = entry.index;
  last_end_ = entry.end;
  return absl::OkStatus();
}

absl::Status Dispatcher::AddToQueueAndIndex(const RecordHeaderView& record) {
  const LogPosition position = record.physical_offset;
  RAFTMQ_RETURN_IF_ERROR(queues_->Append(record.topic, record.queue_id, record.queue_offset,
                                         {position, static_cast<int32_t>(record.bytes.size()),
                                          EntryTag(record.tags, record.for_group)}));
  if (index_ == nullptr) return absl::OkStatus();
  if (!record.unique_key.empty()) {
    index_->Add(record.topic, record.unique_key, position, record.store_timestamp_ms);
  }
  std::string_view keys = record.keys;
  while (!keys.empty()) {
    const size_t space = std::min(keys.find(kKeySeparator), keys.size());
    if (space > 0) {
      index_->Add(record.topic, keys.substr(0, space), position, record.store_timestamp_ms);
    }
    keys.remove_prefix(std::min(space + 1, keys.size()));
  }
  return absl::OkStatus();
}

// What is acked lets the next message of its lite topic through, and a receive looks for that in
// the applied state (LiteReceive): the one that came between the ack's answer and now must look
// again.
void Dispatcher::NoteAcked(std::string_view topic, QueueId queue) {
  if (IsLiteTopic(topic)) arrivals_.AddOlder(topic, queue);
}

void Dispatcher::NoteSettled(const Settlement& settlement) {
  const auto* lease = std::get_if<LeaseRef>(&settlement);
  if (lease != nullptr) NoteAcked(lease->topic, lease->queue);
}

// Consume queue first, state second: an offset that readers see in the state can be read.
absl::Status Dispatcher::ApplyRecords(const CommittedEntry& entry) {
  records_.clear();
  std::string_view rest = entry.body;
  while (!rest.empty()) {
    const LogPosition position =
        entry.body_position + static_cast<int64_t>(entry.body.size() - rest.size());
    RAFTMQ_ASSIGN_OR_RETURN(const std::string_view bytes, TakeRecord(&rest));
    RAFTMQ_ASSIGN_OR_RETURN(const RecordHeaderView record, ReadRecordHeader(bytes));
    if (record.physical_offset != position) {
      return absl::DataLossError(
          StrCat("the record at ", position, " says it is at ", record.physical_offset));
    }
    RAFTMQ_RETURN_IF_ERROR(AddToQueueAndIndex(record));
    records_.push_back(record);
  }
  sends_->Apply(records_, entry.index);
  if (entry.index <= state_index_) return absl::OkStatus();
  for (const RecordHeaderView& record : records_) {
    arrivals_.AddMessage(record.topic, record.queue_id, record.queue_offset,
                         EntryTag(record.tags, record.for_group));
  }
  return applied_->Write([&](BrokerState& state) {
    for (const RecordHeaderView& record : records_) {
      RAFTMQ_RETURN_IF_ERROR(state.ApplyRecord(record.topic, record.queue_id, record.queue_offset,
                                               record.store_timestamp_ms, entry.index,
                                               AudienceOf(record.for_group)));
      counters_->CountRecord(record, state);
      RAFTMQ_RETURN_IF_ERROR(ApplyRecordEffects(record, state));
      if (record.settles.data() != nullptr) {
        RAFTMQ_ASSIGN_OR_RETURN(const Settlement settlement, ParseSettlement(record.settles));
        NoteSettled(settlement);
      }
    }
    return absl::OkStatus();
  });
}

absl::Status Dispatcher::ApplyCommands(const CommittedEntry& entry) {
  RAFTMQ_ASSIGN_OR_RETURN(const std::vector<std::string_view> commands, SplitCommands(entry.body));
  for (const std::string_view bytes : commands) {
    RAFTMQ_ASSIGN_OR_RETURN(const Command command, ParseCommand(bytes));
    const auto* retain = std::get_if<Retain>(&command.body);
    if (entry.index > state_index_) {
      RAFTMQ_RETURN_IF_ERROR(retain != nullptr ? ApplyRetain(command, entry.index)
                                               : ApplyCommand(command, entry.index));
    }
    if (retain != nullptr) {
      queues_->SetMinPosition(retain->min_position);
      if (index_ != nullptr) index_->SetMinPosition(retain->min_position);
    }
    // State first, files second: nobody who finds the topic is sent to files that go.
    const auto* deletion = std::get_if<DeleteTopic>(&command.body);
    if (deletion != nullptr) sends_->ApplyDeletion(deletion->name);
    if (deletion != nullptr && entry.index > queues_->mark().index) {
      RAFTMQ_RETURN_IF_ERROR(queues_->DeleteTopic(deletion->name, entry.position));
    }
  }
  return absl::OkStatus();
}

absl::Status Dispatcher::ApplyCommand(const Command& command, LogIndex index) {
  const auto* change = std::get_if<ChangeInvisible>(&command.body);
  const auto* offset = std::get_if<UpdateOffset>(&command.body);
  const auto* move = std::get_if<MoveOffsets>(&command.body);
  if (const auto* ack = std::get_if<Ack>(&command.body)) {
    for (const Ack::Item& item : ack->items) NoteAcked(ack->topic, item.queue);
  }
  if (const auto* settle = std::get_if<Settle>(&command.body)) NoteSettled(settle->settles);
  return applied_->Write([&](BrokerState& state) {
    if (change != nullptr) {
      const Lease* lease =
          state.FindLease(change->group, change->topic, change->queue, change->offset);
      if (lease != nullptr && change->lease_until_ms < lease->until_ms) {
        arrivals_.AddOlder(change->topic, change->queue);
      }
    }
    if (offset != nullptr) arrivals_.AddOlder(offset->topic, offset->queue);
    if (move != nullptr) {
      for (const MoveOffsets::Item& item : move->items) {
        arrivals_.AddOlder(move->topic, item.queue);
      }
    }
    counters_->CountCommand(command, state);
    return state.Apply(command, index);
  });
}

// The records that are kept are read here, on every member: what they are copied from does not go
// before the copies are on disk.
absl::Status Dispatcher::ApplyRetain(const Command& command, LogIndex index) {
  struct Copy {
    LogPosition position;
    KeptRecord record;
    KeptRecords::Bytes bytes;
    int64_t due_ms = 0;
  };
  std::vector<Copy> copies;
  for (const Retain::Kept& kept : std::get<Retain>(command.body).kept) {
    if (applied_->Read([&](const BrokerState& s) { return s.kept().Contains(kept.position); })) {
      continue;
    }
    absl::StatusOr<std::string> bytes = records_reader_->ReadAt(kept.position);
    if (!bytes.ok()) {
      return absl::DataLossError(StrCat("a record that must be kept, at ", kept.position,
                                        ", cannot be read: ", Message(bytes.status())));
    }
    RAFTMQ_ASSIGN_OR_RETURN(const RecordHeaderView record, ReadRecordHeader(*bytes));
    Copy copy;
    copy.position = kept.position;
    copy.record = {std::string(record.topic), record.queue_id, record.queue_offset,
                   static_cast<int32_t>(bytes->size())};
    if (record.topic == kTimerTopic) {
      RAFTMQ_ASSIGN_OR_RETURN(copy.due_ms, TimerDueMs(record));
    }
    copy.bytes = std::make_shared<const std::string>(*std::move(bytes));
    copies.push_back(std::move(copy));
  }
  std::vector<MissedMessages> missed;
  RAFTMQ_RETURN_IF_ERROR(applied_->Write([&](BrokerState& state) {
    for (Copy& copy : copies) {
      state.KeepRecord(copy.position, copy.record, std::move(copy.bytes), copy.due_ms);
    }
    counters_->CountCommand(command, state);
    absl::Status applied = state.Apply(command, index);
    missed = state.TakeMissed();
    return applied;
  }));
  for (const MissedMessages& of : missed) {
    missed_messages_.fetch_add(of.messages, std::memory_order_relaxed);
    LOG(WARNING) << "retention: " << of.messages << " messages of topic " << of.topic
                 << " expired before group " << of.group
                 << " had got them; it goes on at the first message that is left";
  }
  return absl::OkStatus();
}

absl::Status Dispatcher::FinishBatch(const CommittedEntry& last) {
  if (last.index <= state_index_) return absl::OkStatus();
  size_t rows = applied_->Write([&](BrokerState& state) {
    state.AdvanceTo(last.index);
    arrivals_.SetEarliestFinalEnd(state.final_leases().EarliestEnd());
    return state.pending_rows();
  });
  state_index_ = last.index;
  return rows < kMaxPendingRows ? absl::OkStatus() : CommitState();
}

absl::Status Dispatcher::CommitState() {
  if (state_store_->applied_index() == state_index_) return absl::OkStatus();
  applied_->HandOverRows([&](BrokerState& state) { state.FinishBatch(state_index_); });
  RAFTMQ_RETURN_IF_ERROR(state_store_->Commit(state_index_));
  if (applied_->Read([](const BrokerState& state) { return state.kept().empty(); })) {
    return absl::OkStatus();
  }
  applied_->Write([](BrokerState& state) { state.ForgetCommittedBytes(); });
  return absl::OkStatus();
}

BrokerState Dispatcher::CopyState() {
  absl::MutexLock lock(&apply_mutex_);
  return applied_->Read([](const BrokerState& state) { return state.Copy(); });
}

absl::Status Dispatcher::Flush() { return FlushParts(false); }
absl::Status Dispatcher::Close() { return FlushParts(true); }

// Fixes what is to be flushed; the writing happens beside Apply.
absl::Status Dispatcher::FreezeParts(AppliedMark* mark, LogPosition* may_go) {
  absl::MutexLock lock(&apply_mutex_);
  RAFTMQ_RETURN_IF_ERROR(failure_);
  *mark = {last_index_, last_end_};
  unflushed_bytes_.store(0, std::memory_order_relaxed);
  CHECK(queues_->Freeze(std::max(*mark, queues_->mark())));
  if (index_ != nullptr) CHECK(index_->Freeze(std::max(*mark, index_->mark())));
  const int64_t log_ms =
      applied_->Read([](const BrokerState& state) { return state.log_time_ms(); });
  sends_->Freeze(mark->index, log_ms);
  failure_ = CommitState();
  // While a part that is behind the state is replayed, the log must stay.
  if (last_index_ != LogIndex(0) && last_index_ >= state_index_) {
    *may_go =
        std::min(applied_->Read([](const BrokerState& state) { return state.min_position(); }),
                 sends_->OldestAt(log_ms));
  }
  return failure_;
}

absl::Status Dispatcher::FlushParts(bool closing) {
  absl::MutexLock flush(&flush_mutex_);
  AppliedMark mark;
  LogPosition may_go;
  RAFTMQ_RETURN_IF_ERROR(FreezeParts(&mark, &may_go));
  absl::Status status = state_store_->Flush();
  if (status.ok()) status = queues_->WriteFrozen();
  if (status.ok() && index_ != nullptr) status = index_->WriteFrozen();
  if (status.ok()) status = sends_->WriteFrozen();
  if (status.ok() && closing && index_ != nullptr) {
    status = index_->Close(std::max(mark, index_->mark()));
  }
  if (!status.ok()) {
    absl::MutexLock lock(&apply_mutex_);
    if (failure_.ok()) failure_ = status;
  } else if (!closing && release_ != nullptr && may_go > LogPosition(0)) {
    release_(may_go);
  }
  return status;
}

}  // namespace raftmq::store
