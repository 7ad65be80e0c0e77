#include "tests/sim/sim_transport.h"

#include <algorithm>

#include "dledger/peer_message.h"
#include "glog/logging.h"

namespace raftmq::sim {
namespace {

constexpr int64_t kMinDelay = 20 * kMicrosecond;
constexpr int64_t kMaxDelay = 200 * kMicrosecond;

}  // namespace

class SimNetwork::SimTransport final : public dledger::Transport {
 public:
  SimTransport(SimNetwork* network, MemberId self, SimTaskRunner* runner, uint64_t boot_id)
      : network_(network), self_(self), runner_(runner), boot_id_(boot_id) {}
  ~SimTransport() override { Stop(); }

  absl::Status Start(dledger::TransportListener* listener, std::vector<dledger::Peer>) override {
    Endpoint endpoint;
    endpoint.listener = listener;
    endpoint.runner = runner_;
    endpoint.boot_id = boot_id_;
    started_ = true;
    network_->Up(self_, std::move(endpoint));
    return absl::OkStatus();
  }

  void Send(MemberId to, dledger::PeerMessage message) override {
    if (started_) network_->Send(self_, to, message);
  }

  void Stop() override {
    if (std::exchange(started_, false)) network_->Down(self_, boot_id_);
  }

 private:
  SimNetwork* const network_;
  const MemberId self_;
  SimTaskRunner* const runner_;
  const uint64_t boot_id_;
  bool started_ = false;
};

std::unique_ptr<dledger::Transport> SimNetwork::NewTransport(MemberId self, SimTaskRunner* runner) {
  return std::make_unique<SimTransport>(this, self, runner, next_boot_id_++);
}

// ---- Connections ----

void SimNetwork::Up(MemberId self, Endpoint endpoint) {
  CHECK(endpoints_.count(self) == 0) << "member " << self << " runs twice";
  endpoints_[self] = std::move(endpoint);
  for (const auto& [other, unused] : endpoints_) {
    if (other != self && Reachable(self, other)) Connect(self, other);
  }
}

void SimNetwork::Down(MemberId self, uint64_t boot_id) {
  const auto found = endpoints_.find(self);
  if (found == endpoints_.end() || found->second.boot_id != boot_id) return;
  endpoints_.erase(found);
  for (auto& [direction, packets] : in_flight_) {
    if (direction.second == self) packets.clear();
  }
  for (auto& [other, endpoint] : endpoints_) {
    if (endpoint.connected.count(self) != 0 && Reachable(self, other)) {
      Disconnect(other, self, /*by_peer=*/true);
    }
  }
}

void SimNetwork::Connect(MemberId a, MemberId b) {
  ConnectOneEnd(a, b);
  ConnectOneEnd(b, a);
}

void SimNetwork::ConnectOneEnd(MemberId at, MemberId peer) {
  Endpoint& endpoint = endpoints_.at(at);
  const uint64_t boot_id = endpoints_.at(peer).boot_id;
  const uint64_t own_boot = endpoint.boot_id;
  endpoint.runner->RunAfter(kMaxDelay, [this, at, peer, boot_id, own_boot] {
    const auto here = endpoints_.find(at);
    if (here == endpoints_.end() || here->second.boot_id != own_boot) return;
    const auto there = endpoints_.find(peer);
    if (there == endpoints_.end() || there->second.boot_id != boot_id) return;
    here->second.connected[peer] = boot_id;
    here->second.listener->OnConnected(peer, boot_id, "client-" + std::to_string(peer.value()));
  });
}

void SimNetwork::Disconnect(MemberId at, MemberId peer, bool by_peer) {
  Endpoint& endpoint = endpoints_.at(at);
  const uint64_t boot_id = endpoint.connected[peer];
  const uint64_t own_boot = endpoint.boot_id;
  endpoint.runner->RunAfter(kMaxDelay, [this, at, peer, boot_id, own_boot, by_peer] {
    const auto here = endpoints_.find(at);
    if (here == endpoints_.end() || here->second.boot_id != own_boot) return;
    const auto connected = here->second.connected.find(peer);
    if (connected == here->second.connected.end() || connected->second != boot_id) return;
    here->second.connected.erase(connected);
    here->second.listener->OnDisconnected(peer, by_peer);
  });
}

// ---- Faults ----

void SimNetwork::SetFaults(MemberId from, MemberId to, const dledger::LinkFaults& faults) {
  link_faults_[{from, to}] = faults;
}

void SimNetwork::ClearFaults() {
  faults_ = {};
  link_faults_.clear();
}

const dledger::LinkFaults& SimNetwork::FaultsOf(MemberId from, MemberId to) const {
  const auto found = link_faults_.find({from, to});
  return found == link_faults_.end() ? faults_ : found->second;
}

void SimNetwork::Cut(MemberId from, MemberId to) {
  if (!cut_.emplace(Direction(from, to), scheduler_->now()).second) return;
  const int64_t since = scheduler_->now();
  for (const auto& [at, peer] : {Direction(from, to), Direction(to, from)}) {
    const auto endpoint = endpoints_.find(at);
    if (endpoint == endpoints_.end()) continue;
    const uint64_t own_boot = endpoint->second.boot_id;
    endpoint->second.runner->RunAfter(
        kSilenceNanos, [this, from, to, since, own_boot, at = at, peer = peer] {
          const auto cut = cut_.find({from, to});
          if (cut == cut_.end() || cut->second != since) return;
          const auto here = endpoints_.find(at);
          if (here == endpoints_.end() || here->second.boot_id != own_boot) return;
          if (here->second.connected.erase(peer) == 0) return;
          here->second.listener->OnDisconnected(peer, /*by_peer=*/false);
        });
  }
}

void SimNetwork::CutBothWays(MemberId a, MemberId b) {
  Cut(a, b);
  Cut(b, a);
}

void SimNetwork::Restore() {
  cut_.clear();
  for (const auto& [a, endpoint] : endpoints_) {
    for (const auto& [b, other] : endpoints_) {
      if (a == b) continue;
      const auto connected = endpoint.connected.find(b);
      if (connected == endpoint.connected.end() || connected->second != other.boot_id) {
        ConnectOneEnd(a, b);
      }
    }
  }
}

// ---- Messages ----

void SimNetwork::Send(MemberId from, MemberId to, const dledger::PeerMessage& message) {
  const auto sender = endpoints_.find(from);
  const auto receiver = endpoints_.find(to);
  if (sender == endpoints_.end() || receiver == endpoints_.end()) return;
  if (sender->second.connected.count(to) == 0 || cut_.count({from, to}) != 0) return;
  const dledger::LinkFaults& faults = FaultsOf(from, to);
  if (scheduler_->random().Chance(faults.drop)) return;
  Packet packet{sender->second.boot_id, dledger::EncodePeerMessage(message.message), {}};
  for (const Bytes& slice : message.slices) packet.body.append(slice.view());
  if (scheduler_->random().Chance(faults.duplicate)) Enqueue(from, to, packet, faults);
  Enqueue(from, to, std::move(packet), faults);
}

void SimNetwork::Enqueue(MemberId from, MemberId to, Packet packet,
                         const dledger::LinkFaults& faults) {
  Random& random = scheduler_->random();
  std::deque<Packet>& queue = in_flight_[{from, to}];
  if (!queue.empty() && random.Chance(faults.reorder)) {
    queue.insert(queue.end() - random.Between(1, std::min<int64_t>(4, std::ssize(queue))),
                 std::move(packet));
  } else {
    queue.push_back(std::move(packet));
  }
  int64_t delay = random.Between(kMinDelay, kMaxDelay);
  if (faults.max_delay_nanos > 0) {
    delay += random.Between(faults.min_delay_nanos, faults.max_delay_nanos);
  }
  // Whichever delivery comes first takes the first packet, so a direction keeps its order.
  endpoints_.at(to).runner->RunAfter(delay, [this, from, to] { Deliver(from, to); });
}

void SimNetwork::Deliver(MemberId from, MemberId to) {
  std::deque<Packet>& queue = in_flight_[{from, to}];
  const auto receiver = endpoints_.find(to);
  if (queue.empty() || receiver == endpoints_.end()) return;
  const Packet packet = std::move(queue.front());
  queue.pop_front();
  if (cut_.count({from, to}) != 0) return;
  const auto connected = receiver->second.connected.find(from);
  if (connected == receiver->second.connected.end() || connected->second != packet.boot_id) return;
  auto parsed = dledger::ParsePeerMessage(packet.meta, packet.body.size());
  CHECK(parsed.ok()) << parsed.status();
  dledger::PeerMessage message;
  message.message = std::move(*parsed);
  if (!packet.body.empty()) message.slices.emplace_back(packet.body);
  ++delivered_;
  receiver->second.listener->OnMessage(std::move(message));
}

}  // namespace raftmq::sim
