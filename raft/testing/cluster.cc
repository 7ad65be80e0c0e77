#include "raft/testing/cluster.h"

#include <algorithm>

#include "base/strings.h"
#include "glog/logging.h"
#include "raft/invariants.h"

namespace raftmq::raft::testing {

Cluster::Cluster(const ClusterOptions& options) : random_(options.seed) {
  Configuration configuration;
  for (int32_t id = 1; id <= options.members; ++id) configuration.voters.push_back(MemberId(id));
  for (MemberId id : configuration.voters) {
    Options node = options.node;
    node.self = id;
    members_.push_back(
        std::make_unique<Member>(node, configuration, random_.Next(), options.auto_sync));
  }
}

int32_t Cluster::Leader() {
  int32_t found = 0;
  for (auto& m : members_) {
    if (!m->up() || m->node().role() != Role::kLeader) continue;
    if (found != 0) return 0;
    found = m->id().value();
  }
  return found;
}

void Cluster::Tick(int32_t id, int32_t n) {
  member(id).Tick(n);
  Collect();
}

void Cluster::TickAll(int32_t n, bool deliver) {
  for (int32_t i = 0; i < n; ++i) {
    for (int32_t id = 1; id <= size(); ++id) {
      if (member(id).up()) Tick(id);
    }
    if (deliver) Settle();
  }
}

absl::StatusOr<EntryMeta> Cluster::Propose(int32_t id, int32_t frame_size, bool ack_in_memory) {
  absl::StatusOr<EntryMeta> entry = member(id).Propose(frame_size, ack_in_memory);
  Collect();
  return entry;
}

absl::Status Cluster::Read(int32_t id) {
  const absl::StatusOr<Node::Read> read = node(id).ReadIndex();
  if (read.ok()) {
    reads_.push_back(
        {id, node(id).term(), *read, LogIndex(static_cast<int64_t>(committed_.size()))});
  }
  member(id).Drain();
  Collect();
  return read.status();
}

void Cluster::Sync(int32_t id) {
  member(id).Sync();
  Collect();
}

void Cluster::Crash(int32_t id, bool lose_all) {
  member(id).Crash(lose_all ? nullptr : &random_);
  checked_upto_.erase(MemberId(id));
}

void Cluster::Restart(int32_t id) {
  network_.erase(std::remove_if(network_.begin(), network_.end(),
                                [id](const Message& m) { return m.from == MemberId(id); }),
                 network_.end());
  member(id).Restart();
  for (auto& m : members_) {
    if (!m->up() || m->id() == MemberId(id)) continue;
    m->node().PeerRestarted(MemberId(id));
    m->Drain();
  }
  Collect();
}

void Cluster::Cut(int32_t a, int32_t b) {
  cut_.insert({a, b});
  cut_.insert({b, a});
}

void Cluster::Isolate(int32_t id) {
  for (int32_t other = 1; other <= size(); ++other) {
    if (other != id) Cut(id, other);
  }
}

void Cluster::Collect() {
  for (auto& m : members_) {
    for (Message& message : m->TakeSent()) network_.push_back(std::move(message));
  }
}

bool Cluster::DeliverAt(size_t at) {
  const Message message = network_.at(at);
  network_.erase(network_.begin() + at);
  if (IsCut(message.from.value(), message.to.value())) return false;
  Member& to = member(message.to.value());
  if (!to.up()) return false;
  const absl::Status status = to.Step(message);
  if (refused_.ok()) refused_ = status;  // members of one cluster never send nonsense
  Collect();
  return true;
}

int32_t Cluster::Deliver(const std::function<bool(const Message&)>& filter) {
  std::deque<Message> kept;
  std::deque<Message> now;
  for (Message& m : network_) (!filter || filter(m) ? now : kept).push_back(std::move(m));
  network_ = std::move(kept);
  const auto n = static_cast<int32_t>(now.size());
  for (Message& m : now) {
    network_.push_back(std::move(m));
    DeliverAt(network_.size() - 1);
  }
  return n;
}

int32_t Cluster::Drop(const std::function<bool(const Message&)>& filter) {
  const size_t before = network_.size();
  network_.erase(std::remove_if(network_.begin(), network_.end(),
                                [&filter](const Message& m) { return !filter || filter(m); }),
                 network_.end());
  return static_cast<int32_t>(before - network_.size());
}

void Cluster::Settle() {
  Collect();
  for (int32_t steps = 0; !network_.empty(); ++steps) {
    CHECK_LT(steps, 1000000) << "messages never end; the next is " << network_.front();
    DeliverAt(0);
  }
}

void Cluster::Elect(int32_t id) {
  Settle();
  for (int32_t other = 1; other <= size(); ++other) {
    if (other == id || !member(other).up() || node(other).role() == Role::kLeader) continue;
    if (node(other).leader() == kNoMember) continue;
    node(other).LeaderConnectionClosed(node(other).leader());
  }
  for (int32_t i = 0; node(id).role() != Role::kLeader; ++i) {
    CHECK_LT(i, 10000) << "member " << id << " can't be elected";
    Tick(id);
    Settle();
  }
}

absl::Status Cluster::Check() {
  RAFTMQ_RETURN_IF_ERROR(refused_);
  for (auto& m : members_) {
    if (!m->up()) continue;
    const Node& node = m->node();
    if (absl::Status s = CheckInvariants(node); !s.ok()) {
      return Annotate(s, StrCat("member ", m->id()));
    }
    if (node.role() == Role::kLeader) {
      const auto [known, added] = leaders_.emplace(node.term(), m->id());
      if (known->second != m->id()) {
        return absl::InternalError(
            StrCat("members ", known->second, " and ", m->id(), " both lead term ", node.term()));
      }
    }
    RAFTMQ_RETURN_IF_ERROR(CheckCommitted(*m));
  }
  return CheckReads();
}

// A read that is confirmed sees all that was committed when it began; one whose leader is deposed
// never is.
absl::Status Cluster::CheckReads() {
  absl::Status stale;
  std::erase_if(reads_, [&](const OpenRead& open) {
    Member& m = member(open.member);
    if (!m.up() || m.node().role() != Role::kLeader || m.node().term() != open.term) return true;
    if (m.confirmed_reads() < open.read.round) return false;
    ++reads_confirmed_;
    if (open.read.index < open.committed) {
      stale = absl::InternalError(StrCat("member ", m.id(), " confirmed a read at entry ",
                                         open.read.index, ", begun when entry ", open.committed,
                                         " was committed"));
    }
    return true;
  });
  return stale;
}

absl::Status Cluster::CheckCommitted(Member& member) {
  const LogIndex commit = member.node().commit_index();
  for (LogIndex& i = checked_upto_[member.id()]; i < commit; ++i) {
    const auto at = static_cast<size_t>(i.value());  // entry i + 1
    const EntryMeta& entry = member.log().entries().at(at);
    if (at < committed_.size()) {
      if (committed_[at] == entry) continue;
      return absl::InternalError(StrCat("member ", member.id(), " committed ", ToString(entry),
                                        ", another one ", ToString(committed_[at])));
    }
    int32_t on_disk = 0;
    for (auto& other : members_) {
      const std::vector<EntryMeta>& disk = other->log().disk();
      if (at < disk.size() && disk[at] == entry) ++on_disk;
    }
    if (on_disk * 2 <= size() - static_cast<int32_t>(2 * damaged_.size())) {
      return absl::InternalError(StrCat("member ", member.id(), " committed ", ToString(entry),
                                        ", which is on ", on_disk, " of ", size(), " disks"));
    }
    committed_.push_back(entry);
  }
  return absl::OkStatus();
}

}  // namespace raftmq::raft::testing
