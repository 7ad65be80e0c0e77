// LiteNotices: tells clients that they lost a lite topic, which another client of their group took
// over (NotifyUnsubscribeLiteCommand): on the client's Telemetry stream, at whichever member it
// ends. A notice that finds no stream is lost; the client is told again when it next says what it
// thinks to have.
//
// Thread-safe.
#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "broker/client_registry.h"
#include "broker/leader_calls.h"
#include "dledger/ledger.h"

namespace raftmq::broker {

class LiteNotices {
 public:
  // All outlive it. `peers` may be null for a group of one.
  LiteNotices(ClientRegistry* clients, dledger::Ledger* ledger, PeerClient* peers, Clock* clock)
      : clients_(clients), ledger_(ledger), peers_(peers), clock_(clock) {}

  void Tell(const std::string& client_id, const std::string& lite_topic);

  // A client that is connected to this very member; false: it is not.
  bool TellHere(const std::string& client_id, const std::string& lite_topic);

 private:
  ClientRegistry* const clients_;
  dledger::Ledger* const ledger_;
  PeerClient* const peers_;
  Clock* const clock_;
};

}  // namespace raftmq::broker
