// OrphanRecovery: asks a producer of a half message's topic what became of its transaction. Any
// that says in its Settings that it publishes the topic will do, at whichever member its Telemetry
// stream ends. It answers with EndTransaction, or not at all.
//
// Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "broker/client_registry.h"
#include "broker/leader_calls.h"
#include "dledger/ledger.h"

namespace raftmq::broker {

class OrphanRecovery {
 public:
  // All outlive it. `peers` may be null for a group of one.
  OrphanRecovery(ClientRegistry* clients, dledger::Ledger* ledger, PeerClient* peers, Clock* clock)
      : clients_(clients), ledger_(ledger), peers_(peers), clock_(clock) {}

  // Has a producer asked: one that is connected here, else one at another member.
  void Ask(std::string record);

  // Asks one that is connected to this very member; false: there is none.
  bool AskHere(const std::string& record);

 private:
  void AskMembers(std::vector<std::string> addresses, std::string record);

  ClientRegistry* const clients_;
  dledger::Ledger* const ledger_;
  PeerClient* const peers_;
  Clock* const clock_;
  std::atomic<uint32_t> turn_{0};  // another producer each time
};

}  // namespace raftmq::broker
