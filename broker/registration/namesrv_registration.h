// NamesrvRegistration: keeps this member registered with every NameServer: at once when the stream
// opens, after each change, and every 30 s (RocketMQ: registerBrokerAll). The end of the stream is
// what evicts us there, so it stays open for as long as this object lives.
//
// Owned by the broker's wiring. Notify and Stop may be called from any thread; the source is called
// on the completion queue's threads and on `timers`, and must not block.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/task_runner.h"
#include "store/model.h"

namespace grpc {
class CompletionQueue;
}

namespace raftmq::broker {

struct NamesrvRegistrationOptions {
  std::vector<std::string> namesrv_addresses;  // host:port; may be empty
  std::string cluster;
  std::string broker_name;
  MemberId member;
  std::string member_name;
  std::string client_address;  // advertised host:port
  MemberId preferred_member;   // first in every route; kNoMember: none
  std::string group_dns_name;  // host:port of all members; "": none
  int64_t register_period_ms = 30'000;
  int64_t reconnect_delay_ms = 1'000;
};

// What changes: read each time before it is sent.
struct RegistrationState {
  Term term;
  bool leader = false;  // leads and serves
  std::vector<store::TopicConfig> topics;
  std::vector<MemberId> serving;  // clients, as a leader sees it
};

class NamesrvRegistration {
 public:
  using Source = std::function<RegistrationState()>;

  // Opens the streams. `timers` and `queue`, whose tags are CqTags, outlive this object; a thread
  // must serve the queue until it is gone.
  NamesrvRegistration(NamesrvRegistrationOptions options, Source source, TaskRunner* timers,
                      grpc::CompletionQueue* queue);

  // Ends the streams, which evicts this member everywhere, and waits for their ends.
  ~NamesrvRegistration();

  // Leadership or topics changed: tells all NameServers now.
  void Notify();

  // How many NameServers have accepted the newest word; for status.
  int accepted() const;

 private:
  struct Core;
  std::shared_ptr<Core> core_;
};

}  // namespace raftmq::broker
