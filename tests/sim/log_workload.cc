#include "tests/sim/log_workload.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/crc.h"
#include "base/endian.h"
#include "base/strings.h"

namespace raftmq::sim {
namespace {

using dledger::AckLevel;
using dledger::CommittedEntry;
using dledger::FrameType;
using dledger::ProposalOutcome;
using dledger::ProposalWriter;

// A record: size u32 | its own position u64 | id u64 | filling. A command: id u64 | filling.
constexpr size_t kRecordHead = 20;
constexpr size_t kMaxComplaints = 20;

}  // namespace

// ---- LogOracle ----

void LogOracle::OnProposed(uint64_t id) {
  absl::MutexLock lock(&mutex_);
  ++proposed_;
  open_.insert(id);
}

void LogOracle::OnDone(uint64_t id, AckLevel level, const ProposalOutcome& outcome, bool wrote) {
  absl::MutexLock lock(&mutex_);
  if (open_.erase(id) == 0) ComplainLocked(StrCat("proposal ", id, " was answered twice"));
  if (outcome.status.ok()) {
    if (!wrote) {
      never_.insert(id);
    } else if (level == AckLevel::kMajorityDisk || level == AckLevel::kAllDisks) {
      acknowledged_[id] = outcome.index;
    }
  } else if (absl::IsUnknown(outcome.status)) {
    if (!wrote) {
      never_.insert(id);  // what it rests on is not on all disks in time
    } else if (outcome.committed) {
      acknowledged_[id] = outcome.index;
    }
  } else {
    never_.insert(id);
  }
}

void LogOracle::OnProposalGone(uint64_t id, int times_done) {
  if (times_done == 1) return;
  Complain(StrCat("proposal ", id, " was answered ", times_done, " times"));
}

void LogOracle::OnApplied(int member, const CommittedEntry& entry) {
  absl::MutexLock lock(&mutex_);
  applied_by_[member] = entry.index;
  char head[24];
  StoreBe<int64_t>(head, entry.term.value());
  StoreBe<int64_t>(head + 8, entry.position.value());
  StoreBe<int64_t>(head + 16, static_cast<int64_t>(entry.type));
  const uint32_t digest = Crc32c(entry.body, Crc32c({head, sizeof(head)}));
  const auto [known, first] = entries_.emplace(entry.index, digest);
  if (known->second != digest) {
    ComplainLocked(StrCat("member ", member, " applied another entry ", entry.index, " (term ",
                          entry.term, ", position ", entry.position, ") than some other did"));
  }
  if (!first) return;
  if (entry.type == FrameType::kRecords) CheckRecords(entry);
  if (entry.type == FrameType::kCommands) CheckCommands(entry);
}

void LogOracle::CheckRecords(const CommittedEntry& entry) {
  std::string_view rest = entry.body;
  std::set<uint64_t> ids;  // a proposal may write several
  while (!rest.empty()) {
    const LogPosition at =
        entry.body_position + static_cast<int64_t>(rest.data() - entry.body.data());
    const size_t size = rest.size() < kRecordHead ? 0 : LoadBe<uint32_t>(rest.data());
    if (size < kRecordHead || size > rest.size()) {
      ComplainLocked(StrCat("entry ", entry.index, " holds no record at ", at));
      return;
    }
    if (LoadBe<int64_t>(rest.data() + 4) != at.value()) {
      ComplainLocked(StrCat("a record was told position ", LoadBe<int64_t>(rest.data() + 4),
                            ", but lies at ", at));
    }
    ids.insert(LoadBe<uint64_t>(rest.data() + 12));
    rest.remove_prefix(size);
  }
  for (const uint64_t id : ids) NoteId(id, entry.index);
}

void LogOracle::CheckCommands(const CommittedEntry& entry) {
  std::string_view rest = entry.body;
  while (rest.size() >= 4) {
    const size_t size = LoadBe<uint32_t>(rest.data());
    if (size < 8 || size > rest.size() - 4) break;
    NoteId(LoadBe<uint64_t>(rest.data() + 4), entry.index);
    rest.remove_prefix(4 + size);
  }
  if (!rest.empty()) ComplainLocked(StrCat("entry ", entry.index, " holds no commands"));
}

// A proposal's writes may span entries that follow each other; a repetition would come later.
void LogOracle::NoteId(uint64_t id, LogIndex index) {
  LogIndex& where = ids_[id];
  if (where != LogIndex(0) && index > where + 3) {
    ComplainLocked(StrCat("proposal ", id, " was applied at ", where, " and again at ", index));
  }
  where = index;
}

void LogOracle::Complain(std::string what) {
  absl::MutexLock lock(&mutex_);
  ComplainLocked(std::move(what));
}

void LogOracle::ComplainLocked(std::string what) {
  if (complaints_.size() < kMaxComplaints) complaints_.push_back(std::move(what));
}

LogIndex LogOracle::flushed(int member) const {
  absl::MutexLock lock(&mutex_);
  const auto found = flushed_.find(member);
  return found == flushed_.end() ? LogIndex(0) : found->second;
}

void LogOracle::SetFlushed(int member, LogIndex index) {
  absl::MutexLock lock(&mutex_);
  flushed_[member] = index;
}

std::vector<std::string> LogOracle::Violations() const {
  absl::MutexLock lock(&mutex_);
  std::vector<std::string> all = complaints_;
  for (const auto& [id, index] : acknowledged_) {
    const auto applied = ids_.find(id);
    if (applied == ids_.end()) {
      all.push_back(StrCat("proposal ", id, " was acknowledged at ", index, " and is lost"));
    } else if (applied->second != index) {
      all.push_back(StrCat("proposal ", id, " was acknowledged at ", index, " and applied at ",
                           applied->second));
    }
  }
  for (const uint64_t id : never_) {
    if (ids_.count(id) != 0) {
      all.push_back(
          StrCat("proposal ", id, " was certainly not logged, yet applied at ", ids_.at(id)));
    }
  }
  for (const uint64_t id : open_) all.push_back(StrCat("proposal ", id, " was never answered"));
  if (all.size() > kMaxComplaints) all.resize(kMaxComplaints);
  return all;
}

bool LogOracle::AwaitApplied(const std::vector<int>& members, LogIndex index,
                             absl::Duration deadline) const {
  const auto applied = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return std::all_of(members.begin(), members.end(), [&](int member) {
      const auto found = applied_by_.find(member);
      return found != applied_by_.end() && found->second >= index;
    });
  };
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(&applied), deadline);
}

