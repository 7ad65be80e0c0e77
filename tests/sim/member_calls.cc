#include "tests/sim/member_calls.h"

#include <utility>

namespace raftmq::sim {

void MemberCalls::LoseCallsTo(int member) {
  for (const CallRef& call : std::exchange(calls_, {})) {
    if (call->member == member) {
      if (First(call)) call->on_lost();
    } else if (!call->over) {
      calls_.push_back(call);
    }
  }
}

void MemberCalls::End() {
  // Stores that close end what they were asked: nobody waits for that any more.
  for (const CallRef& call : calls_) call->over = true;
  clients_.reset();
}

std::optional<int> MemberCalls::Pick() {
  int member = cluster_->ServingLeader();
  if (member < 0 || random_->Chance(0.1)) {
    member = static_cast<int>(random_->Below(cluster_->size()));
  }
  if (!Runs(member)) return std::nullopt;
  return member;
}

MemberCalls::CallRef MemberCalls::NewCall(int member, std::function<void()> on_lost) {
  auto call = std::make_shared<Call>(Call{member, false, std::move(on_lost)});
  calls_.push_back(call);
  if (calls_.size() > 1000) std::erase_if(calls_, [](const CallRef& c) { return c->over; });
  return call;
}

void MemberCalls::After(int64_t nanos, TaskRunner::Task task) {
  if (clients_ != nullptr) clients_->RunAfter(nanos, std::move(task));
}

}  // namespace raftmq::sim
