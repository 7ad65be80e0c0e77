// RenewedConsumers: push consumers that work on a message for longer than its lease lasts, which
// the member that gave it to them renews, by the broker's own Renewals. Consumers fall silent, and
// members die with what they renewed. What they are held to:
//   - no message is given out again before the end that its grant and its renewals gave its lease,
//     unless somebody settled it;
//   - until that end its first handle is good, for an ack and for a nack, however often the lease
//     was renewed (a leader that was deposed and does not know it may refuse it: its refusals rest
//     on what it alone has logged);
//   - a renewal that begins after an ack or a nack was acknowledged is refused;
//   - what was acked is never given out again, and in the end all is acked.
//
// Single-threaded, like the simulation.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/random.h"
#include "broker/renewals.h"
#include "store/log_message_store.h"
#include "tests/sim/member_calls.h"
#include "tests/sim/sim_scheduler.h"

namespace raftmq::sim {

class RenewedConsumers {
 public:
  struct Options {
    std::string group;
    std::string topic;
    int consumers = 2;
    int64_t lease_ms = 900;
  };
  using Complain = std::function<void(std::string)>;
  // Sends it until its outcome is known; null: refused, or given up.
  using Send =
      std::function<void(store::NewMessage, std::function<void(const store::SendResult*)>)>;

  RenewedConsumers(Options options, MemberCalls* calls, SimScheduler* scheduler, Random random,
                   Send send, Complain complain);

  void Start();
  // They ack at once what they have and get.
  void Drain() { draining_ = true; }

  // A member's process, and its renewals with it.
  void Up(int member);
  void Down(int member) { members_.erase(member); }

  // All was acked, by what the leader says.
  bool Drained(const store::LogMessageStore& leader) const;

  size_t consumed() const { return consumed_; }
  size_t renewed() const { return renewed_; }
  size_t outlasted() const { return outlasted_; }      // acked after the end of the first lease
  size_t not_renewed() const { return not_renewed_; }  // refused after an ack or a nack

 private:
  using Place = std::pair<QueueId, QueueOffset>;
  struct Member {
    std::unique_ptr<SimTaskRunner> timer;
    std::unique_ptr<broker::Renewals> renewals;
  };
  struct Lease {
    Place place;
    std::string body;
    std::string handle;        // the first
    int64_t first_end = 0;     // without renewals; at the latest
    int64_t not_before = 0;    // ends at this time at the earliest
    bool settling = false;     // somebody began to
    bool settled = false;      // somebody was told so
  };

  int64_t NowMs() const { return clock_->MonotonicMillis(); }
  std::string Client(int number) const;
  void SendTurn();
  void SilenceTurn();
  void ReceiveTurn(int number);
  void OnDelivered(int renewer, const std::string& client_id, int64_t asked_ms,
                   const store::Delivery& delivery);
  void Renew(std::weak_ptr<Member> member, const broker::Renewals::Lease& lease, int64_t extend_ms,
             broker::Renewals::Done done);
  void OnRenewed(uint64_t lease_id, int64_t asked_ms, int64_t extend_ms);
  void Work(const std::string& client_id, uint64_t lease_id, int64_t until_ms, bool ack);
  bool IsAlive(const std::string& client_id) const;
  void SettleNow(const std::string& client_id, uint64_t lease_id, bool ack);
  void OnSettled(uint64_t lease_id, bool first, bool ack, const absl::Status& status);
  // Any member: the one that a consumer's call came through.
  std::shared_ptr<Member> AnyMember();

  const Options options_;
  MemberCalls* const calls_;
  SimScheduler* const scheduler_;
  Clock* const clock_;
  Random random_;
  const Send send_;
  const Complain complain_;
  bool draining_ = false;
  int sent_ = 0;
  std::map<int, std::shared_ptr<Member>> members_;
  std::vector<int> lives_;  // by consumer: one that fell silent comes back as another client
  std::map<uint64_t, Lease> leases_;
  std::map<Place, uint64_t> newest_;   // lease
  std::map<Place, int64_t> acked_ms_;  // when that was acknowledged
  size_t consumed_ = 0;
  size_t renewed_ = 0;
  size_t outlasted_ = 0;
  size_t not_renewed_ = 0;
};

}  // namespace raftmq::sim
