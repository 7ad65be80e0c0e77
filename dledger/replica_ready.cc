// Replica: carries out what the Raft core asks for (raft/ready.h).
#include <algorithm>
#include <utility>

#include "base/strings.h"
#include "dledger/replica.h"
#include "glog/logging.h"

namespace raftmq::dledger {

void Replica::DrainReady() {
  while (!stopped_ && node_.HasReady()) ProcessReady(node_.TakeReady());
}

void Replica::ProcessReady(raft::Ready ready) {
  if (!ready.storage_error.ok()) {
    FailFromLog(ready.storage_error);
    return;
  }
  CheckLeadership();
  if (ready.hard_state.has_value()) {
    const absl::Status written = storage_.hard_state_file.Write(*ready.hard_state);
    if (!written.ok()) {
      Fail(written);
      return;
    }
  }
  if (ready.truncate_from.has_value()) TruncateFrom(*ready.truncate_from);
  if (!stopped_ && !ready.entries.empty()) AppendEntries(ready.entries);
  for (raft::Message& message : ready.messages) {
    if (stopped_) return;
    SendMessage(std::move(message));
  }
  if (stopped_) return;
  if (ready.damage_healed) {
    const absl::Status cleared = storage_.damaged_flag.Clear();
    if (!cleared.ok()) {
      Fail(cleared);
      return;
    }
    storage_.damage.clear();
    members_changed_ = true;
    LOG(INFO) << "member " << storage_.identity.member << "'s log is whole again";
  }
  if (leading_term_ != Term(0)) {
    while (!uncommitted_.empty() && uncommitted_.front().first <= ready.committed) {
      uncommitted_bytes_ -= uncommitted_.front().second;
      uncommitted_.pop_front();
    }
    completions_.OnCommitted(ready.committed);
    completions_.OnReplicated(ready.replicated);
    ConfirmReads(ready.confirmed_reads);
    if (!held_.empty()) ScheduleTurn();
  }
}

// ---- Appending ----

void Replica::AppendEntries(const std::vector<raft::EntryMeta>& entries) {
  if (received_ != nullptr) {
    AppendReceived(entries);
    return;
  }
  for (const raft::EntryMeta& entry : entries) {
    if (stopped_) return;
    AppendOwn(entry);
  }
}

void Replica::AppendOwn(const raft::EntryMeta& entry) {
  FrameType type = FrameType::kNoOp;
  RawBytes bytes;
  if (entry.type == raft::EntryType::kNoOp) {
    bytes.resize(raft::kNoOpFrameSize);
  } else {
    CHECK(!built_.empty() && built_.front().first == entry)
        << "the core asks for entry " << entry << ", which was not built";
    type = built_.front().second.type;
    bytes = std::move(built_.front().second.bytes);
    built_.pop_front();
  }
  SealFrame(entry.index, entry.term, entry.position, type, LastChainCrc(),
            {bytes.data(), bytes.size()});
  uncommitted_.emplace_back(entry.index, entry.size);
  uncommitted_bytes_ += entry.size;
  AppendToLog({entry}, Bytes(std::move(bytes)));
}

// The new ones among the entries of the message at hand.
void Replica::AppendReceived(const std::vector<raft::EntryMeta>& entries) {
  CHECK(received_checked_) << "unchecked entries of member " << received_->from
                           << " were accepted: " << *received_;
  const int64_t offset = entries.front().position - received_->entries.front().position;
  const int64_t size = entries.back().end() - entries.front().position;
  AppendToLog(entries,
              received_frames_.Sub(static_cast<size_t>(offset), static_cast<size_t>(size)));
}

void Replica::AppendToLog(std::vector<raft::EntryMeta> entries, Bytes frames) {
  applier_.Remember(entries, frames);
  if (stalled_.empty() && storage_.log->HasRoomFor(static_cast<int64_t>(frames.size())).ok()) {
    const absl::Status appended = storage_.log->Append(entries, std::move(frames));
    if (!appended.ok()) Fail(appended);
    return;
  }
  stalled_bytes_ += frames.size();
  stalled_.push_back({std::move(entries), std::move(frames)});
}

void Replica::RetryStalled() {
  while (!stalled_.empty() && !stopped_) {
    Stalled& first = stalled_.front();
    const auto size = static_cast<int64_t>(first.frames.size());
    if (!storage_.log->HasRoomFor(size).ok()) return;
    const absl::Status appended = storage_.log->Append(first.entries, first.frames);
    if (!appended.ok()) {
      Fail(appended);
      return;
    }
    stalled_bytes_ -= first.frames.size();
    stalled_.pop_front();
  }
}

void Replica::TruncateFrom(LogIndex from) {
  applier_.Truncate(from);
  while (!stalled_.empty() && stalled_.back().entries.back().index >= from) {
    Stalled& last = stalled_.back();
    stalled_bytes_ -= last.frames.size();
    if (last.entries.front().index >= from) {
      stalled_.pop_back();
      continue;
    }
    const auto kept = static_cast<size_t>(from - last.entries.front().index);
    last.entries.resize(kept);
    last.frames = last.frames.Sub(
        0, static_cast<size_t>(last.entries.back().end() - last.entries.front().position));
    stalled_bytes_ += last.frames.size();
  }
  if (from > storage_.log->LastIndex()) return;
  const absl::Status cut = storage_.log->TruncateSuffix(from);
  if (!cut.ok()) FailFromLog(cut);
}

uint32_t Replica::LastChainCrc() const {
  if (stalled_.empty()) return storage_.log->LastChainCrc();
  const Stalled& last = stalled_.back();
  return ChainCrcField(last.frames.view().data() +
                       (last.entries.back().position - last.entries.front().position));
}

// ---- Sending ----

void Replica::SendMessage(raft::Message message) {
  if (deps_.transport == nullptr) return;
  PeerMessage out;
  if (!message.entries.empty()) {
    // Rare: our own log has no room for them yet. Lost on the way, as far as Raft is concerned.
    if (message.entries.back().index > storage_.log->LastIndex()) return;
    const absl::Status read = storage_.log->ReadPieces(message.entries, &out.slices);
    if (absl::IsOutOfRange(read)) return;
    if (!read.ok()) {
      FailFromLog(Annotate(read, StrCat("reading the log for member ", message.to)));
      return;
    }
  }
  const MemberId to = message.to;
  out.message = std::move(message);
  deps_.transport->Send(to, std::move(out));
}

}  // namespace raftmq::dledger
