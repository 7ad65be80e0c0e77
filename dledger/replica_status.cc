// Replica: what others may know of it.
#include <utility>

#include "dledger/replica.h"
#include "glog/logging.h"

namespace raftmq::dledger {
namespace {

constexpr int64_t kPeersNanos = 500'000'000;

}  // namespace

std::string_view RoleName(Role role) {
  switch (role) {
    case Role::kFollower:
      return "FOLLOWER";
    case Role::kCandidate:
      return "CANDIDATE";
    case Role::kLeader:
      return "LEADER";
    case Role::kLearner:
      return "LEARNER";
    case Role::kStopped:
      return "STOPPED";
  }
  return "UNKNOWN";
}

std::shared_ptr<const LedgerStatus> Replica::Status() const {
  absl::MutexLock lock(&status_mutex_);
  return status_;
}

std::shared_ptr<LedgerStatus> Replica::BuildStatus() const {
  auto status = std::make_shared<LedgerStatus>();
  const SegmentedLog& log = *storage_.log;
  status->term = node_.term();
  status->self = node_.self();
  status->leader = stopped_ ? kNoMember : node_.leader();
  status->serving = serving_ && !stopped_;
  if (status->leader == kNoMember) {
    status->leaderless_since_ms = std::max<int64_t>(1, leaderless_since_nanos_ / 1'000'000);
  }
  status->first_index = log.FirstIndex();
  status->last_index = node_.last_index();
  status->commit_index = node_.commit_index();
  status->applied_index = applier_.applied();
  status->durable_index = node_.durable_index();
  status->first_position = status->held_by_all = log.FirstPosition();
  status->segment_size = log.segment_size();
  status->end_position = node_.last_end();
  status->failure = failure_;
  status->damage = storage_.damage;
  switch (node_.role()) {
    case raft::Role::kLeader:
      status->role = Role::kLeader;
      break;
    case raft::Role::kPreCandidate:
    case raft::Role::kCandidate:
      status->role = Role::kCandidate;
      break;
    case raft::Role::kFollower:
      status->role = node_.configuration().IsVoter(node_.self()) ? Role::kFollower : Role::kLearner;
      break;
  }
  if (stopped_) status->role = Role::kStopped;

  const raft::Status raft = node_.status();
  for (const ConfiguredMember& configured : storage_.configuration.members) {
    Member member;
    member.id = configured.id;
    member.name = configured.name;
    member.peer_address = configured.peer_address;
    member.incarnation = configured.incarnation;
    if (member.id == node_.self()) {
      member.client_address = deps_.client_address;
      member.connected = true;
      member.damaged = !storage_.damage.empty();
      if (status->role == Role::kLeader) {
        member.match_index = status->last_index;
        member.durable_index = status->durable_index;
      }
    } else if (auto peer = peers_.find(member.id); peer != peers_.end()) {
      member.client_address = peer->second.client_address;
      member.connected = peer->second.connected && !stopped_;
    }
    for (const raft::PeerStatus& progress : raft.peers) {
      if (progress.id != member.id) continue;
      member.match_index = progress.match;
      member.durable_index = progress.durable;
      member.damaged = progress.damaged;
      member.needs_snapshot = progress.state == raft::ProgressState::kSnapshot;
    }
    status->members.push_back(std::move(member));
  }
  if (status->role == Role::kLeader) {
    LogIndex held = status->durable_index;
    status->held_up_by = status->self;
    for (const raft::PeerStatus& progress : raft.peers) {
      if (progress.durable >= held) continue;
      held = progress.durable;
      status->held_up_by = progress.id;
    }
    status->held_by_all = std::max(status->first_position, log.SegmentStartOf(held + 1));
  }
  return status;
}

// Changes of who leads and who is there are told at once; of how far the log is, only noted.
void Replica::PublishIfChanged() {
  const std::shared_ptr<const LedgerStatus> old = Status();
  const MemberId leader = stopped_ ? kNoMember : node_.leader();
  if (leader == kNoMember && old->leader != kNoMember) leaderless_since_nanos_ = now();
  const bool serving = serving_ && !stopped_;
  const bool moved =
      old->last_index != node_.last_index() || old->commit_index != node_.commit_index() ||
      old->applied_index != applier_.applied() || old->durable_index != node_.durable_index();
  const bool might_have_turned = members_changed_ || old->leader != leader ||
                                 old->serving != serving || old->term != node_.term() ||
                                 told_role_ != node_.role();
  const int64_t age = now() - published_nanos_;
  const bool positions_due = moved && age >= options_.tick_ms * 1'000'000 / 2;
  // What a leader hears of its peers changes while its own log rests.
  const bool peers_due = leading_term_ != Term(0) && age >= kPeersNanos;
  if (!might_have_turned && !positions_due && !peers_due) return;
  members_changed_ = false;
  told_role_ = node_.role();
  published_nanos_ = now();
  std::shared_ptr<const LedgerStatus> status = BuildStatus();
  {
    absl::MutexLock lock(&status_mutex_);
    status_ = status;
  }
  for (size_t i = 0; i < status->members.size(); ++i) {
    const Member& member = status->members[i];
    if (!member.needs_snapshot || (i < old->members.size() && old->members[i].needs_snapshot)) {
      continue;
    }
    LOG(ERROR) << "member " << member.name << " needs entries from before entry "
               << status->first_index << ", which retention has dropped: it does not catch up. "
               << "Format its directory anew once this group can send snapshots";
  }
  if (might_have_turned && listener_) listener_(*status);
}

}  // namespace raftmq::dledger
