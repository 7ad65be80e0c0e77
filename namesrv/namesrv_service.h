// NameServer: serves raftmq.v1.NameServer and, for our own client and tools, QueryRoute of the
// public protocol, over a RouteTable. Owns the gRPC server and the table.
//
// gRPC's own threads call the services; one thread "route-scan" expires silent members every 5 s.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "namesrv/route_table.h"

namespace raftmq::namesrv {

struct NameServerOptions {
  std::string listen_address = "0.0.0.0:9876";
  int64_t scan_interval_ms = 5'000;
  RouteTableOptions table;
};

class NameServer {
 public:
  // Unavailable if the address cannot be bound.
  static absl::StatusOr<std::unique_ptr<NameServer>> Start(NameServerOptions options,
                                                           const Clock* clock);
  ~NameServer();

  // The port that was bound (options may say 0).
  int port() const;
  RouteTable& table();

  // Ends all streams and stops serving; returns when done.
  void Shutdown();

 private:
  struct Impl;
  explicit NameServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace raftmq::namesrv
