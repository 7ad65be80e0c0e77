#include "raft/testing/member.h"

#include <algorithm>
#include <utility>

#include "glog/logging.h"

namespace raftmq::raft::testing {

Member::Member(const Options& options, Configuration configuration, uint64_t seed, bool auto_sync)
    : options_(options),
      configuration_(std::move(configuration)),
      random_(seed),
      auto_sync_(auto_sync) {
  Start();
}

void Member::Preload(HardState hard_state, const std::vector<Term>& terms, LogIndex committed) {
  hard_state_ = hard_state;
  for (Term term : terms) {
    EntryMeta entry;
    const LogEnd end = log_.End();
    entry.index = end.index + 1;
    entry.term = term;
    entry.size = 100;
    entry.position = PlaceFrame(end.end, entry.size, options_.segment_size);
    log_.Append(entry);
  }
  log_.Sync(log_.entries().size());
  committed_ = committed;
  applied_ = committed;
  Start();
}

void Member::Start() {
  confirmed_reads_ = 0;
  InitialState initial;
  initial.hard_state = hard_state_;
  initial.configuration = configuration_;
  initial.last = log_.End();
  initial.committed = committed_;
  initial.applied = applied_;
  node_ = std::make_unique<Node>(options_, &log_, initial, random_.Fork());
  Drain();
}

absl::Status Member::Step(const Message& message) {
  absl::Status status = node_->Step(message);
  Drain();
  return status;
}

void Member::Tick(int32_t n) {
  for (int32_t i = 0; i < n; ++i) {
    node_->Tick();
    Drain();
  }
}

absl::StatusOr<EntryMeta> Member::Propose(int32_t frame_size, bool ack_in_memory) {
  absl::StatusOr<EntryMeta> entry = node_->Propose(EntryType::kNormal, frame_size, ack_in_memory);
  Drain();
  return entry;
}

void Member::Drain() {
  while (node_->HasReady()) {
    HandOut(node_->TakeReady());
    if (auto_sync_ && !log_.synced()) Sync();
    Apply();
  }
}

void Member::HandOut(Ready ready) {
  if (!ready.storage_error.ok()) storage_error_ = ready.storage_error;
  if (ready.hard_state.has_value()) {
    CHECK_GE(ready.hard_state->term, hard_state_.term);
    hard_state_ = *ready.hard_state;
  }
  if (ready.truncate_from.has_value()) {
    CHECK_GT(*ready.truncate_from, committed_);
    log_.TruncateFrom(*ready.truncate_from);
    sync_.reset();  // its completion would be stale
  }
  for (const EntryMeta& entry : ready.entries) log_.Append(entry);
  CHECK_GE(ready.committed, committed_);
  CHECK_GE(ready.replicated, ready.committed);
  committed_ = ready.committed;
  CHECK_GE(ready.confirmed_reads, confirmed_reads_);
  confirmed_reads_ = ready.confirmed_reads;
  if (ready.damage_healed) {
    CHECK(options_.damaged);
    options_.damaged = false;
    options_.damaged_term = Term(0);
    healed_ = true;
  }
  for (Message& message : ready.messages) sent_.push_back(std::move(message));
}

void Member::Apply() {
  const LogIndex upto = std::min(committed_, node_->durable_index());
  if (upto <= applied_) return;
  applied_ = upto;
  node_->AppliedTo(upto);
}

void Member::StartSync() {
  if (sync_.has_value() || log_.entries().empty()) return;
  sync_ = {log_.End().index, log_.End().term};
}

void Member::FinishSync() {
  if (!sync_.has_value()) return;
  const SyncUnderWay done = *sync_;
  sync_.reset();
  log_.Sync(done.upto.value());
  node_->OnDurable(done.upto, done.term);
  Apply();
  Drain();
}

void Member::Sync() {
  sync_.reset();
  StartSync();
  FinishSync();
}

std::vector<Message> Member::TakeSent() { return std::exchange(sent_, {}); }

void Member::Crash(Random* random) {
  node_.reset();
  sent_.clear();
  sync_.reset();
  log_.Crash(random);
  CHECK_GE(LogIndex(log_.disk().size()), applied_) << "an applied entry was not durable";
  committed_ = applied_;
}

void Member::Damage(LogIndex from) {
  CHECK(!up());
  log_.Damage(from);
  options_.damaged = true;
  options_.damaged_term = hard_state_.term;
  applied_ = std::min(applied_, from - 1);
  committed_ = applied_;
}

void Member::Restart() {
  CHECK(!up());
  healed_ = false;
  Start();
}

}  // namespace raftmq::raft::testing
