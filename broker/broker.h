// Broker: one member of a broker group in this process. Wiring only: it makes the loops, opens the
// data directory, and connects replica, store, services and server.
//
// Start, Stop and destruction on one thread, the process's main. Everything else runs on the
// threads that docs/threads.md lists.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/file_system.h"
#include "broker/broker_config.h"

namespace raftmq::broker {

struct BrokerDeps {
  FileSystem* fs = nullptr;
  Clock* clock = nullptr;
  // The member has stopped for good (its disk failed, say): the process should end. Called once, on
  // some thread; must not block.
  std::function<void(const absl::Status&)> on_fatal;
  // Whether the process was told to stop: asked while a formatted member waits to be bootstrapped.
  std::function<bool()> stop_requested;
};

class Broker {
 public:
  // Opens a formatted directory and serves. If the member was never given its group's first entry,
  // serves only the calls that do that, until one did. The directory is locked before anything in
  // it is changed. FailedPrecondition: not formatted, formatted as another member, in use;
  // Unavailable: a port cannot be had; Cancelled: stop was requested.
  static absl::StatusOr<std::unique_ptr<Broker>> Start(BrokerConfig config, BrokerDeps deps);
  ~Broker();

  Broker(const Broker&) = delete;
  Broker& operator=(const Broker&) = delete;

  // Of the clients' service.
  int port() const;
  std::string client_address() const;

  // Leads and serves, or knows a member that leads.
  bool has_leader() const;

  // Hands leadership over, ends what is under way, flushes. Once.
  absl::Status Stop();

 private:
  struct Parts;
  explicit Broker(std::unique_ptr<Parts> parts);
  const std::unique_ptr<Parts> parts_;
};

}  // namespace raftmq::broker
