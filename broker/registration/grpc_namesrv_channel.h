// The channel to a NameServer that registration and route queries share: gRPC keeps one connection
// for channels that are made alike. For sources of registration/ only: it includes gRPC.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

namespace raftmq::broker {

inline std::shared_ptr<grpc::Channel> MakeNamesrvChannel(const std::string& address) {
  grpc::ChannelArguments args;
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // A NameServer's machine that vanished is noticed by pings.
  args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5'000);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), args);
}

}  // namespace raftmq::broker