size_t LogOracle::acknowledged() const {
  absl::MutexLock lock(&mutex_);
  return acknowledged_.size();
}

size_t LogOracle::proposed() const {
  absl::MutexLock lock(&mutex_);
  return proposed_;
}

size_t LogOracle::answered() const {
  absl::MutexLock lock(&mutex_);
  return proposed_ - open_.size();
}

LogIndex LogOracle::highest_applied() const {
  absl::MutexLock lock(&mutex_);
  return entries_.empty() ? LogIndex(0) : entries_.rbegin()->first;
}

// ---- RecordingStateMachine ----

RecordingStateMachine::RecordingStateMachine(LogOracle* oracle, int member, int flush_every)
    : oracle_(oracle),
      member_(member),
      flush_every_(flush_every),
      applied_(oracle->flushed(member)) {}

LogIndex RecordingStateMachine::DurableAppliedIndex() const { return oracle_->flushed(member_); }

absl::Status RecordingStateMachine::Apply(std::span<const CommittedEntry> entries) {
  absl::MutexLock lock(&mutex_);
  if (!fail_.ok()) return std::exchange(fail_, absl::OkStatus());
  for (const CommittedEntry& entry : entries) {
    if (entry.index > applied_ + 1) {
      oracle_->Complain(StrCat("member ", member_, " was to apply entry ", entry.index,
                               " after entry ", applied_));
    }
    if (entry.index <= applied_) continue;
    oracle_->OnApplied(member_, entry);
    applied_ = entry.index;
    applied_term_ = entry.term;
  }
  if (++calls_ % flush_every_ == 0) oracle_->SetFlushed(member_, applied_);
  return absl::OkStatus();
}

