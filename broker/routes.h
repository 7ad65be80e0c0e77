// The route of a topic, in the shape that the caller's client library can use.
//
//   Java, Go, C++, Python, Rust   take several addresses: one broker, all serving members in one
//                                 Endpoints, in an order that no leader change moves: a changed
//                                 list is a new session to them
//   Node.js, C#, unknown          cannot: one virtual broker per serving member, "broker-a-n0" …,
//                                 each with all queues, since every member serves every call; or
//                                 the group's DNS name, if it has one
//   our own                       each queue once, the leader first in its addresses
//
// Pure functions over a view of the group; any thread.
#pragma once

#include <string>
#include <vector>

#include "apache/rocketmq/v2/service.pb.h"
#include "base/ids.h"
#include "broker/client_language.h"
#include "store/model.h"

namespace raftmq::broker {

namespace v2 = ::apache::rocketmq::v2;

// A member that serves clients.
struct RouteMember {
  MemberId id;
  std::string name;  // "n0"
  std::string host;  // numeric; a host name where it could not be resolved
  int32_t port = 0;
  v2::AddressScheme scheme = v2::IPv4;
  bool leader = false;
};

struct RouteView {
  std::string broker_name;
  std::vector<RouteMember> members;  // the preferred leader, then by id
  std::string dns_host;              // resolves to all members; "": there is no such name
  int32_t dns_port = 0;
};

// The preferred one first, then by id: the order that no leader change moves.
void OrderMembers(MemberId preferred, std::vector<RouteMember>* members);

enum class RouteShape { kSharedEndpoints, kVirtualBrokers, kPhysical };
RouteShape ShapeFor(ClientLanguage language);

// The brokers of a route, in its shape: names and endpoints, without queues. Never mixes address
// families in one Endpoints: the first member's family is taken.
std::vector<v2::Broker> BrokersOf(const RouteView& view, RouteShape shape);

// The queues of `topic` on each broker, usable ones only, queue 0 first.
std::vector<v2::MessageQueue> QueuesOf(const store::TopicConfig& topic,
                                       const std::vector<v2::Broker>& brokers);

// What a consumer of a group is assigned: for a group that is not orderly one entry per broker with
// queue id -1 (the server picks the queue), else one per readable queue.
std::vector<v2::MessageQueue> AssignmentsOf(const store::TopicConfig& topic, bool orderly,
                                            const std::vector<v2::Broker>& brokers);

}  // namespace raftmq::broker
