#include "store/testing/fake_ledger.h"

#include <algorithm>
#include <utility>

#include "base/endian.h"
#include "base/strings.h"
#include "glog/logging.h"

namespace raftmq::store {

using dledger::CommittedEntry;
using dledger::FrameType;
using dledger::LedgerStatus;
using dledger::Proposal;
using dledger::ProposalOutcome;
using dledger::ProposalWriter;
using dledger::Role;

LogPosition FakeLog::Entry::body_position() const { return position + kHeaderSize; }
LogPosition FakeLog::Entry::end() const {
  return position + (kHeaderSize + static_cast<int64_t>(body.size()));
}

void FakeLog::Append(Entry entry) {
  absl::MutexLock lock(&mutex_);
  CHECK_EQ(entry.index.value(), static_cast<int64_t>(entries_.size()) + 1);
  entries_.push_back(std::move(entry));
}

LogIndex FakeLog::last_index() const {
  absl::MutexLock lock(&mutex_);
  return LogIndex(static_cast<int64_t>(entries_.size()));
}

Term FakeLog::last_term() const {
  absl::MutexLock lock(&mutex_);
  return entries_.empty() ? Term(0) : entries_.back().term;
}

LogPosition FakeLog::end() const {
  absl::MutexLock lock(&mutex_);
  return entries_.empty() ? LogPosition(0) : entries_.back().end();
}

LogIndex FakeLog::LastBefore(LogPosition position) const {
  absl::MutexLock lock(&mutex_);
  LogIndex last;
  for (const Entry& entry : entries_) {
    if (entry.end() > position) break;
    last = entry.index;
  }
  return last;
}

// Between the bodies there are zeroes, in place of headers.
absl::StatusOr<std::string> FakeLog::Read(LogPosition position, size_t size) const {
  absl::MutexLock lock(&mutex_);
  const LogPosition end = entries_.empty() ? LogPosition(0) : entries_.back().end();
  if (position < LogPosition(0) || size > static_cast<size_t>(INT32_MAX) ||
      end - position < static_cast<int64_t>(size)) {
    return absl::OutOfRangeError(
        StrCat(size, " bytes at ", position, ": nothing is committed from ", end, " on"));
  }
  std::string bytes(size, '\0');
  const LogPosition stop = position + static_cast<int64_t>(size);
  auto entry = std::upper_bound(entries_.begin(), entries_.end(), position,
                                [](LogPosition p, const Entry& e) { return p < e.position; });
  if (entry != entries_.begin()) --entry;
  for (; entry != entries_.end() && entry->position < stop; ++entry) {
    const LogPosition from = std::max(position, entry->body_position());
    const LogPosition to = std::min(stop, entry->end());
    if (from >= to) continue;
    bytes.replace(from - position, to - from, entry->body, from - entry->body_position(),
                  to - from);
  }
  return bytes;
}

void FakeLog::Corrupt(LogPosition position) {
  absl::MutexLock lock(&mutex_);
  for (Entry& entry : entries_) {
    if (position >= entry.body_position() && position < entry.end()) {
      entry.body[position - entry.body_position()] ^= 1;
      return;
    }
  }
  LOG(FATAL) << "nothing to corrupt at " << position;
}

absl::Status FakeLog::Feed(LogIndex after, LogIndex to, size_t batch,
                           dledger::StateMachine* machine) const {
  CHECK_GT(batch, 0u);
  while (after < to) {
    std::vector<CommittedEntry> entries;
    std::deque<Entry> copies;  // a follower's buffers, gone after the call
    {
      absl::MutexLock lock(&mutex_);
      while (after < to && entries.size() < batch) {
        const Entry& entry = copies.emplace_back(entries_[after.value()]);
        entries.push_back({entry.index, entry.term, entry.type, entry.position,
                           entry.body_position(), entry.body, entry.end()});
        ++after;
      }
    }
    RAFTMQ_RETURN_IF_ERROR(machine->Apply(entries));
  }
  return absl::OkStatus();
}

// Writes into frames of its own, which the ledger takes when the proposal decided.
class FakeLedger::Writer final : public ProposalWriter {
 public:
  explicit Writer(FakeLedger* ledger) : ledger_(ledger) {}

