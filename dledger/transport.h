// Transport: carries Raft messages between the members of one group. A seam: framed TCP in
// production (tcp_transport.h), a simulated network in tests, and the place of the drop, delay,
// duplicate and reorder hooks, since packets themselves cannot be disturbed everywhere.
//
// Owned by the replica; all calls and callbacks are on the replica thread. Delivery is at most
// once, in order per connection, with no guarantee across a reconnect; Raft needs no more.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/bytes.h"
#include "base/ids.h"
#include "raft/types.h"

namespace raftmq::dledger {

// A Raft message with the bytes of its entries: contiguous slices of the log, whole frames, in
// order. Together they hold exactly the frames that message.entries describes, without blanks.
struct PeerMessage {
  raft::Message message;
  std::vector<Bytes> slices;
};

// Whom to talk to, from the group's configuration.
struct Peer {
  MemberId id;
  Incarnation incarnation;  // of its data directory; one with another is a stranger
  std::string address;      // host:port
};

// Disturbs what is sent to one peer, for the tests of faults. Chances are per message.
struct LinkFaults {
  double drop = 0;
  double duplicate = 0;
  double reorder = 0;  // is overtaken by the next ones
  int64_t min_delay_nanos = 0;
  int64_t max_delay_nanos = 0;

  bool Any() const { return drop > 0 || duplicate > 0 || reorder > 0 || max_delay_nanos > 0; }
};

class TransportListener {
 public:
  virtual ~TransportListener() = default;

  // From a peer that passed the door: group, member and incarnation were checked.
  virtual void OnMessage(PeerMessage message) = 0;

  // A new connection to the peer is up, both ends know who the other is. Whatever was sent before
  // may be lost. `boot_id` is drawn at each start of the peer's process: after this call with a new
  // one, no message of the old process comes any more.
  virtual void OnConnected(MemberId peer, uint64_t boot_id, const std::string& client_address) = 0;

  // The last connection to the peer closed. `by_peer`: it closed (its process died, most likely);
  // otherwise we did, or the network timed out.
  virtual void OnDisconnected(MemberId peer, bool by_peer) = 0;
};

class Transport {
 public:
  virtual ~Transport() = default;

  // Begins to accept and to connect. The listener outlives the transport. `peers`: all members of
  // the group but this one; empty while this member has no configuration.
  virtual absl::Status Start(TransportListener* listener, std::vector<Peer> peers) = 0;

  // Queues a message; drops it if the peer is not connected or its send queue is full (bounded by
  // bytes), which Raft repairs.
  virtual void Send(MemberId to, PeerMessage message) = 0;

  // Closes all connections; no callback comes any more. May be called from within one.
  virtual void Stop() = 0;
};

}  // namespace raftmq::dledger
