// MetricsServer: GET /metrics over HTTP, for Prometheus to scrape. Plaintext, without passwords:
// for a network of the operators' own.
//
// One connection after the other, one request each, on a thread of its own; a client that is slow
// is cut off after some seconds, and others wait in the kernel meanwhile. Start and destruction on
// one thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace raftmq::broker {

class MetricsServer {
 public:
  // `text` makes the answer, on the server's thread, one call at a time; what it uses outlives the
  // server. Port 0: any. Unavailable: the port cannot be had.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(const std::string& host, int port,
                                                              std::function<std::string()> text);
  // Waits for a scrape that is under way.
  ~MetricsServer();

  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

  int port() const;

 private:
  struct Parts;
  explicit MetricsServer(std::unique_ptr<Parts> parts);
  const std::unique_ptr<Parts> parts_;
};

}  // namespace raftmq::broker
