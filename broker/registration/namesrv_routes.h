// NamesrvRoutes: the other broker groups that serve a topic, as the NameServers know them.
//
// All NameServers are asked, and their answers put together: one that has just started does not
// know every group yet. An answer serves for a second. A group that the NameServers cease to know
// stays in for a few seconds more, since brokers need a moment to find a NameServer that came back;
// while none answers, what was known last goes on.
//
// Thread-safe. Calls back on the completion queue's threads or those of HostNames.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "broker/host_names.h"
#include "broker/other_groups.h"

namespace grpc {
class CompletionQueue;
}

namespace raftmq::broker {

struct NamesrvRoutesOptions {
  std::vector<std::string> namesrv_addresses;  // host:port
  std::string own_broker_name;                 // left out
  int64_t ask_ms = 300;                        // for each NameServer to answer
  int64_t fresh_ms = 1'000;
  int64_t keep_ms = 5'000;
  size_t max_topics = 10'000;  // remembered
};

class NamesrvRoutes final : public OtherGroups {
 public:
  // `hosts` outlives it, and so does `queue`, whose tags are CqTags and which a thread must serve
  // until it is gone.
  NamesrvRoutes(NamesrvRoutesOptions options, HostNames* hosts, const Clock* clock,
                grpc::CompletionQueue* queue);
  // Waits for the questions under way. Nobody calls Find any more.
  ~NamesrvRoutes() override;

  void Find(const std::string& topic, Found found) override;

 private:
  struct Core;
  const std::unique_ptr<Core> core_;
};

}  // namespace raftmq::broker
