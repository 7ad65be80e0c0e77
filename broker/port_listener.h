// PortListener: accepts the client port's connections and tells TLS from plaintext by their first
// byte, so that one port serves both.
//
// It also keeps a second descriptor of each connection it handed over, so that connections can be
// closed from here: a member that has no leader for long sends its clients away by that.
//
// Bind on any thread; Start once. Accepting and peeking happen on an event loop of their own, where
// nothing else waits: a client that connects and says nothing holds up nobody, and is dropped after
// a bounded wait. The other methods may be called from any thread.
#pragma once

#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"

namespace raftmq::broker {

class PortListener {
 public:
  struct Options {
    std::string host = "0.0.0.0";  // numeric, or a name to be resolved
    int port = 0;                  // 0: any free one
    int64_t first_byte_ms = 10'000;
    size_t max_silent = 4'096;  // connections that have not said a byte yet
    size_t max_connections = 50'000;
    int64_t penalty_ms = 500;
    int64_t sweep_ms = 1'000;  // how often closed connections are let go of
  };
  // Takes over the descriptor, which is non-blocking. On the loop's thread.
  using Sink = absl::AnyInvocable<void(int fd, bool tls)>;

  // Unavailable: the address cannot be bound.
  static absl::StatusOr<std::unique_ptr<PortListener>> Bind(Options options);
  ~PortListener();

  int port() const;

  // `loop` outlives this object or is stopped before it is destroyed.
  void Start(EventLoop* loop, Sink sink);

  // While true, clients go elsewhere: all connections that are open when it becomes true are
  // closed, but those kept for operators, and new ones at once, but from this machine: a client
  // that comes that way is sent off by CloseClient as soon as it shows what it is.
  void SetRefusing(bool refusing);

  // The connection from `peer` ("10.1.2.3:4711", "[::1]:4711") carried an administrative call.
  void KeepForOperator(const std::string& peer);
  // Closes the connection from `peer`, and for `penalty_ms` new ones from this machine too while
  // refusing, so that it tries its next address.
  void CloseClient(const std::string& peer);

  // Stops accepting; open connections stay. Returns when the sink is not called any more. Not on
  // the loop.
  void Stop();

  size_t connections() const;

 private:
  struct Impl;
  explicit PortListener(std::shared_ptr<Impl> impl);
  const std::shared_ptr<Impl> impl_;
};

}  // namespace raftmq::broker
