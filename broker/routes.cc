#include "broker/routes.h"

#include <algorithm>
#include <utility>

#include "base/strings.h"
#include "broker/message_conversion.h"

namespace raftmq::broker {
namespace {

void AddAddress(const RouteMember& member, v2::Endpoints* endpoints) {
  endpoints->set_scheme(member.scheme);
  v2::Address* address = endpoints->add_addresses();
  address->set_host(member.host);
  address->set_port(member.port);
}

// A domain name must stand alone in its Endpoints.
v2::Endpoints SharedEndpoints(const std::vector<RouteMember>& members) {
  v2::Endpoints endpoints;
  const auto numeric = std::find_if(members.begin(), members.end(), [](const RouteMember& m) {
    return m.scheme != v2::DOMAIN_NAME;
  });
  if (numeric == members.end()) {
    if (!members.empty()) AddAddress(members.front(), &endpoints);
    return endpoints;
  }
  for (const RouteMember& member : members) {
    if (member.scheme == numeric->scheme) AddAddress(member, &endpoints);
  }
  return endpoints;
}

v2::Permission PermissionOf(const store::TopicConfig& topic, int32_t queue) {
  const bool read = (topic.perm & store::kPermRead) != 0 && queue < topic.read_queues;
  const bool write = (topic.perm & store::kPermWrite) != 0 && queue < topic.write_queues;
  if (read && write) return v2::READ_WRITE;
  return read ? v2::READ : write ? v2::WRITE : v2::NONE;
}

void FillQueue(const store::TopicConfig& topic, int32_t id, v2::Permission permission,
               const v2::Broker& broker, v2::MessageQueue* queue) {
  queue->mutable_topic()->set_name(topic.name);
  queue->set_id(id);
  queue->set_permission(permission);
  *queue->mutable_broker() = broker;
  if (topic.type == store::TopicType::kMixed) {
    for (const v2::MessageType type : {v2::NORMAL, v2::FIFO, v2::DELAY, v2::TRANSACTION}) {
      queue->add_accept_message_types(type);
    }
  } else {
    queue->add_accept_message_types(ToMessageType(topic.type));
  }
}

}  // namespace

RouteShape ShapeFor(ClientLanguage language) {
  switch (language) {
    case ClientLanguage::kJava:
    case ClientLanguage::kGo:
    case ClientLanguage::kCpp:
    case ClientLanguage::kPython:
    case ClientLanguage::kRust:
      return RouteShape::kSharedEndpoints;
    case ClientLanguage::kRaftMq:
      return RouteShape::kPhysical;
    case ClientLanguage::kNodeJs:
    case ClientLanguage::kDotNet:
    case ClientLanguage::kUnknown:
      break;
  }
  return RouteShape::kVirtualBrokers;
}

void OrderMembers(MemberId preferred, std::vector<RouteMember>* members) {
  std::sort(members->begin(), members->end(), [&](const RouteMember& a, const RouteMember& b) {
    return std::pair(a.id != preferred, a.id) < std::pair(b.id != preferred, b.id);
  });
}

std::vector<v2::Broker> BrokersOf(const RouteView& view, RouteShape shape) {
  std::vector<v2::Broker> brokers;
  if (view.members.empty()) return brokers;
  if (shape == RouteShape::kVirtualBrokers && !view.dns_host.empty()) {
    v2::Broker& broker = brokers.emplace_back();
    broker.set_name(view.broker_name);
    RouteMember group;
    group.host = view.dns_host;
    group.port = view.dns_port;
    group.scheme = v2::DOMAIN_NAME;
    AddAddress(group, broker.mutable_endpoints());
    return brokers;
  }
  if (shape == RouteShape::kVirtualBrokers) {
    for (const RouteMember& member : view.members) {
      v2::Broker& broker = brokers.emplace_back();
      broker.set_name(StrCat(view.broker_name, "-", member.name));
      AddAddress(member, broker.mutable_endpoints());
    }
    return brokers;
  }
  std::vector<RouteMember> members = view.members;
  if (shape == RouteShape::kPhysical) {
    std::stable_partition(members.begin(), members.end(),
                          [](const RouteMember& m) { return m.leader; });
  }
  v2::Broker& broker = brokers.emplace_back();
  broker.set_name(view.broker_name);
  *broker.mutable_endpoints() = SharedEndpoints(members);
  return brokers;
}

std::vector<v2::MessageQueue> QueuesOf(const store::TopicConfig& topic,
                                       const std::vector<v2::Broker>& brokers) {
  std::vector<v2::MessageQueue> queues;
  for (const v2::Broker& broker : brokers) {
    for (int32_t id = 0; id < std::max(topic.read_queues, topic.write_queues); ++id) {
      const v2::Permission permission = PermissionOf(topic, id);
      if (permission == v2::NONE) continue;
      FillQueue(topic, id, permission, broker, &queues.emplace_back());
    }
  }
  return queues;
}

std::vector<v2::MessageQueue> AssignmentsOf(const store::TopicConfig& topic, bool orderly,
                                            const std::vector<v2::Broker>& brokers) {
  std::vector<v2::MessageQueue> queues;
  if ((topic.perm & store::kPermRead) == 0) return queues;
  for (const v2::Broker& broker : brokers) {
    if (!orderly) {
      FillQueue(topic, -1, v2::READ, broker, &queues.emplace_back());
      continue;
    }
    for (int32_t id = 0; id < topic.read_queues; ++id) {
      FillQueue(topic, id, PermissionOf(topic, id), broker, &queues.emplace_back());
    }
  }
  return queues;
}

}  // namespace raftmq::broker
