// SimNetwork: the peer transport of a simulated cluster.
//
// Messages go through the real codec. Per direction of a link they keep their order, unless faults
// say otherwise; a direction can be cut, which loses what is sent, silently. Two members are
// connected while both run and can reach each other both ways; a cut that lasts for
// kSilenceNanos closes the connection, as TCP's user timeout does.
//
// Single-threaded, driven by the SimScheduler. Outlives its transports.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "base/ids.h"
#include "dledger/transport.h"
#include "tests/sim/sim_scheduler.h"

namespace raftmq::sim {

class SimNetwork {
 public:
  static constexpr int64_t kSilenceNanos = 2 * kSecond;

  explicit SimNetwork(SimScheduler* scheduler) : scheduler_(scheduler) {}

  // The transport of one process of member `self`, whose replica runs on `runner`. At most one at a
  // time per member.
  std::unique_ptr<dledger::Transport> NewTransport(MemberId self, SimTaskRunner* runner);

  // Of all links, or of one direction of one.
  void SetFaults(const dledger::LinkFaults& faults) { faults_ = faults; }
  void SetFaults(MemberId from, MemberId to, const dledger::LinkFaults& faults);
  void ClearFaults();

  void Cut(MemberId from, MemberId to);
  void CutBothWays(MemberId a, MemberId b);
  void Restore();

  uint64_t delivered() const { return delivered_; }

 private:
  class SimTransport;
  friend class SimTransport;
  using Direction = std::pair<MemberId, MemberId>;

  struct Packet {
    uint64_t boot_id;  // of the sending process
    std::string meta;
    std::string body;
  };
  struct Endpoint {
    dledger::TransportListener* listener = nullptr;
    SimTaskRunner* runner = nullptr;
    uint64_t boot_id = 0;
    std::map<MemberId, uint64_t> connected;  // to which boot
  };

  static Direction Pair(MemberId a, MemberId b) { return {std::min(a, b), std::max(a, b)}; }
  bool Reachable(MemberId a, MemberId b) const {
    return !cut_.count({a, b}) && !cut_.count({b, a});
  }
  void Up(MemberId self, Endpoint endpoint);
  void Down(MemberId self, uint64_t boot_id);
  void Connect(MemberId a, MemberId b);
  void ConnectOneEnd(MemberId at, MemberId peer);
  void Disconnect(MemberId at, MemberId peer, bool by_peer);
  void Send(MemberId from, MemberId to, const dledger::PeerMessage& message);
  void Enqueue(MemberId from, MemberId to, Packet packet, const dledger::LinkFaults& faults);
  void Deliver(MemberId from, MemberId to);
  const dledger::LinkFaults& FaultsOf(MemberId from, MemberId to) const;

  SimScheduler* const scheduler_;
  uint64_t next_boot_id_ = 1;
  uint64_t delivered_ = 0;
  std::map<MemberId, Endpoint> endpoints_;
  std::map<Direction, std::deque<Packet>> in_flight_;
  std::map<Direction, int64_t> cut_;  // since when
  dledger::LinkFaults faults_;
  std::map<Direction, dledger::LinkFaults> link_faults_;
};

}  // namespace raftmq::sim