  absl::StatusOr<Reservation> ReserveRecord(size_t size) override {
    RAFTMQ_ASSIGN_OR_RETURN(auto all, ReserveRecords({size}));
    return all[0];
  }

  absl::StatusOr<std::vector<Reservation>> ReserveRecords(
      const std::vector<size_t>& sizes) override {
    size_t total = 0;
    for (size_t size : sizes) total += size;
    RAFTMQ_RETURN_IF_ERROR(Reserve(FrameType::kRecords, total));
    std::vector<Reservation> result;
    FakeLog::Entry& entry = ledger_->uncommitted_.back();
    for (size_t size : sizes) {
      const size_t offset = entry.body.size();
      entry.body.resize(offset + size);
      result.push_back(
          {entry.body.data() + offset, entry.body_position() + static_cast<int64_t>(offset)});
    }
    return result;
  }

  absl::Status AppendCommand(std::string_view command) override {
    RAFTMQ_RETURN_IF_ERROR(Reserve(FrameType::kCommands, command.size() + 4));
    std::string& body = ledger_->uncommitted_.back().body;
    AppendBe<uint32_t>(&body, static_cast<uint32_t>(command.size()));
    body.append(command);
    return absl::OkStatus();
  }

  bool wrote() const { return wrote_; }

 private:
  // Makes the last uncommitted entry one of `type` with `size` bytes of room.
  absl::Status Reserve(FrameType type, size_t size) {
    const size_t max_body = ledger_->options_.max_frame_body;
    if (size > max_body) return absl::InvalidArgumentError("larger than a frame may be");
    if (ledger_->uncommitted_bytes_ + size > ledger_->options_.max_uncommitted) {
      return absl::ResourceExhaustedError("the uncommitted limit is reached");
    }
    auto& entries = ledger_->uncommitted_;
    if (entries.empty() || entries.back().type != type ||
        entries.back().body.size() + size > max_body) {
      FakeLog::Entry entry;
      entry.index = entries.empty() ? ledger_->log_->last_index() + 1 : entries.back().index + 1;
      entry.term = ledger_->term_;
      entry.type = type;
      entry.position = entries.empty() ? ledger_->log_->end() : entries.back().end();
      entry.body.reserve(max_body);  // reservations point into it
      entries.push_back(std::move(entry));
    }
    ledger_->uncommitted_bytes_ += size;
    wrote_ = true;
    return absl::OkStatus();
  }

