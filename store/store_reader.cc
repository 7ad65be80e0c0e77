#include "store/store_reader.h"

#include <algorithm>
#include <limits>
#include <map>
#include <tuple>
#include <utility>

#include "base/strings.h"
#include "store/message_properties.h"
#include "store/message_record.h"
#include "store/reason.h"

namespace raftmq::store {

namespace {

constexpr int32_t kMaxPull = 1'024;
// Candidates that one query looks at: hashes collide, and a client may ask for what matches
// nothing.
constexpr size_t kMaxCandidates = 10'000;
constexpr size_t kCandidatePage = 256;

bool HasKey(const RecordView& record, std::string_view key) {
  if (record.unique_key() == key) return true;
  std::string_view keys = record.keys();
  while (!keys.empty()) {
    const size_t space = std::min(keys.find(kKeySeparator), keys.size());
    if (keys.substr(0, space) == key) return true;
    keys.remove_prefix(std::min(space + 1, keys.size()));
  }
  return false;
}

}  // namespace

absl::StatusOr<QueueEnds> StoreReader::FindQueue(const std::string& topic, QueueId queue) const {
  bool exists = false;
  int32_t count = 0;
  std::optional<QueueEnds> ends;
  context_->applied.Read([&](const BrokerState& state) {
    exists = state.FindTopic(topic) != nullptr;
    count = state.QueueCount(topic);
    ends = state.FindQueue(topic, queue);
  });
  if (!exists) return Refuse(Reason::kTopicNotFound, StrCat("topic ", topic, " does not exist"));
  if (!ends.has_value()) {
    return Refuse(Reason::kQueueNotFound,
                  StrCat("topic ", topic, " has queues 0 to ", count - 1, ", not ", queue));
  }
  return *ends;
}

absl::StatusOr<QueueOffset> StoreReader::CommitOffset(const std::string& group,
                                                      const std::string& topic,
                                                      QueueId queue) const {
  RAFTMQ_RETURN_IF_ERROR(FindQueue(topic, queue).status());
  bool exists = false;
  std::optional<QueueProgress> progress;
  context_->applied.Read([&](const BrokerState& state) {
    exists = state.FindGroup(group) != nullptr;
    progress = state.FindProgress(group, topic, queue);
  });
  if (!exists) return Refuse(Reason::kGroupNotFound, StrCat("group ", group, " does not exist"));
  if (!progress.has_value()) {
    return Refuse(Reason::kOffsetNotFound, StrCat("group ", group, " has no offset on topic ",
                                                  topic, " queue ", queue, " yet"));
  }
  return progress->commit_offset;
}

absl::StatusOr<std::vector<QueueProgress>> StoreReader::GroupProgress(
    const std::string& group) const {
  bool exists = false;
  std::vector<QueueProgress> rows;
  context_->applied.Read([&](const BrokerState& state) {
    exists = state.FindGroup(group) != nullptr;
    if (exists) rows = state.Progress(group);
  });
  if (!exists) return Refuse(Reason::kGroupNotFound, StrCat("group ", group, " does not exist"));
  for (QueueProgress& row : rows) {
    if (row.commit_offset <= row.min_offset) continue;
    const auto queue = context_->queues->Find(row.topic, row.queue);
    if (queue == nullptr) continue;  // deleted since
    const auto entry = queue->Get(row.commit_offset - 1);
    if (!entry.ok()) continue;
    const auto store_ms = context_->records.StoreTime(*entry);
    if (store_ms.ok()) row.last_store_ms = *store_ms;
  }
  return rows;
}

absl::StatusOr<std::vector<OffsetMove>> StoreReader::ListOffsetMoves(
    const std::string& group) const {
  std::vector<OffsetMove> listed;
  const bool exists = context_->applied.Read([&](const BrokerState& state) {
    const OffsetMoves* moves = state.FindMoves(group);
    if (moves == nullptr) return false;
    for (const auto& move : moves->moves()) listed.push_back(*move);
    return true;
  });
  if (exists) return listed;
  return Refuse(Reason::kGroupNotFound, StrCat("group ", group, " does not exist"));
}

absl::StatusOr<std::vector<QueueHold>> StoreReader::ListHolds(const std::string& group) const {
  std::map<std::tuple<std::string, QueueId, std::string>, QueueHold> holds;
  auto hold_of = [&](const std::string& topic, QueueId queue,
                     const std::string& client) -> QueueHold& {
    return holds.try_emplace({topic, queue, client}, QueueHold{topic, queue, client}).first->second;
  };
  const bool exists = context_->applied.Read([&](const BrokerState& state) {
    if (state.FindGroup(group) == nullptr) return false;
    const int64_t now_ms = state.lease_time_ms();
    for (auto it = state.queue_locks().lower_bound({group, "", QueueId(0)});
         it != state.queue_locks().end() && it->first.group == group; ++it) {
      if (it->second.IsOver(now_ms)) continue;
      QueueHold& hold = hold_of(it->first.topic, it->first.queue, it->second.client_id);
      hold.locked = true;
      hold.revoked = it->second.revoked;
    }
    for (const std::string& topic : state.TopicsOf(group)) {
      for (int32_t q = 0; q < state.QueueCount(topic); ++q) {
        const Position* position = state.FindPosition(group, topic, QueueId(q));
        if (position == nullptr) continue;
        for (const auto& [offset, lease] : position->inflight()) {
          if (lease.until_ms <= now_ms) continue;
          ++hold_of(topic, QueueId(q), lease.owner->client_id).inflight;
        }
      }
    }
    return true;
  });
  if (!exists) return Refuse(Reason::kGroupNotFound, StrCat("group ", group, " does not exist"));
  std::vector<QueueHold> listed;
  listed.reserve(holds.size());
  for (auto& [name, hold] : holds) listed.push_back(std::move(hold));
  return listed;
}

absl::StatusOr<MessageStore::QueueRange> StoreReader::Range(const std::string& topic,
                                                            QueueId queue) const {
  RAFTMQ_ASSIGN_OR_RETURN(const QueueEnds ends, FindQueue(topic, queue));
  return MessageStore::QueueRange{ends.min, ends.max, ends.last_store_ms};
}

absl::StatusOr<QueueOffset> StoreReader::OffsetByTime(const std::string& topic, QueueId queue,
                                                      int64_t timestamp_ms) const {
  RAFTMQ_ASSIGN_OR_RETURN(const QueueEnds ends, FindQueue(topic, queue));
  const auto consume_queue = context_->queues->Find(topic, queue);
  if (consume_queue == nullptr) return ends.max;
  RAFTMQ_ASSIGN_OR_RETURN(const QueueOffset offset,
                          consume_queue->OffsetByTime(timestamp_ms, TimeBoundary::kLower,
                                                      [this](const ConsumeQueueEntry& entry) {
                                                        return context_->records.StoreTime(entry);
                                                      }));
  return std::max(offset, ends.min);
}

absl::StatusOr<std::vector<std::string>> StoreReader::Pull(const std::string& topic, QueueId queue,
                                                           QueueOffset offset, int32_t max_messages,
                                                           int64_t max_bytes) const {
  RAFTMQ_ASSIGN_OR_RETURN(const QueueEnds ends, FindQueue(topic, queue));
  if (offset < ends.min) context_->counters.offset_gone.fetch_add(1, std::memory_order_relaxed);
  if (offset < ends.min || offset > ends.max) {
    return Refuse(Reason::kOffsetNotFound,
                  StrCat("topic ", topic, " queue ", queue, " holds offsets ", ends.min, " to ",
                         ends.max - 1, ", not ", offset));
  }
  std::vector<std::string> records;
  const auto consume_queue = context_->queues->Find(topic, queue);
  if (consume_queue == nullptr || offset == ends.max) return records;
  const int64_t wanted =
      std::min<int64_t>(std::clamp(max_messages, 1, kMaxPull), ends.max - offset);
  RAFTMQ_ASSIGN_OR_RETURN(const auto entries,
                          consume_queue->GetRange(offset, static_cast<size_t>(wanted)));
  int64_t bytes = 0;
  for (const ConsumeQueueEntry& entry : entries) {
    if (!records.empty() && bytes + entry.size > max_bytes) break;
    const QueueOffset at = offset + static_cast<int64_t>(records.size());
    RAFTMQ_ASSIGN_OR_RETURN(std::string record, context_->records.Read(entry, topic, queue, at));
    bytes += entry.size;
    records.push_back(std::move(record));
  }
  context_->counters.bytes_out.fetch_add(bytes, std::memory_order_relaxed);
  return records;
}

absl::StatusOr<std::string> StoreReader::RecordAt(LogPosition position) const {
  if (position >= context_->applied.end()) {
    return Refuse(Reason::kMessageNotFound,
                  StrCat("no message at log position ", position, ": the log is applied up to ",
                         context_->applied.end()));
  }
  const LogPosition min =
      context_->applied.Read([](const BrokerState& state) { return state.min_position(); });
  if (position < min) {
    return Refuse(Reason::kMessageNotFound,
                  StrCat("the message at log position ", position,
                         " has expired: messages are kept from ", min, " on"));
  }
  return context_->records.ReadAt(position);
}

bool StoreReader::IsCurrent(const std::string& topic, QueueId queue, QueueOffset offset,
                            LogPosition position) const {
  const auto consume_queue = context_->queues->Find(topic, queue);
  if (consume_queue == nullptr) return false;
  const auto entry = consume_queue->Get(offset);
  if (!entry.ok() || entry->position == position) return entry.ok();
  // Another message of that offset, or an entry that is damaged.
  const auto bytes = context_->records.Read(*entry, topic, queue, offset);
  if (!bytes.ok()) return false;
  const auto record = ReadRecordHeader(*bytes);
  return record.ok() && record->physical_offset == position;
}

absl::StatusOr<std::vector<std::string>> StoreReader::QueryByKey(const std::string& topic,
                                                                 const std::string& key,
                                                                 int64_t begin_ms, int64_t end_ms,
                                                                 int32_t max_messages) const {
  if (context_->index == nullptr) {
    return Refuse(Reason::kUnsupported,
                  "queries by key need the message index, which is off (messageIndexEnable=false)");
  }
  if (!context_->applied.Read(
          [&](const BrokerState& s) { return s.FindTopic(topic) != nullptr; })) {
    return Refuse(Reason::kTopicNotFound, StrCat("topic ", topic, " does not exist"));
  }
  const size_t max = static_cast<size_t>(std::clamp(max_messages, 1, kMaxPull));
  std::vector<std::string> found;
  MessageIndex::Query query;
  query.begin_ms = begin_ms;
  query.end_ms = end_ms;
  query.max = kCandidatePage;
  for (size_t seen = 0; seen < kMaxCandidates && found.size() < max;) {
    RAFTMQ_ASSIGN_OR_RETURN(const auto candidates, context_->index->QueryByKey(topic, key, query));
    for (const LogPosition position : candidates) {
      absl::StatusOr<std::string> found_bytes = context_->records.ReadAt(position);
      // Expired since the index was asked.
      if (ReasonOf(found_bytes.status()) == Reason::kMessageNotFound) continue;
      RAFTMQ_ASSIGN_OR_RETURN(std::string bytes, std::move(found_bytes));
      RAFTMQ_ASSIGN_OR_RETURN(const RecordView record, ParseRecord(bytes));
      if (record.topic != topic || !HasKey(record, key)) continue;
      if (record.store_timestamp_ms < begin_ms || record.store_timestamp_ms > end_ms) continue;
      if (!IsCurrent(topic, record.queue_id, record.queue_offset, position)) continue;
      // A key that equals the message id, or is given twice, has several entries.
      if (!found.empty() && found.back() == bytes) continue;
      found.push_back(std::move(bytes));
      if (found.size() == max) break;
    }
    if (candidates.size() < kCandidatePage) break;
    seen += candidates.size();
    query.before = candidates.back();
  }
  return found;
}

}  // namespace raftmq::store
