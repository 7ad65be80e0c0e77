// MemberCalls: the members that simulated clients reach, and the calls they have under way. A call
// to a member that dies is lost: nobody knows its outcome.
//
// Single-threaded, like the simulation, which owns it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "base/random.h"
#include "base/task_runner.h"
#include "store/log_message_store.h"
#include "tests/sim/sim_cluster.h"
#include "tests/sim/sim_scheduler.h"

namespace raftmq::sim {

class MemberCalls {
 public:
  struct Call {
    int member = 0;
    bool over = false;
    std::function<void()> on_lost;
  };
  using CallRef = std::shared_ptr<Call>;

  MemberCalls(SimScheduler* scheduler, const SimCluster* cluster, Random* random)
      : cluster_(cluster), random_(random), clients_(scheduler->NewRunner("clients")) {}

  void Up(int member, store::LogMessageStore* store) { stores_[member] = store; }
  // Before its process ends; LoseCallsTo after that.
  void Down(int member) { stores_.erase(member); }
  void LoseCallsTo(int member);
  // The run is over: nothing that still comes matters.
  void End();

  // Those that run.
  const std::map<int, store::LogMessageStore*>& stores() const { return stores_; }
  store::LogMessageStore& At(int member) const { return *stores_.at(member); }
  bool Runs(int member) const { return stores_.count(member) != 0; }
  // It is the leader now, and not one that has been deposed.
  bool Leads(int member) const { return cluster_->ServingLeader() == member; }

  // Mostly the leader, sometimes anyone: stale routes are normal. Nothing: that one is down.
  std::optional<int> Pick();

  CallRef NewCall(int member, std::function<void()> on_lost);
  // True for the first of answer and loss.
  static bool First(const CallRef& call) { return !std::exchange(call->over, true); }

  // On the clients' thread.
  void After(int64_t nanos, TaskRunner::Task task);

 private:
  const SimCluster* const cluster_;
  Random* const random_;
  std::unique_ptr<SimTaskRunner> clients_;
  std::map<int, store::LogMessageStore*> stores_;
  std::vector<CallRef> calls_;
};

}  // namespace raftmq::sim
