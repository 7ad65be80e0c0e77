#include "store/recent_sends.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/numbers.h"
#include "base/strings.h"
#include "glog/logging.h"
#include "store/mark_codec.h"
#include "store/message_properties.h"
#include "store/names.h"

namespace raftmq::store {
namespace {

constexpr std::string_view kMagic = "RMQSENDS";
constexpr uint32_t kVersion = 1;
constexpr size_t kFirstSlots = 1'024;
// Of one key: a client that gives all its messages one id must not make look-ups long.
constexpr int kMaxSameKey = 8;
// The oldest go one by one, in order: the slot of the one so far behind is fetched.
constexpr size_t kFetchAhead = 8;
// A restart replays up to so many messages more than it needs to.
constexpr uint64_t kMilestoneEvery = 1'024;
constexpr size_t kPruneDeletedAt = 1'024;
constexpr uint64_t kSlotValues = std::numeric_limits<uint32_t>::max();
constexpr LogIndex kNothingToReplay{std::numeric_limits<int64_t>::max()};

uint64_t Distance(int64_t a, int64_t b) {
  return a > b ? static_cast<uint64_t>(a) - static_cast<uint64_t>(b)
               : static_cast<uint64_t>(b) - static_cast<uint64_t>(a);
}

// Who sent the message of a record, and as which message; the key is 0 for the broker's own.
SendIdentity IdentityOf(const RecordHeaderView& record) {
  uint64_t client = 0;
  if (record.client.data() == nullptr || !absl::SimpleHexAtoi(ToAbsl(record.client), &client)) {
    return {};
  }
  const bool waits = record.topic == kTimerTopic || record.topic == kHalfTopic;
  return store::IdentityOf(client,
                           waits ? record.properties.Get(property::kRealTopic) : record.topic,
                           record.unique_key, record.stamp);
}

StoredSend StoredAsOf(const RecordHeaderView& record) {
  StoredSend stored{record.queue_id, record.queue_offset, record.physical_offset,
                    record.store_timestamp_ms};
  if (record.topic == kHalfTopic) stored.waits = StoredSend::Waits::kAsHalf;
  if (record.topic == kTimerTopic) {
    stored.waits = StoredSend::Waits::kAsTimer;
    // The state refuses a timer without one.
    (void)absl::SimpleAtoi(ToAbsl(record.properties.Get(property::kTimerOutMs)), &stored.due_ms);
  }
  return stored;
}

absl::StatusOr<LogIndex> ReadMark(FileSystem* fs, const std::string& path) {
  const absl::StatusOr<std::string> data = ReadFile(fs, path);
  if (absl::IsNotFound(data.status())) return LogIndex(0);
  RAFTMQ_RETURN_IF_ERROR(data.status());
  absl::StatusOr<MarkReader> in = MarkReader::Open(*data, kMagic, kVersion);
  if (in.ok()) {
    const LogIndex mark(in->Get<int64_t>());
    if (in->AtEnd() && mark >= LogIndex(0)) return mark;
    in = absl::DataLossError("it holds something else than one index");
  }
  LOG(ERROR) << path << " is damaged: " << in.status() << "; the whole log is replayed";
  return LogIndex(0);
}

}  // namespace

SendIdentity IdentityOf(uint64_t client, std::string_view topic, std::string_view message_id,
                        const RecordStamp& stamp) {
  SendIdentity send;
  if (client == 0 || message_id.empty()) return send;
  send.key = std::max<uint64_t>(1, absl::HashOf(client, ToAbsl(topic), ToAbsl(message_id)));
  send.body_crc = stamp.body_crc;
  send.body_size = stamp.body_size;
  send.born_ms = stamp.born_timestamp_ms;
  return send;
}

bool IsRepetition(const SendIdentity& a, const SendIdentity& b, int64_t born_slack_ms) {
  return a.body_crc == b.body_crc && a.body_size == b.body_size &&
         Distance(a.born_ms, b.born_ms) <= static_cast<uint64_t>(born_slack_ms);
}

absl::StatusOr<std::unique_ptr<RecentSends>> RecentSends::Open(FileSystem* fs, std::string path,
                                                               Options options) {
  RAFTMQ_ASSIGN_OR_RETURN(const LogIndex mark, ReadMark(fs, path));
  return std::unique_ptr<RecentSends>(
      new RecentSends(fs, std::move(path), std::move(options), mark));
}

RecentSends::RecentSends(FileSystem* fs, std::string path, Options options, LogIndex mark)
    : fs_(fs),
      path_(std::move(path)),
      options_(std::move(options)),
      slots_(kFirstSlots),
      frozen_(mark),
      mark_(mark) {}

// ---- Looking

std::vector<std::optional<StoredSend>> RecentSends::Find(std::string_view topic,
                                                         std::span<const SendIdentity> sends,
                                                         int64_t log_ms) const {
  std::vector<std::optional<StoredSend>> found;
  absl::ReaderMutexLock lock(&mutex_);
  if (entries_.empty()) return found;
  const Number void_below = VoidBelow(topic);
  for (const SendIdentity& send : sends) Prefetch(send.key);
  for (size_t i = 0; i < sends.size(); ++i) {
    std::optional<StoredSend> first = FindOne(sends[i], void_below, log_ms);
    if (!first.has_value()) continue;
    found.resize(sends.size());
    found[i] = std::move(first);
    found_.fetch_add(1, std::memory_order_relaxed);
  }
  return found;
}

std::optional<StoredSend> RecentSends::FindOne(const SendIdentity& send, Number void_below,
                                               int64_t log_ms) const {
  if (send.key == 0) return std::nullopt;
  const size_t slot = SlotOf(send.key);
  if (slots_[slot].number == 0) return std::nullopt;
  Number number = NumberIn(slot);
  for (int i = 0; i < kMaxSameKey; ++i) {
    const Entry& entry = At(number);
    // Those before it are older still.
    if (number < void_below || IsOver(entry, log_ms)) break;
    const SendIdentity known{entry.key, entry.body_crc, entry.body_size, entry.born_ms};
    if (IsRepetition(known, send, options_.born_slack_ms)) {
      StoredSend stored{QueueId(static_cast<int32_t>(entry.queue)), QueueOffset(entry.offset),
                        LogPosition(entry.position), entry.store_ms};
      if (entry.half) stored.waits = StoredSend::Waits::kAsHalf;
      if (entry.timer) {
        stored.waits = StoredSend::Waits::kAsTimer;
        stored.due_ms = due_ms_.find(number)->second;
      }
      return stored;
    }
    if (entry.back == 0 || number - first_ < entry.back) break;
    number -= entry.back;
  }
  return std::nullopt;
}

RecentSends::Number RecentSends::VoidBelow(std::string_view topic) const {
  Number below = 0;
  if (!deleted_.empty()) {
    if (const auto it = deleted_.find(ToAbsl(topic)); it != deleted_.end()) below = it->second;
  }
  if (!pending_deleted_.empty()) {
    const auto it = pending_deleted_.find(ToAbsl(topic));
    if (it != pending_deleted_.end()) below = std::max(below, it->second);
  }
  return below;
}

// ---- The leader's proposals

void RecentSends::AddPending(const SendIdentity& send, const StoredSend& stored) {
  if (send.key == 0 || options_.max_messages == 0) return;
  absl::MutexLock lock(&mutex_);
  Push(send, stored);
}

void RecentSends::PendingDeletion(std::string_view topic) {
  absl::MutexLock lock(&mutex_);
  pending_deleted_[std::string(topic)] = end();
}

void RecentSends::DropPending() {
  absl::MutexLock lock(&mutex_);
  while (end() > applied_) PopNewest();
  pending_deleted_.clear();
}

// ---- What is applied

void RecentSends::Apply(std::span<const RecordHeaderView> records, LogIndex entry) {
  if (options_.max_messages == 0) return;
  std::vector<SendIdentity> sends;
  sends.reserve(records.size());
  for (const RecordHeaderView& record : records) sends.push_back(IdentityOf(record));
  absl::MutexLock lock(&mutex_);
  if (applied_ == end()) {
    for (const SendIdentity& send : sends) Prefetch(send.key);
  }
  for (size_t i = 0; i < records.size(); ++i) {
    const RecordHeaderView& record = records[i];
    const SendIdentity& send = sends[i];
    if (send.key == 0) continue;
    const int64_t position = record.physical_offset.value();
    if (applied_ == end()) {
      Push(send, StoredAsOf(record));
    } else {
      // Proposed here, or so long ago that so many proposals after it have pushed it out.
      CHECK_GE(At(applied_).position, position) << "a proposed message is not in the log";
      if (At(applied_).position > position) continue;
    }
    if (milestones_.empty() || applied_ >= milestones_.back().number + kMilestoneEvery) {
      milestones_.push_back({applied_, entry});
    }
    ++applied_;
  }
}

void RecentSends::ApplyDeletion(std::string_view topic) {
  absl::MutexLock lock(&mutex_);
  if (const auto it = pending_deleted_.find(ToAbsl(topic));
      it != pending_deleted_.end() && it->second <= applied_) {
    pending_deleted_.erase(it);
  }
  deleted_[std::string(topic)] = applied_;
  if (deleted_.size() > kPruneDeletedAt) {
    absl::erase_if(deleted_, [this](const auto& deletion) ABSL_NO_THREAD_SAFETY_ANALYSIS {
      return deletion.second <= first_;
    });
  }
}

// ---- The table

void RecentSends::Push(const SendIdentity& send, const StoredSend& stored) {
  Expire(stored.store_ms);
  while (entries_.size() >= options_.max_messages) PopOldest();
  if ((keys_ + 1) * 2 > slots_.size()) GrowSlots();
  const Number number = end();
  const size_t slot = SlotOf(send.key);
  Entry entry;
  entry.key = send.key;
  entry.born_ms = send.born_ms;
  entry.store_ms = stored.store_ms;
  entry.position = stored.position.value();
  entry.offset = stored.offset.value();
  entry.body_crc = send.body_crc;
  entry.timer = stored.waits == StoredSend::Waits::kAsTimer;
  entry.queue = static_cast<uint32_t>(stored.queue.value());
  entry.half = stored.waits == StoredSend::Waits::kAsHalf;
  entry.body_size = send.body_size;
  entry.back = 0;
  if (slots_[slot].number == 0) {
    ++keys_;
  } else {
    entry.back = static_cast<uint32_t>(number - NumberIn(slot));
  }
  slots_[slot] = {SlotNumber(number), TagOf(send.key)};
  if (entry.timer) due_ms_[number] = stored.due_ms;
  entries_.push_back(entry);
}

void RecentSends::PopOldest() {
  const Entry& oldest = entries_.front();
  const size_t slot = SlotOf(oldest.key);
  if (NumberIn(slot) == first_) FreeSlot(slot);
  if (oldest.timer) due_ms_.erase(first_);
  entries_.pop_front();
  if (entries_.size() > kFetchAhead) Prefetch(entries_[kFetchAhead].key);
  ++first_;
  applied_ = std::max(applied_, first_);
  while (milestones_.size() > 1 && milestones_[1].number <= first_) milestones_.pop_front();
}

void RecentSends::PopNewest() {
  const Number number = end() - 1;
  const Entry& newest = entries_.back();
  const size_t slot = SlotOf(newest.key);
  if (newest.back == 0 || number - first_ < newest.back) {
    FreeSlot(slot);
  } else {
    slots_[slot].number = SlotNumber(number - newest.back);
  }
  if (newest.timer) due_ms_.erase(number);
  entries_.pop_back();
}

void RecentSends::Expire(int64_t log_ms) {
  while (first_ < applied_ && IsOver(entries_.front(), log_ms)) PopOldest();
}

// Never 0.
uint32_t RecentSends::SlotNumber(Number number) {
  return static_cast<uint32_t>(number % kSlotValues) + 1;
}

RecentSends::Number RecentSends::NumberIn(size_t slot) const {
  const uint64_t value = slots_[slot].number - 1;
  return first_ + (value + kSlotValues - first_ % kSlotValues) % kSlotValues;
}

size_t RecentSends::SlotOf(uint64_t key) const {
  const size_t mask = slots_.size() - 1;
  const uint32_t tag = TagOf(key);
  size_t slot = Home(tag);
  while (slots_[slot].number != 0 && (slots_[slot].tag != tag || At(NumberIn(slot)).key != key)) {
    slot = (slot + 1) & mask;
  }
  return slot;
}

// What was pushed on past the slot moves up, so that no search ends too early.
void RecentSends::FreeSlot(size_t slot) {
  const size_t mask = slots_.size() - 1;
  size_t hole = slot;
  for (size_t i = (slot + 1) & mask; slots_[i].number != 0; i = (i + 1) & mask) {
    const size_t home = Home(slots_[i].tag);
    if (((i - home) & mask) < ((i - hole) & mask)) continue;
    slots_[hole] = slots_[i];
    hole = i;
  }
  slots_[hole] = {};
  --keys_;
}

void RecentSends::GrowSlots() {
  std::vector<Slot> old(slots_.size() * 2);
  old.swap(slots_);
  const size_t mask = slots_.size() - 1;
  for (const Slot& taken : old) {
    if (taken.number == 0) continue;
    size_t slot = Home(taken.tag);
    while (slots_[slot].number != 0) slot = (slot + 1) & mask;
    slots_[slot] = taken;
  }
}

// ---- The mark

LogIndex RecentSends::mark() const {
  if (options_.max_messages == 0) return kNothingToReplay;
  absl::MutexLock lock(&mutex_);
  return mark_;
}

void RecentSends::Freeze(LogIndex applied, int64_t log_ms) {
  absl::MutexLock lock(&mutex_);
  Expire(log_ms);
  const LogIndex needed = first_ < applied_ ? milestones_.front().entry - 1 : applied;
  frozen_ = std::max(mark_, std::min(needed, applied));
}

absl::Status RecentSends::WriteFrozen() {
  if (options_.max_messages == 0) return absl::OkStatus();
  LogIndex next;
  {
    absl::MutexLock lock(&mutex_);
    if (frozen_ == mark_) return absl::OkStatus();
    next = frozen_;
  }
  MarkWriter out(kMagic, kVersion);
  out.Put(next.value());
  RAFTMQ_RETURN_IF_ERROR(WriteFileAtomically(fs_, path_, std::move(out).Finish()));
  absl::MutexLock lock(&mutex_);
  mark_ = next;
  return absl::OkStatus();
}

LogPosition RecentSends::OldestAt(int64_t log_ms) const {
  absl::ReaderMutexLock lock(&mutex_);
  // They are in the order of their store times, as they are in the log.
  const auto oldest = std::partition_point(
      entries_.begin(), entries_.end(), [&](const Entry& entry) { return IsOver(entry, log_ms); });
  return LogPosition(oldest == entries_.end() ? std::numeric_limits<int64_t>::max()
                                              : oldest->position);
}

size_t RecentSends::size() const {
  absl::MutexLock lock(&mutex_);
  return entries_.size();
}

}  // namespace raftmq::store
