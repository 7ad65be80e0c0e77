#include "raft/raft_log.h"

#include <algorithm>
#include <utility>

#include "base/strings.h"
#include "glog/logging.h"

namespace raftmq::raft {

namespace {

LogEnd EndOf(const EntryMeta& entry) { return {entry.index, entry.term, entry.end()}; }

absl::Status NotHeld(LogIndex index, LogIndex last) {
  return absl::OutOfRangeError(
      StrCat("raft log: no entry ", index, "; the log ends at entry ", last));
}

}  // namespace

RaftLog::RaftLog(const LogStorage* storage, const LogEnd& last, LogIndex commit, LogIndex applied)
    : storage_(storage),
      base_(last),
      last_(last),
      commit_(commit),
      applied_(applied),
      durable_(last.index) {
  CHECK_LE(applied_, commit_);
  CHECK_LE(commit_, last_.index);
}

const EntryMeta& RaftLog::InMemory(LogIndex index) const {
  CHECK_GT(index, base_.index);
  CHECK_LE(index, last_.index);
  return tail_[index - base_.index - 1];
}

absl::StatusOr<Term> RaftLog::TermAt(LogIndex index) const {
  if (index > last_.index || index < LogIndex(0)) return NotHeld(index, last_.index);
  if (index > base_.index) return InMemory(index).term;
  if (index == base_.index) return base_.term;
  return storage_->TermAt(index);
}

absl::StatusOr<LogPosition> RaftLog::EndAt(LogIndex index) const {
  if (index > last_.index || index < LogIndex(0)) return NotHeld(index, last_.index);
  if (index > base_.index) return InMemory(index).end();
  if (index == base_.index) return base_.end;
  return storage_->EndAt(index);
}

absl::StatusOr<bool> RaftLog::Matches(LogIndex index, Term term) const {
  if (index > last_.index) return false;
  absl::StatusOr<Term> held = TermAt(index);
  if (absl::IsOutOfRange(held.status())) return true;
  if (!held.ok()) return held.status();
  return *held == term;
}

absl::StatusOr<std::vector<EntryMeta>> RaftLog::Slice(LogIndex first, int64_t max_bytes,
                                                      int32_t max_count,
                                                      int64_t segment_size) const {
  CHECK_LE(first, last_.index);
  std::vector<EntryMeta> entries;
  if (first <= base_.index) {
    const int64_t held = base_.index - first + 1;
    const auto count = static_cast<int32_t>(std::min<int64_t>(max_count, held));
    RAFTMQ_ASSIGN_OR_RETURN(entries, storage_->EntriesFrom(first, max_bytes, count));
  } else {
    int64_t bytes = 0;
    for (LogIndex i = first; i <= last_.index && i - first < max_count; ++i) {
      const EntryMeta& entry = InMemory(i);
      if (bytes > 0 && bytes + entry.size > max_bytes) break;
      bytes += entry.size;
      entries.push_back(entry);
    }
  }
  if (entries.empty() || entries.front().index != first) {
    return absl::DataLossError(StrCat("log storage: asked for entries from ", first, ", got ",
                                      entries.empty() ? "none" : ToString(entries.front())));
  }
  size_t n = 1;
  while (n < entries.size() && entries[n].position == entries[n - 1].end() &&
         entries[n].position.value() / segment_size == entries[0].position.value() / segment_size) {
    ++n;
  }
  entries.resize(n);
  return entries;
}

absl::StatusOr<LogIndex> RaftLog::LastWithTermAtMost(LogIndex upto, Term term) const {
  LogIndex low = std::min(base_.index, storage_->FirstIndex() - 1);  // answers even if above `term`
  LogIndex high = std::min(upto, last_.index);
  if (high <= low) return std::max(high, LogIndex(0));
  // Terms never fall along the log: the last index in (low, high] that qualifies, or low.
  while (low < high) {
    const LogIndex middle = low + (high - low + 1) / 2;
    RAFTMQ_ASSIGN_OR_RETURN(const Term held, TermAt(middle));
    if (held <= term) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

bool RaftLog::IsUpToDate(LogIndex last_index, Term last_term) const {
  return last_term > last_.term || (last_term == last_.term && last_index >= last_.index);
}

int64_t RaftLog::UncommittedBytes() const {
  const LogPosition committed_end = commit_ > base_.index ? InMemory(commit_).end() : base_.end;
  return last_.end - committed_end;
}

void RaftLog::Append(const EntryMeta& entry) {
  CHECK_EQ(entry.index, last_.index + 1);
  CHECK_GE(entry.term, last_.term);
  CHECK_GE(entry.position, last_.end);
  tail_.push_back(entry);
  last_ = EndOf(entry);
}

absl::Status RaftLog::TruncateFrom(LogIndex from) {
  CHECK_GT(from, commit_) << "a committed entry must never be removed";
  CHECK_LE(from, last_.index);
  if (from > base_.index) {
    tail_.resize(from - base_.index - 1);
    last_ = tail_.empty() ? base_ : EndOf(tail_.back());
  } else {
    RAFTMQ_ASSIGN_OR_RETURN(const Term term, TermAt(from - 1));
    RAFTMQ_ASSIGN_OR_RETURN(const LogPosition end, EndAt(from - 1));
    tail_.clear();
    base_ = {from - 1, term, end};
    last_ = base_;
  }
  durable_ = std::min(durable_, last_.index);
  return absl::OkStatus();
}

void RaftLog::CommitTo(LogIndex index) {
  CHECK_LE(index, last_.index) << "commit index beyond the log's end";
  commit_ = std::max(commit_, index);
}

void RaftLog::AppliedTo(LogIndex index) {
  CHECK_LE(index, std::min(commit_, durable_));
  applied_ = std::max(applied_, index);
}

bool RaftLog::DurableTo(LogIndex index, Term term) {
  if (index <= durable_ || index > last_.index || InMemory(index).term != term) return false;
  durable_ = index;
  return true;
}

void RaftLog::Compact(LogIndex upto) {
  CHECK_LE(upto, std::min(applied_, durable_));
  while (base_.index < upto) {
    base_ = EndOf(tail_.front());
    tail_.pop_front();
  }
}

}  // namespace raftmq::raft
