#include "store/entry_repair.h"

#include <algorithm>
#include <optional>

#include "base/endian.h"
#include "base/strings.h"
#include "glog/logging.h"
#include "store/entry_tag.h"
#include "store/message_record.h"

namespace raftmq::store {
namespace {

constexpr int kMaxNeighbours = 64;
// Of the log, searched for one record. Between neighbours it is much less, as a rule.
constexpr int64_t kMaxSearch = 256 << 20;
constexpr int64_t kChunk = 64 << 10;
constexpr int64_t kPage = 4'096;  // does not cross the end of a segment
constexpr size_t kMaxInVain = 1'000;
// A record begins with its size, its magic, its body's CRC, queue id, flag, queue offset, position.
constexpr size_t kHeadSize = 36;
constexpr std::string_view kMagicStart("\xDA\xA3\x20", 3);  // of both magics

LogPosition NextMultiple(LogPosition position, int64_t of) {
  return LogPosition((position.value() / of + 1) * of);
}

}  // namespace

absl::StatusOr<std::string> ReadEntryRecord(const dledger::Ledger& ledger,
                                            const ConsumeQueueEntry& entry, std::string_view topic,
                                            QueueId queue, QueueOffset offset) {
  const auto wrong = [&](std::string_view how) {
    return absl::DataLossError(StrCat("the consume queue of topic ", topic, " queue ", queue,
                                      " says that offset ", offset, " is at ", entry.position,
                                      ", size ", entry.size, ", but ", how));
  };
  if (entry.size < static_cast<int64_t>(kMinRecordSize)) return wrong("no record is so small");
  auto record = ledger.Read(entry.position, static_cast<size_t>(entry.size));
  if (absl::IsOutOfRange(record.status())) return wrong(Message(record.status()));
  RAFTMQ_RETURN_IF_ERROR(record.status());
  const auto view = ParseRecord(*record);
  if (!view.ok()) return wrong(Message(view.status()));
  if (view->physical_offset != entry.position) {
    return wrong(StrCat("the record there says it is at ", view->physical_offset));
  }
  if (view->topic != topic || view->queue_id != queue || view->queue_offset != offset) {
    return wrong(StrCat("there is topic ", view->topic, " queue ", view->queue_id, " offset ",
                        view->queue_offset));
  }
  // What is for one group alone had an entry like any other by an earlier release.
  const std::string_view for_group =
      IsForOneGroup(entry.tag_hash) ? view->for_group() : std::string_view();
  if (const int64_t tag = EntryTag(view->tags(), for_group); tag != entry.tag_hash) {
    return wrong(StrCat("its tag's hash is ", tag, ", not ", entry.tag_hash));
  }
  return record;
}

absl::StatusOr<std::string> EntryRepair::Heal(std::string_view topic, QueueId queue,
                                              QueueOffset offset, const absl::Status& why) {
  const std::tuple key(std::string(topic), queue, offset);
  const std::shared_ptr<ConsumeQueue> consume_queue = queues_->Find(topic, queue);
  {
    absl::MutexLock lock(&mutex_);
    if (consume_queue == nullptr || in_vain_.contains(key)) return why;
  }
  // It may have expired meanwhile, or another reader has healed it.
  const absl::StatusOr<ConsumeQueueEntry> now = consume_queue->Get(offset);
  if (!now.ok()) return now.status();
  auto healed = ReadEntryRecord(*ledger_, *now, topic, queue, offset);
  if (healed.ok()) return healed;
  const auto below = NearestGood(*consume_queue, offset, -1);
  const auto above = NearestGood(*consume_queue, offset, +1);
  const LogPosition end = above ? above->position : ledger_->Status()->end_position;
  const LogPosition begin = std::max(below ? below->position + below->size : LogPosition(0),
                                     LogPosition(end.value() - kMaxSearch));
  std::optional<std::string> record = FindRecord({topic, queue, offset}, begin, end);
  if (!record.has_value()) {
    absl::MutexLock lock(&mutex_);
    if (in_vain_.size() < kMaxInVain) in_vain_.insert(key);
    return Annotate(why, StrCat("nor is there such a record between ", begin, " and ", end));
  }
  const auto view = ParseRecord(*record);
  const ConsumeQueueEntry entry{view->physical_offset, static_cast<int32_t>(record->size()),
                                EntryTag(view->tags(), view->for_group())};
  const absl::Status written = queues_->Rewrite(topic, queue, offset, entry);
  LOG(ERROR) << Message(why) << "; by the log it is at " << entry.position << ", size "
             << entry.size << ", tag hash " << entry.tag_hash << ": the entry is "
             << (written.ok() ? "written anew" : StrCat("not written anew: ", Message(written)));
  return *std::move(record);
}

std::optional<ConsumeQueueEntry> EntryRepair::NearestGood(ConsumeQueue& queue, QueueOffset from,
                                                          int step) const {
  for (int i = 1; i <= kMaxNeighbours; ++i) {
    const QueueOffset offset = from + i * step;
    const absl::StatusOr<ConsumeQueueEntry> entry = queue.Get(offset);
    if (!entry.ok()) return std::nullopt;
    if (ReadEntryRecord(*ledger_, *entry, queue.topic(), queue.queue_id(), offset).ok()) {
      return *entry;
    }
  }
  return std::nullopt;
}

// The last one: the same offset of a topic of that name that was deleted comes before.
std::optional<std::string> EntryRepair::FindRecord(const Wanted& wanted, LogPosition begin,
                                                   LogPosition end) const {
  std::optional<std::string> found;
  std::string bytes;  // what comes before `next` and may hold the beginning of a record
  for (LogPosition next = begin; next < end;) {
    LogPosition stop = std::min(end, NextMultiple(next, kChunk));
    auto chunk = ledger_->Read(next, static_cast<size_t>(stop - next));
    if (!chunk.ok()) {  // it is cut there by the end of a segment, or of the log, or it is gone
      stop = std::min(end, NextMultiple(next, kPage));
      chunk = ledger_->Read(next, static_cast<size_t>(stop - next));
    }
    next = stop;
    if (!chunk.ok()) {
      bytes.clear();
      continue;
    }
    bytes += *chunk;
    const LogPosition start = next - static_cast<int64_t>(bytes.size());
    for (size_t at = bytes.find(kMagicStart); at != std::string::npos;
         at = bytes.find(kMagicStart, at + 1)) {
      if (at < 4 || at - 4 + kHeadSize > bytes.size()) continue;
      const std::string_view head = std::string_view(bytes).substr(at - 4, kHeadSize);
      if (auto record = RecordAt(wanted, start + static_cast<int64_t>(at - 4), head)) {
        found = std::move(record);
      }
    }
    bytes.erase(0, bytes.size() - std::min(bytes.size(), kHeadSize - 1));
  }
  return found;
}

std::optional<std::string> EntryRepair::RecordAt(const Wanted& wanted, LogPosition position,
                                                 std::string_view head) const {
  const uint32_t size = LoadBe<uint32_t>(head.data());
  if (size < kMinRecordSize || size > kMaxBodySize ||
      LoadBe<int32_t>(head.data() + 12) != wanted.queue.value() ||
      LoadBe<int64_t>(head.data() + 20) != wanted.offset.value() ||
      LoadBe<int64_t>(head.data() + 28) != position.value()) {
    return std::nullopt;
  }
  auto record = ledger_->Read(position, size);
  if (!record.ok()) return std::nullopt;
  const auto view = ParseRecord(*record);
  if (!view.ok() || view->topic != wanted.topic) return std::nullopt;
  return *std::move(record);
}

}  // namespace raftmq::store
