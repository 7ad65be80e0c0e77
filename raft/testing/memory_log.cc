#include "raft/testing/memory_log.h"

#include <algorithm>

#include "base/strings.h"
#include "glog/logging.h"

namespace raftmq::raft::testing {

absl::Status MemoryLog::CheckReadable(LogIndex index, LogIndex lowest) const {
  RAFTMQ_RETURN_IF_ERROR(read_error_);
  if (index < lowest || index > LastIndex()) {
    return absl::OutOfRangeError(
        StrCat("memory log: entry ", index, " is not in ", first_, "..", LastIndex()));
  }
  return absl::OkStatus();
}

absl::StatusOr<Term> MemoryLog::TermAt(LogIndex index) const {
  RAFTMQ_RETURN_IF_ERROR(CheckReadable(index, first_ - 1));
  return index == LogIndex(0) ? Term(0) : entries_[index.value() - 1].term;
}

absl::StatusOr<LogPosition> MemoryLog::EndAt(LogIndex index) const {
  RAFTMQ_RETURN_IF_ERROR(CheckReadable(index, first_ - 1));
  return index == LogIndex(0) ? LogPosition(0) : entries_[index.value() - 1].end();
}

absl::StatusOr<EntryMeta> MemoryLog::EntryAt(LogIndex index) const {
  RAFTMQ_RETURN_IF_ERROR(CheckReadable(index, first_));
  return entries_[index.value() - 1];
}

absl::StatusOr<std::vector<EntryMeta>> MemoryLog::EntriesFrom(LogIndex index, int64_t max_bytes,
                                                              int32_t max_count) const {
  RAFTMQ_RETURN_IF_ERROR(CheckReadable(index, first_));
  std::vector<EntryMeta> found;
  int64_t bytes = 0;
  for (size_t i = index.value() - 1; i < entries_.size(); ++i) {
    bytes += entries_[i].size;
    if (!found.empty() && (bytes > max_bytes || static_cast<int32_t>(found.size()) >= max_count)) {
      break;
    }
    found.push_back(entries_[i]);
  }
  return found;
}

void MemoryLog::Append(const EntryMeta& entry) {
  CHECK_EQ(entry.index, LastIndex() + 1);
  entries_.push_back(entry);
}

void MemoryLog::TruncateFrom(LogIndex from) {
  CHECK_GT(from, LogIndex(0));
  CHECK_LE(from, LastIndex());
  entries_.resize(from.value() - 1);
  common_ = std::min(common_, entries_.size());
}

LogEnd MemoryLog::End() const {
  if (entries_.empty()) return {};
  const EntryMeta& last = entries_.back();
  return {last.index, last.term, last.end()};
}

void MemoryLog::Sync(size_t n) {
  CHECK_LE(n, entries_.size());
  disk_.resize(common_);
  if (n > common_) disk_.insert(disk_.end(), entries_.begin() + common_, entries_.begin() + n);
  common_ = disk_.size();
}

void MemoryLog::Crash(Random* random) {
  if (random == nullptr) {
    entries_ = disk_;
    common_ = disk_.size();
    return;
  }
  const bool truncated = disk_.size() > common_;
  if (!truncated || random->Chance(0.5)) {
    const size_t kept = common_ + random->Below(entries_.size() - common_ + 1);
    disk_.assign(entries_.begin(), entries_.begin() + kept);
  }
  entries_ = disk_;
  common_ = disk_.size();
}

void MemoryLog::Damage(LogIndex from) {
  if (from.value() - 1 < static_cast<int64_t>(disk_.size())) disk_.resize(from.value() - 1);
  entries_ = disk_;
  common_ = disk_.size();
}

}  // namespace raftmq::raft::testing
