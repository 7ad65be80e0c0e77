// Replica: events, turns, time, and the end of it all.
#include "dledger/replica.h"

#include <algorithm>
#include <utility>

#include "base/strings.h"
#include "glog/logging.h"

namespace raftmq::dledger {
namespace {

constexpr int64_t kNanosPerMilli = 1'000'000;
// A follower that did not run for long first looks at what its leader has sent meanwhile.
constexpr int64_t kMaxFollowerTicksAtOnce = 3;
// A follower that has so many to apply does not wait for a tick.
constexpr int64_t kFollowerApplyEntries = 64;
// Entries whose metadata the core keeps in memory besides those not applied.
constexpr int64_t kKeptMetadata = 8'192;

int32_t Ticks(int64_t millis, const ReplicaOptions& options) {
  return static_cast<int32_t>(std::max<int64_t>(1, millis / options.tick_ms));
}

raft::Options RaftOptions(const ReplicaOptions& options, const Replica::Storage& storage) {
  raft::Options raft;
  raft.self = storage.identity.member;
  raft.heartbeat_ticks = Ticks(options.heartbeat_ms, options);
  raft.election_ticks_min = Ticks(options.election_min_ms, options);
  raft.election_ticks_max = Ticks(options.election_max_ms, options);
  // The replica stops deciding at its own limit, before anything is written; Propose must not fail.
  raft.max_uncommitted_bytes = int64_t{1} << 60;
  raft.segment_size = storage.identity.segment_size;
  raft.eager_appends = options.eager_appends;
  raft.notices_at_ticks = true;
  // What arrives is appended at once, and the log takes less than half a segment at a time.
  raft.max_bytes_per_append =
      std::min(raft.max_bytes_per_append, MaxFrameSize(storage.identity.segment_size));
  raft.damaged = storage.damaged;
  raft.damaged_term = storage.damaged_term;
  return raft;
}

raft::Configuration RaftConfiguration(const GroupConfiguration& group) {
  raft::Configuration raft;
  for (const ConfiguredMember& member : group.members) {
    (member.learner ? raft.learners : raft.voters).push_back(member.id);
  }
  return raft;
}

raft::InitialState InitialState(const ReplicaDeps& deps, const Replica::Storage& storage) {
  const SegmentedLog& log = *storage.log;
  raft::InitialState initial;
  initial.hard_state = storage.hard_state;
  initial.configuration = RaftConfiguration(storage.configuration);
  initial.last = {log.LastIndex(), log.LastTerm(), log.EndPosition()};
  initial.committed = AppliedAtStart(*deps.state_machine, log);
  initial.applied =
      std::clamp(deps.state_machine->ReplayAfter(), log.StartIndex(), initial.committed);
  return initial;
}

LogPosition PositionAfter(const SegmentedLog& log, LogIndex index) {
  // The entry before the log's start may have ended in a segment that is gone.
  if (index == log.StartIndex()) return log.FirstPosition();
  const auto end = log.EndAt(index);
  CHECK(end.ok()) << "the log holds entry " << index << ", yet: " << end.status();
  return *end;
}

absl::Status RoomInLog(const SegmentedLog& log, int64_t bytes) {
  absl::Status room = log.HasRoomFor(bytes);
  // To a proposer, a segment that is still being prepared is a queue that is full for a moment.
  if (absl::IsUnavailable(room)) return absl::ResourceExhaustedError(room.message());
  return room;
}

Applier::Options ApplierOptions(const ReplicaOptions& options, const Replica::Storage& storage) {
  Applier::Options applier = options.apply;
  applier.segment_size = storage.identity.segment_size;
  return applier;
}

}  // namespace

LogIndex AppliedAtStart(const StateMachine& state_machine, const SegmentedLog& log) {
  return std::clamp(state_machine.DurableAppliedIndex(), log.StartIndex(), log.LastIndex());
}

Replica::Replica(ReplicaOptions options, ReplicaDeps deps, Storage storage)
    : options_(std::move(options)),
      deps_(std::move(deps)),
      storage_(std::move(storage)),
      node_(RaftOptions(options_, storage_), storage_.log.get(), InitialState(deps_, storage_),
            deps_.random.Fork()),
      queue_(options_.waiting),
      batcher_({storage_.identity.segment_size, options_.soft_frame_bytes,
                [log = storage_.log.get()](int64_t bytes) { return RoomInLog(*log, bytes); }}),
      applier_(ApplierOptions(options_, storage_), storage_.log.get(), deps_.state_machine,
               deps_.apply, deps_.replica, node_.applied_index(),
               PositionAfter(*storage_.log, node_.applied_index()),
               [this](const absl::Status& status) { OnApplied(status); }),
      scrubber_(options_.scrub, storage_.log.get(), deps_.replica, deps_.background,
                [this](const absl::Status& rot) { FailFromLog(rot); }),
      compacted_(storage_.log->LastIndex()),
      max_turn_bytes_(
          std::min(options_.max_turn_bytes, MaxFrameSize(storage_.identity.segment_size))) {
  storage_.log->SetCallbacks({[this](LogIndex index, Term term) { OnDurable(index, term); },
                              [this](const absl::Status& failure) { Fail(failure); },
                              [this] { ScheduleTurn(); }, [this] { OnDropped(); }});
  leaderless_since_nanos_ = now();
  status_ = BuildStatus();
}

Replica::~Replica() {
  // Nobody is left without an answer, however the process ends.
  stopped_ = true;
  const absl::Status gone = absl::UnavailableError("the replica is gone");
  queue_.Close(gone);
  completions_.FailAll(gone);
  RefuseHeld(gone);
}

// ---- Ledger ----

void Replica::Start() {
  deps_.replica->Post([this] { StartOnLoop(); });
}

void Replica::Propose(std::unique_ptr<Proposal> proposal) {
  bool wake = false;
  const absl::Status pushed = queue_.Push(proposal, &wake);
  if (!pushed.ok()) {
    ProposalOutcome outcome;
    outcome.status = pushed;
    proposal->Done(outcome);
    return;
  }
  if (wake) deps_.replica->Post([this] { RunTurn(); });
}

absl::StatusOr<std::string> Replica::Read(LogPosition position, size_t size) const {
  std::string bytes;
  RAFTMQ_RETURN_IF_ERROR(storage_.log->Read(position, size, &bytes));
  return bytes;
}

void Replica::SetStatusListener(StatusListener listener) {
  CHECK(!started_) << "the status listener is set before Start";
  listener_ = std::move(listener);
}

void Replica::TransferLeadership(MemberId target, absl::AnyInvocable<void(absl::Status)> done) {
  deps_.replica->Post(
      [this, target, done = std::move(done)]() mutable { StartTransfer(target, std::move(done)); });
}

void Replica::Stop(absl::AnyInvocable<void(absl::Status)> done) {
  deps_.replica->Post([this, done = std::move(done)]() mutable {
    on_stopped_ = std::move(done);
    BeginStop();
  });
}

// ---- Time and turns ----

void Replica::StartOnLoop() {
  started_ = true;
  last_tick_nanos_ = now();
  if (deps_.transport != nullptr) {
    std::vector<Peer> peers;
    for (const ConfiguredMember& member : storage_.configuration.members) {
      if (member.id == storage_.identity.member) continue;
      const auto moved = options_.peer_addresses.find(member.id);
      peers.push_back(
          {member.id, member.incarnation,
           moved != options_.peer_addresses.end() ? moved->second : member.peer_address});
    }
    const absl::Status up = deps_.transport->Start(this, std::move(peers));
    if (!up.ok()) {
      Fail(Annotate(up, "starting the peer transport"));
      return;
    }
  }
  scrubber_.Start();
  OnTick();
}

void Replica::OnTick() {
  if (stopped_) return;
  deps_.replica->RunAfter(options_.tick_ms * kNanosPerMilli, [this] { OnTick(); });
  RunTurn();
}

// Counts the time that really passed: a leader whose process was stopped for longer than an
// election takes must find out before it acts as leader again, on whatever event it wakes up.
void Replica::CatchUpTicks() {
  const int64_t tick = options_.tick_ms * kNanosPerMilli;
  int64_t due = (now() - last_tick_nanos_) / tick;
  if (due <= 0) return;
  last_tick_nanos_ += due * tick;
  const bool leads = node_.role() == raft::Role::kLeader;
  due = std::min(due,
                 leads ? options_.election_max_ms / options_.tick_ms + 2 : kMaxFollowerTicksAtOnce);
  for (int64_t i = 0; i < due; ++i) node_.Tick();
}

void Replica::ScheduleTurn() {
  if (turn_scheduled_ || stopped_) return;
  turn_scheduled_ = true;
  deps_.replica->Post([this] {
    turn_scheduled_ = false;
    RunTurn();
  });
}

void Replica::RunTurn() {
  if (stopped_) {
    RefuseHeld(failure_.ok() ? absl::UnavailableError("the replica has stopped") : failure_);
    return;
  }
  if (!started_) return;
  CatchUpTicks();
  RetryStalled();
  CheckLeadership();
  DecideProposals();
  DrainReady();
  completions_.OnAppended();
  CheckAllDisks();
  if (stopped_) return;
  ApplyWhatIsDue();
  MaybeServe();
  CheckTransfer();
  PublishIfChanged();
  if (stopping_) ContinueStop();
}

// Nobody waits for what a follower applies, so it applies what a tick brings at once: with entries
// that come one by one each would cost it two wake-ups.
void Replica::ApplyWhatIsDue() {
  const LogIndex limit = std::min(node_.commit_index(), node_.durable_index());
  const bool leads = node_.role() == raft::Role::kLeader;
  if (!leads && !stopping_ && now() < apply_due_nanos_ &&
      limit - applier_.applied() < kFollowerApplyEntries) {
    return;
  }
  apply_due_nanos_ = now() + options_.tick_ms * kNanosPerMilli / 2;
  applier_.ApplyUpTo(limit);
}

void Replica::OnDurable(LogIndex index, Term term) {
  if (stopped_) return;
  node_.OnDurable(index, term);
  ScheduleTurn();
}

void Replica::OnApplied(const absl::Status& status) {
  if (stopped_) return;
  if (!status.ok()) {
    applier_.log_failed() ? FailFromLog(status) : Fail(Annotate(status, "the state machine"));
    return;
  }
  node_.AppliedTo(applier_.applied());
  if (applier_.applied() - compacted_ > 2 * kKeptMetadata) {
    compacted_ = applier_.applied() - kKeptMetadata;
    node_.CompactMetadata(compacted_);
  }
  DropReleased();
  ScheduleTurn();
}

// ---- Retention

void Replica::ReleaseBefore(LogPosition position) {
  deps_.replica->Post([this, position] {
    released_ = std::max(released_, position);
    DropReleased();
  });
}

void Replica::DropReleased() {
  if (stopped_ || released_ <= storage_.log->FirstPosition()) return;
  storage_.log->DropBefore(released_, node_.applied_index());
}

// The core asks the log for what it doesn't hold itself; it must not hold what the log has dropped.
void Replica::OnDropped() {
  if (stopped_) return;
  const LogIndex start = storage_.log->StartIndex();
  if (start > compacted_) node_.CompactMetadata(compacted_ = start);
  members_changed_ = true;
  LOG(INFO) << "member " << storage_.identity.member << "'s log begins with entry " << start + 1
            << " at " << storage_.log->FirstPosition() << " now: what came before has expired";
  ScheduleTurn();
}

// ---- Messages ----

void Replica::OnMessage(PeerMessage message) {
  if (stopped_) return;
  CatchUpTicks();
  if (message.message.type == raft::MessageType::kAppend && !message.message.entries.empty()) {
    StepAppend(std::move(message));
  } else {
    StepMessage(message.message);
  }
  ScheduleTurn();
}

void Replica::StepMessage(const raft::Message& message) {
  const absl::Status stepped = node_.Step(message);
  if (stepped.ok()) return;
  if (absl::IsInvalidArgument(stepped) || absl::IsUnimplemented(stepped)) {
    LOG_EVERY_N(WARNING, 100) << "a message of member " << message.from << " was refused (one of "
                              << "100 such is logged): " << stepped;
    return;
  }
  Fail(stepped);
}

// The bytes are checked before the core hears of them: what it accepts will be written.
void Replica::StepAppend(PeerMessage message) {
  // What the core asks for on its own account goes first; the rest is this message's.
  DrainReady();
  if (stopped_) return;
  const raft::Message& m = message.message;
  size_t size = 0;
  for (const Bytes& slice : message.slices) size += slice.size();
  if (stalled_bytes_ + size > options_.max_stalled_bytes) {
    LOG_EVERY_N(WARNING, 100) << "entries of member " << m.from << " are dropped: the log has no "
                              << "room for them";
    return;
  }
  if (message.slices.size() == 1) {
    received_frames_ = std::move(message.slices.front());
  } else {
    std::string joined;
    joined.reserve(size);
    for (const Bytes& slice : message.slices) joined.append(slice.view());
    received_frames_ = Bytes(std::move(joined));
  }
  // If the entry before is not ours, the core refuses the message without looking at its entries.
  received_checked_ = false;
  const auto chain = ChainCrcOf(m.prev_index, m.prev_term);
  if (!chain.ok()) {
    FailFromLog(Annotate(chain.status(), "reading the log"));
    return;
  }
  if (chain->has_value()) {
    const FrameLimits limits = FrameLimits::OfSegments(storage_.identity.segment_size);
    const auto checked = CheckSlice(received_frames_.view(), m.entries, **chain, limits);
    if (!checked.ok()) {
      LOG_EVERY_N(ERROR, 10) << "entries of member " << m.from << " are dropped (one of 10 such is "
                             << "logged), its log or the way from it is damaged: "
                             << checked.status();
      received_frames_ = Bytes();
      return;
    }
    received_checked_ = true;
  }
  received_ = &m;
  StepMessage(m);
  if (!stopped_) DrainReady();
  received_ = nullptr;
  received_frames_ = Bytes();
}

// Chain CRC of entry `index`, if it is ours and has `term`. An error is a disk that fails.
absl::StatusOr<std::optional<uint32_t>> Replica::ChainCrcOf(LogIndex index, Term term) const {
  for (const Stalled& stalled : stalled_) {
    const raft::EntryMeta& first = stalled.entries.front();
    if (index < first.index || index > stalled.entries.back().index) continue;
    const raft::EntryMeta& entry = stalled.entries[static_cast<size_t>(index - first.index)];
    if (entry.term != term) return std::nullopt;
    return ChainCrcField(stalled.frames.view().data() + (entry.position - first.position));
  }
  const SegmentedLog& log = *storage_.log;
  if (index < log.StartIndex() || index > log.LastIndex()) return std::nullopt;
  RAFTMQ_ASSIGN_OR_RETURN(const Term ours, log.TermAt(index));
  if (ours != term) return std::nullopt;
  RAFTMQ_ASSIGN_OR_RETURN(const uint32_t chain, log.ChainCrcAt(index));
  return chain;
}

void Replica::OnConnected(MemberId peer, uint64_t boot_id, const std::string& client_address) {
  if (stopped_) return;
  PeerState& state = peers_[peer];
  members_changed_ = true;
  if (state.boot_id != 0 && state.boot_id != boot_id) {
    node_.PeerRestarted(peer);
  } else {
    node_.ReportUnreachable(peer);
  }
  state = {boot_id, client_address, true};
  ScheduleTurn();
}

void Replica::OnDisconnected(MemberId peer, bool by_peer) {
  if (stopped_) return;
  peers_[peer].connected = false;
  members_changed_ = true;
  node_.ReportUnreachable(peer);
  if (by_peer) node_.LeaderConnectionClosed(peer);
  ScheduleTurn();
}

// ---- The end ----

// Reading the log failed. If its bytes are bad, the next start must know: it reads all segments,
// and a leader elected without this member repairs them.
void Replica::FailFromLog(const absl::Status& failure) {
  if (stopped_) return;
  if (absl::IsDataLoss(failure)) {
    storage_.damage = Message(failure);
    const absl::Status set = storage_.damaged_flag.Set(node_.term(), storage_.damage);
    LOG_IF(ERROR, !set.ok()) << "the damage of the log could not be recorded: " << set;
  }
  Fail(failure);
}

void Replica::Fail(const absl::Status& failure) {
  if (stopped_) return;
  stopped_ = true;
  failure_ = failure;
  LOG(ERROR) << "the replica of member " << storage_.identity.member << " of group "
             << storage_.identity.group << " stops for good: " << failure;
  const absl::Status unavailable =
      absl::UnavailableError(StrCat("the replica has stopped: ", Message(failure)));
  applier_.Stop();
  if (deps_.transport != nullptr) deps_.transport->Stop();
  queue_.Close(unavailable);
  LoseLeadership(unavailable);
  RefuseHeld(unavailable);
  if (transfer_.has_value()) std::exchange(transfer_, std::nullopt)->done(unavailable);
  members_changed_ = true;
  PublishIfChanged();
  if (deps_.on_fatal) deps_.on_fatal(failure);
  ReportStopped(failure);
}

}  // namespace raftmq::dledger
