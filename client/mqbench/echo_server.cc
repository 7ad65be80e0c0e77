#include "client/mqbench/echo_server.h"

#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <thread>

#include "apache/rocketmq/v2/service.grpc.pb.h"
#include "base/thread.h"

namespace raftmq::mqbench {
namespace {

namespace v2 = ::apache::rocketmq::v2;
using Service = v2::MessagingService::AsyncService;

class Event {
 public:
  virtual ~Event() = default;
  virtual void Proceed(bool ok) = 0;
};

struct Server {
  Service service;
  std::unique_ptr<grpc::ServerCompletionQueue> queue;
  int port = 0;
};

class SendCall final : public Event {
 public:
  explicit SendCall(Server* server) : server_(server), responder_(&context_) {
    server_->service.RequestSendMessage(&context_, &request_, &responder_, server_->queue.get(),
                                        server_->queue.get(), this);
  }

  void Proceed(bool ok) override {
    if (!ok || answered_) {
      delete this;
      return;
    }
    new SendCall(server_);
    v2::SendMessageResponse response;
    response.mutable_status()->set_code(v2::OK);
    for (const v2::Message& message : request_.messages()) {
      v2::SendResultEntry* entry = response.add_entries();
      entry->mutable_status()->set_code(v2::OK);
      entry->set_message_id(message.system_properties().message_id());
      entry->set_offset(1);
    }
    answered_ = true;
    responder_.Finish(response, grpc::Status::OK, this);
  }

 private:
  Server* const server_;
  grpc::ServerContext context_;
  v2::SendMessageRequest request_;
  grpc::ServerAsyncResponseWriter<v2::SendMessageResponse> responder_;
  bool answered_ = false;
};

class RouteCall final : public Event {
 public:
  explicit RouteCall(Server* server) : server_(server), responder_(&context_) {
    server_->service.RequestQueryRoute(&context_, &request_, &responder_, server_->queue.get(),
                                       server_->queue.get(), this);
  }

  void Proceed(bool ok) override {
    if (!ok || answered_) {
      delete this;
      return;
    }
    new RouteCall(server_);
    v2::QueryRouteResponse response;
    response.mutable_status()->set_code(v2::OK);
    v2::MessageQueue* queue = response.add_message_queues();
    *queue->mutable_topic() = request_.topic();
    queue->set_permission(v2::READ_WRITE);
    queue->mutable_broker()->set_name("echo");
    v2::Endpoints* endpoints = queue->mutable_broker()->mutable_endpoints();
    endpoints->set_scheme(v2::IPv4);
    endpoints->add_addresses()->set_host("127.0.0.1");
    endpoints->mutable_addresses(0)->set_port(server_->port);
    answered_ = true;
    responder_.Finish(response, grpc::Status::OK, this);
  }

 private:
  Server* const server_;
  grpc::ServerContext context_;
  v2::QueryRouteRequest request_;
  grpc::ServerAsyncResponseWriter<v2::QueryRouteResponse> responder_;
  bool answered_ = false;
};

}  // namespace

int RunEchoServer(int port_fd, int stop_fd) {
  Server server;
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(64 << 20);
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &server.port);
  builder.RegisterService(&server.service);
  server.queue = builder.AddCompletionQueue();
  std::unique_ptr<grpc::Server> listening = builder.BuildAndStart();
  if (listening == nullptr) return 1;
  for (int i = 0; i < 128; ++i) new SendCall(&server);
  new RouteCall(&server);
  std::thread events = StartThread("grpc-cq", [&] {
    void* tag = nullptr;
    bool ok = false;
    while (server.queue->Next(&tag, &ok)) static_cast<Event*>(tag)->Proceed(ok);
  });
  const std::string text = std::to_string(server.port) + "\n";
  if (::write(port_fd, text.data(), text.size()) < 0) return 1;
  char end;
  while (::read(stop_fd, &end, 1) > 0) {
  }
  listening->Shutdown();
  server.queue->Shutdown();
  events.join();
  return 0;
}

}  // namespace raftmq::mqbench
