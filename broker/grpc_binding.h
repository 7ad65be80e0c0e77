// GrpcBinding: a generated asynchronous service bound to its handlers. One implementation per
// service, each in a source file of its own (gRPC's generated code is slow to compile).
#pragma once

#include <memory>
#include <vector>

#include "broker/admin_service.h"
#include "broker/consumers_service.h"
#include "broker/grpc_calls.h"
#include "broker/messaging_service.h"
#include "broker/replies_service.h"

namespace raftmq::broker {

class GrpcBinding {
 public:
  virtual ~GrpcBinding() = default;

  virtual grpc::Service* service() = 0;

  // Requests `count` calls of each method. After the server has started.
  void Start(int count) {
    for (const auto& method : methods_) method->Start(count);
  }

 protected:
  std::vector<std::unique_ptr<GrpcMethod>> methods_;
};

std::unique_ptr<GrpcBinding> BindMessaging(GrpcServerState* server, MessagingService* service);
std::unique_ptr<GrpcBinding> BindAdmin(GrpcServerState* server, AdminService* service);
std::unique_ptr<GrpcBinding> BindConsumers(GrpcServerState* server, ConsumersService* service);
std::unique_ptr<GrpcBinding> BindReplies(GrpcServerState* server, RepliesService* service);

class HealthBinding : public GrpcBinding {
 public:
  // What Check answers from now on, and watchers are told if it changed. False at first. Any
  // thread.
  virtual void SetHealthy(bool healthy) = 0;
};
std::unique_ptr<HealthBinding> BindHealth(GrpcServerState* server);

}  // namespace raftmq::broker