  FakeLedger* const ledger_;
  bool wrote_ = false;
};

FakeLedger::FakeLedger(FakeLog* log, dledger::StateMachine* machine, Options options)
    : log_(log), machine_(machine), options_(options), begin_(options.begin) {
  PublishStatus();
}

FakeLedger::~FakeLedger() {
  if (leading_) LoseLeadership();
}

absl::Status FakeLedger::Start() {
  const LogIndex before = log_->LastBefore(begin());
  if (machine_->NeedsEntriesAfter() < before) {
    return absl::FailedPreconditionError(StrCat("the log begins after entry ", before));
  }
  applied_ = std::clamp(machine_->ReplayAfter(), before, log_->last_index());
  RAFTMQ_RETURN_IF_ERROR(ApplyAll());
  PublishStatus();
  return absl::OkStatus();
}

absl::Status FakeLedger::BecomeLeader() {
  CHECK(!leading_);
  term_ = log_->last_term() + 1;
  log_->Append({log_->last_index() + 1, term_, FrameType::kNoOp, log_->end(), ""});
  RAFTMQ_RETURN_IF_ERROR(ApplyAll());
  leading_ = true;
  machine_->BeginLeadership(term_);
  PublishStatus();
  return absl::OkStatus();
}

void FakeLedger::LoseLeadership() {
  CHECK(leading_);
  leading_ = false;
  machine_->EndLeadership();
  uncommitted_.clear();
  uncommitted_bytes_ = 0;
  PublishStatus();
  auto decided = std::move(decided_);
  decided_.clear();
  for (Decided& d : decided) {
    d.proposal->Done({d.index == LogIndex(0) ? absl::FailedPreconditionError("not leader")
                                             : absl::UnknownError("leadership was lost"),
                      term_, d.index});
  }
  DecideAll();  // refuses what waits
}

int FakeLedger::DecideAll() {
  int count = 0;
  for (;;) {
    std::unique_ptr<Proposal> proposal;
    {
      absl::MutexLock lock(&mutex_);
      if (waiting_.empty()) return count;
      proposal = std::move(waiting_.front());
      waiting_.pop_front();
    }
    ++count;
    if (!leading_) {
      proposal->Done({absl::FailedPreconditionError("not leader"), term_, LogIndex(0)});
      continue;
    }
    Writer writer(this);
    absl::Status status = proposal->Decide(writer);
    if (!status.ok()) {
      CHECK(!writer.wrote()) << "a proposal that refuses has written: " << status;
      proposal->Done({std::move(status), term_, LogIndex(0)});
    } else {
      decided_.push_back(
          {std::move(proposal), writer.wrote() ? uncommitted_.back().index : LogIndex(0)});
    }
  }
}

void FakeLedger::CommitAll() {
  for (FakeLog::Entry& entry : uncommitted_) log_->Append(std::move(entry));
  uncommitted_.clear();
  uncommitted_bytes_ = 0;
  auto decided = std::move(decided_);
  decided_.clear();
  for (Decided& d : decided) d.proposal->Done({absl::OkStatus(), term_, d.index, true});
}

absl::Status FakeLedger::ApplyAll() {
  const LogIndex last = log_->last_index();
  RAFTMQ_RETURN_IF_ERROR(log_->Feed(applied_, last, 64, machine_));
  applied_ = last;
  return absl::OkStatus();
}

absl::Status FakeLedger::Turn() {
  if (in_turn_) return absl::OkStatus();  // proposed from within: the turn that runs takes it
  in_turn_ = true;
  absl::Status status;
  do {
    DecideAll();
    CommitAll();
    status = ApplyAll();
  } while (status.ok() && waiting() > 0);
  in_turn_ = false;
  return status;
}

size_t FakeLedger::waiting() const {
  absl::MutexLock lock(&mutex_);
  return waiting_.size();
}

void FakeLedger::Propose(std::unique_ptr<Proposal> proposal) {
  {
    absl::MutexLock lock(&mutex_);
    waiting_.push_back(std::move(proposal));
  }
  if (!options_.synchronous) return;
  const absl::Status turned = Turn();
  CHECK(turned.ok()) << turned;
}

absl::StatusOr<std::string> FakeLedger::Read(LogPosition position, size_t size) const {
  if (position < begin()) {
    return absl::OutOfRangeError(StrCat("position ", position, " is not kept any more"));
  }
  return log_->Read(position, size);
}

void FakeLedger::ReleaseBefore(LogPosition position) {
  absl::MutexLock lock(&mutex_);
  begin_ = std::max(begin_, position);
}

LogPosition FakeLedger::begin() const {
  absl::MutexLock lock(&mutex_);
  return begin_;
}

LedgerStatus FakeLedger::MakeStatus() const {
  LedgerStatus status;
  status.role = leading_ ? Role::kLeader : Role::kFollower;
  status.term = term_;
  status.self = MemberId(1);
  status.leader = leading_ ? MemberId(1) : kNoMember;
  status.serving = leading_;
  status.first_index = log_->LastBefore(begin()) + 1;
  status.last_index = log_->last_index();
  status.commit_index = status.last_index;
  status.applied_index = applied_;
  status.first_position = begin();
  status.end_position = log_->end();
  status.segment_size = options_.segment_size;
  status.held_by_all = std::min(held_by_all_, log_->end());
  status.held_up_by = MemberId(2);
  return status;
}

void FakeLedger::PublishStatus() {
  if (listener_) listener_(MakeStatus());
}

std::shared_ptr<const LedgerStatus> FakeLedger::Status() const {
  return std::make_shared<LedgerStatus>(MakeStatus());
}

void FakeLedger::SetStatusListener(StatusListener listener) { listener_ = std::move(listener); }

void FakeLedger::TransferLeadership(MemberId target, absl::AnyInvocable<void(absl::Status)> done) {
  done(absl::UnimplementedError(StrCat("no member ", target, " here")));
}

}  // namespace raftmq::store
