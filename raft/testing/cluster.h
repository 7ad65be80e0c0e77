// Cluster: Members 1..n, a network whose messages move only when told, and the checks that span
// members.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/random.h"
#include "raft/testing/member.h"

namespace raftmq::raft::testing {

struct ClusterOptions {
  int32_t members = 3;
  Options node;  // `self` is filled in
  uint64_t seed = 1;
  bool auto_sync = true;
};

// Not thread-safe. Inputs go through Member; call Collect afterwards (the methods here do) to put
// what was sent on the network.
class Cluster {
 public:
  explicit Cluster(const ClusterOptions& options);

  int32_t size() const { return static_cast<int32_t>(members_.size()); }
  Member& member(int32_t id) { return *members_.at(id - 1); }
  Node& node(int32_t id) { return member(id).node(); }
  Random& random() { return random_; }
  // 0 if none or several lead.
  int32_t Leader();

  void Tick(int32_t id, int32_t n = 1);
  // All members that are up, one tick each, n times, delivering all in between if `deliver`.
  void TickAll(int32_t n, bool deliver);
  absl::StatusOr<EntryMeta> Propose(int32_t id, int32_t frame_size = 100,
                                    bool ack_in_memory = false);
  // A linearizable read; Check sees whether it would be one, if it is confirmed.
  absl::Status Read(int32_t id);
  size_t reads_confirmed() const { return reads_confirmed_; }
  void Sync(int32_t id);
  void Crash(int32_t id, bool lose_all = false);
  // The others notice the new boot before any of its messages.
  void Restart(int32_t id);

  // Member `id` lost part of its disk (Member::Damage), after it had acknowledged it perhaps.
  void CountDamage(int32_t id) { damaged_.insert(id); }

  // Links: cut ones lose what would be delivered over them.
  void Cut(int32_t a, int32_t b);
  void CutOneWay(int32_t from, int32_t to) { cut_.insert({from, to}); }
  void Isolate(int32_t id);
  void Heal() { cut_.clear(); }
  bool IsCut(int32_t from, int32_t to) const { return cut_.count({from, to}) > 0; }

  std::deque<Message>& network() { return network_; }
  void Collect();
  // Delivers network()[at]; it is lost if the link is cut or the receiver down. False if lost.
  bool DeliverAt(size_t at);
  // Delivers the messages that are under way now and pass `filter`, in order; how many.
  int32_t Deliver(const std::function<bool(const Message&)>& filter = nullptr);
  int32_t Drop(const std::function<bool(const Message&)>& filter = nullptr);
  // Until nothing is under way.
  void Settle();

  // Ticks `id` until it campaigns, and delivers until it leads. The others forget their leader
  // first, as if they had not heard it for a while.
  void Elect(int32_t id);

  // No message was refused; invariants of each node; one leader per term; all committed prefixes
  // equal; what is committed is on a majority's disks.
  absl::Status Check();

 private:
  struct OpenRead {
    int32_t member;
    Term term;
    Node::Read read;
    LogIndex committed;  // what any member knew to be when it began
  };
  absl::Status CheckCommitted(Member& member);
  absl::Status CheckReads();

  Random random_;
  std::vector<std::unique_ptr<Member>> members_;
  std::deque<Message> network_;
  std::set<std::pair<int32_t, int32_t>> cut_;
  std::set<int32_t> damaged_;
  absl::Status refused_;  // the first message that Step did not take
  std::map<Term, MemberId> leaders_;
  std::vector<EntryMeta> committed_;  // what any member ever knew to be committed
  std::vector<OpenRead> reads_;
  size_t reads_confirmed_ = 0;
  std::map<MemberId, LogIndex> checked_upto_;  // of each member's committed prefix
};

}  // namespace raftmq::raft::testing