void RecordingStateMachine::BeginLeadership(Term term) {
  absl::MutexLock lock(&mutex_);
  if (applied_term_ != term) {
    oracle_->Complain(StrCat("member ", member_, " is to lead term ", term,
                             ", but has applied entries of term ", applied_term_, " only"));
  }
  if (std::exchange(leading_, true)) oracle_->Complain("BeginLeadership twice");
}

void RecordingStateMachine::EndLeadership() {
  absl::MutexLock lock(&mutex_);
  if (!std::exchange(leading_, false)) oracle_->Complain("EndLeadership without Begin");
}

void RecordingStateMachine::FailNextApply(absl::Status status) {
  absl::MutexLock lock(&mutex_);
  fail_ = std::move(status);
}

// ---- TestProposal ----

TestProposal::TestProposal(LogOracle* oracle, uint64_t id, Deed deed, size_t size, AckLevel level,
                           Callback done)
    : oracle_(oracle),
      id_(id),
      deed_(deed),
      size_(std::max(size, kRecordHead)),
      level_(level),
      done_(std::move(done)) {
  oracle_->OnProposed(id_);
}

TestProposal::~TestProposal() { oracle_->OnProposalGone(id_, times_done_); }

void TestProposal::Fill(const ProposalWriter::Reservation& reservation, size_t size) {
  std::memset(reservation.data, static_cast<int>('a' + id_ % 26), size);
  StoreBe<uint32_t>(reservation.data, static_cast<uint32_t>(size));
  StoreBe<int64_t>(reservation.data + 4, reservation.position.value());
  StoreBe<uint64_t>(reservation.data + 12, id_);
}

absl::Status TestProposal::Decide(ProposalWriter& writer) {
  switch (deed_) {
    case Deed::kNothing:
      return absl::OkStatus();
    case Deed::kRefuse:
      return absl::InvalidArgumentError("refused, as asked for");
    case Deed::kCommand: {
      std::string command(size_, 'c');
      StoreBe<uint64_t>(command.data(), id_);
      return writer.AppendCommand(command);
    }
    case Deed::kAtomicRecords: {
      const std::vector<size_t> sizes = {size_, size_ + 1, size_ + 2};
      RAFTMQ_ASSIGN_OR_RETURN(const auto reserved, writer.ReserveRecords(sizes));
      for (size_t i = 0; i < sizes.size(); ++i) Fill(reserved[i], sizes[i]);
      return absl::OkStatus();
    }
    case Deed::kRecord:
    case Deed::kRecords:
    case Deed::kWriteAndRefuse:
      break;
  }
  // All memory reserved in one Decide stays valid until it returns: filled last.
  std::vector<ProposalWriter::Reservation> reserved;
  for (int i = 0; i < (deed_ == Deed::kRecord ? 1 : 3); ++i) {
    RAFTMQ_ASSIGN_OR_RETURN(const auto one, writer.ReserveRecord(size_));
    reserved.push_back(one);
  }
  for (const auto& one : reserved) Fill(one, size_);
  if (deed_ == Deed::kWriteAndRefuse) return absl::AbortedError("changed its mind, as asked for");
  return absl::OkStatus();
}

void TestProposal::Done(const ProposalOutcome& outcome) {
  ++times_done_;
  oracle_->OnDone(id_, level_, outcome, deed_ != Deed::kNothing);
  if (done_) done_(outcome);
}

}  // namespace raftmq::sim
