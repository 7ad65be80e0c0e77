// TcpTransport: the Transport over TCP, on the replica's event loop.
//
// Connections: each member dials every peer and keeps that connection, so a pair of members has
// two. A message leaves on the connection that this member dialed if it is up, else on the one that
// the peer dialed. The dialer greets first; the acceptor answers with its own greeting, or with a
// refusal in words and closes. Each end checks protocol version, cluster, group, receiver and the
// incarnation of the other's data directory (from the group's configuration). A member that the
// configuration does not name yet is let in only if it knows our own incarnation, which only the
// group's configuration tells.
//
// A peer that greets with a new boot id makes the connections of its earlier life close first.
// Lost connections are dialed again after 50 ms, doubling to 1 s, with jitter, and at once when the
// peer dials us. Host names are resolved at each dial. Silence is Raft's matter; only
// unacknowledged bytes (TCP_USER_TIMEOUT) and a dial or greeting that takes too long end a
// connection here.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/event_loop.h"
#include "base/ids.h"
#include "base/random.h"
#include "dledger/transport.h"

namespace raftmq::dledger {

struct TcpTransportOptions {
  std::string cluster;
  std::string group;
  MemberId self;
  Incarnation incarnation;
  uint64_t boot_id = 0;        // not 0; drawn at random at each start of the process
  std::string bind_address;    // host:port; port 0: any
  std::string client_address;  // told to peers: where this member serves clients

  int64_t connect_timeout_ms = 1'000;
  int64_t greeting_timeout_ms = 2'000;
  int64_t user_timeout_ms = 2'000;  // TCP_USER_TIMEOUT
  int64_t backoff_min_ms = 50;
  int64_t backoff_max_ms = 1'000;
  size_t max_queued_bytes = 64u << 20;  // to one peer
  int max_ungreeted = 64;               // accepted connections that have not greeted yet
  std::string congestion_control = "cubic";
};

// The thread rules of Transport hold: all calls on `loop`, except Create, port and destruction
// (after the loop has stopped, or on it).
class TcpTransport final : public Transport {
 public:
  // Binds and listens, so that an address in use is known at once; nothing is accepted before
  // Start. `loop` and `clock` outlive the transport. Any thread.
  static absl::StatusOr<std::unique_ptr<TcpTransport>> Create(EventLoop* loop, Clock* clock,
                                                              Random random,
                                                              TcpTransportOptions options);
  ~TcpTransport() override;

  // The port bound to.
  uint16_t port() const;

  absl::Status Start(TransportListener* listener, std::vector<Peer> peers) override;
  void Send(MemberId to, PeerMessage message) override;
  void Stop() override;

  // For tests of faults; on the loop.
  void SetLinkFaults(MemberId peer, LinkFaults faults);

 private:
  struct Impl;
  explicit TcpTransport(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace raftmq::dledger
