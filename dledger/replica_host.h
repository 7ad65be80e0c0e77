// ReplicaHost: a replica with the threads and the sockets of a real process.
//
// What a broker's main, a bench and a test over real sockets use instead of wiring OpenReplica
// themselves. Threads: replica, log-writer, log-prepare, apply (docs/threads.md).
#pragma once

#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "dledger/open.h"
#include "dledger/replica.h"
#include "dledger/tcp_transport.h"

namespace raftmq::dledger {

struct ReplicaHostOptions {
  std::string dir;             // formatted and bootstrapped
  std::string client_address;  // told to the peers: where this member serves clients
  // host:port to listen on for peers. "": all interfaces, the port of this member's address in the
  // group's configuration.
  std::string peer_bind_address;
  ReplicaOptions replica;
  // Timeouts, limits; who and where is filled in.
  TcpTransportOptions transport;
};

// Not thread-safe but for replica(), which is the Ledger. Destruction ends the threads; call Stop
// before, or the process ends as if killed (which is safe, only slower to recover from).
class ReplicaHost {
 public:
  // Opens the replica; it does nothing before Start. `state_machine` outlives the host. `on_fatal`,
  // `lock`: see ReplicaDeps.
  static absl::StatusOr<std::unique_ptr<ReplicaHost>> Open(
      ReplicaHostOptions options, StateMachine* state_machine,
      absl::AnyInvocable<void(const absl::Status&)> on_fatal,
      std::shared_ptr<DirectoryLock> lock = nullptr);

  ~ReplicaHost();
  ReplicaHost(const ReplicaHost&) = delete;
  ReplicaHost& operator=(const ReplicaHost&) = delete;

  void Start() { replica_->Start(); }

  // Hands over leadership, flushes, closes; blocks until done, a few seconds at most. Once.
  absl::Status Stop();

  Replica* replica() { return replica_.get(); }
  // The thread of the replica, for those who must run on it.
  TaskRunner* replica_runner() { return &replica_loop_; }
  // Null in a group of one that listens nowhere.
  TcpTransport* transport() { return transport_; }

 private:
  ReplicaHost();
  void JoinThreads();

  EventLoop replica_loop_{"replica"};
  EventLoop writer_loop_{"log-writer"};
  EventLoop background_loop_{"log-prepare"};
  EventLoop apply_loop_{"apply"};
  bool joined_ = false;
  TcpTransport* transport_ = nullptr;  // the replica's
  std::unique_ptr<Replica> replica_;
};

}  // namespace raftmq::dledger
