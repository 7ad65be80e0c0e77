// BrokerClient: raw v2 and admin stubs with the headers an official client sends, for tests over a
// real connection. Every call has a deadline.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "apache/rocketmq/v2/service.grpc.pb.h"
#include "base/clock.h"
#include "base/strings.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "raftmq/v1/admin.grpc.pb.h"

namespace raftmq::broker {

namespace v2 = ::apache::rocketmq::v2;
namespace adm = ::raftmq::v1;

struct Received {
  grpc::Status grpc;
  v2::Status status;
  std::vector<v2::Message> messages;
  bool ended_with_timestamp = false;
};

class BrokerClient {
 public:
  BrokerClient(
      int port, std::string language,
      std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials())
      : language_(std::move(language)) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 200);
    arguments.SetMaxReceiveMessageSize(-1);
    channel_ = grpc::CreateCustomChannel(StrCat("127.0.0.1:", port), credentials, arguments);
    messaging_ = v2::MessagingService::NewStub(channel_);
    admin_ = adm::Admin::NewStub(channel_);
  }

  void Fill(grpc::ClientContext* context, int64_t timeout_ms = 10'000) const {
    context->AddMetadata("x-mq-client-id", client_id);
    context->AddMetadata("x-mq-language", language_);
    context->AddMetadata("x-mq-client-version", "5.0.0");
    context->set_wait_for_ready(true);
    context->set_deadline(
        gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(timeout_ms, GPR_TIMESPAN)));
  }

  grpc::Status UpdateTopic(const std::string& name, int32_t queues = 4,
                           adm::TopicType type = adm::NORMAL) const {
    grpc::ClientContext context;
    Fill(&context, 30'000);
    adm::UpdateTopicRequest request;
    request.set_name(name);
    request.set_read_queues(queues);
    request.set_write_queues(queues);
    request.set_type(type);
    adm::UpdateTopicResponse response;
    return admin_->UpdateTopic(&context, request, &response);
  }

  adm::GetMemberStatusResponse MemberStatus() const {
    grpc::ClientContext context;
    Fill(&context);
    adm::GetMemberStatusResponse response;
    admin_->GetMemberStatus(&context, {}, &response);
    return response;
  }

  // grpc.health.v1.Health says that it serves.
  bool Healthy() const {
    grpc::ClientContext context;
    Fill(&context);
    grpc::health::v1::HealthCheckResponse response;
    const auto stub = grpc::health::v1::Health::NewStub(channel_);
    return stub->Check(&context, {}, &response).ok() &&
           response.status() == grpc::health::v1::HealthCheckResponse::SERVING;
  }

  std::string DumpState() const {
    grpc::ClientContext context;
    Fill(&context);
    auto reader = admin_->DumpState(&context, adm::DumpStateRequest());
    std::string text;
    adm::DumpStateResponse piece;
    while (reader->Read(&piece)) text += piece.text();
    reader->Finish();
    return text;
  }

  v2::QueryRouteResponse QueryRoute(const std::string& topic) const {
    grpc::ClientContext context;
    Fill(&context);
    v2::QueryRouteRequest request;
    request.mutable_topic()->set_name(topic);
    v2::QueryRouteResponse response;
    messaging_->QueryRoute(&context, request, &response);
    return response;
  }

  static v2::Message MakeMessage(const std::string& topic, const std::string& body,
                                 const std::string& id, const std::string& group = "") {
    v2::Message message;
    message.mutable_topic()->set_name(topic);
    message.set_body(body);
    message.mutable_system_properties()->set_message_id(id);
    message.mutable_system_properties()->set_body_encoding(v2::IDENTITY);
    if (!group.empty()) message.mutable_system_properties()->set_message_group(group);
    return message;
  }

  v2::SendMessageResponse Send(v2::Message message, grpc::Status* grpc_status = nullptr,
                               int64_t timeout_ms = 10'000) const {
    grpc::ClientContext context;
    Fill(&context, timeout_ms);
    v2::SendMessageRequest request;
    *request.add_messages() = std::move(message);
    v2::SendMessageResponse response;
    const grpc::Status status = messaging_->SendMessage(&context, request, &response);
    if (grpc_status != nullptr) *grpc_status = status;
    return response;
  }

  static v2::ReceiveMessageRequest MakeReceive(const std::string& topic, const std::string& group,
                                               int64_t poll_seconds) {
    v2::ReceiveMessageRequest request;
    request.mutable_group()->set_name(group);
    request.mutable_message_queue()->mutable_topic()->set_name(topic);
    request.mutable_message_queue()->set_id(-1);
    request.mutable_filter_expression()->set_type(v2::TAG);
    request.mutable_filter_expression()->set_expression("*");
    request.set_batch_size(32);
    request.mutable_invisible_duration()->set_seconds(30);
    request.mutable_long_polling_timeout()->set_seconds(poll_seconds);
    return request;
  }

  Received Receive(const v2::ReceiveMessageRequest& request, int64_t timeout_ms = 15'000) const {
    grpc::ClientContext context;
    Fill(&context, timeout_ms);
    return Receive(request, &context);
  }

  Received Receive(const v2::ReceiveMessageRequest& request, grpc::ClientContext* context) const {
    Received received;
    auto reader = messaging_->ReceiveMessage(context, request);
    v2::ReceiveMessageResponse response;
    while (reader->Read(&response)) {
      received.ended_with_timestamp = response.has_delivery_timestamp();
      if (response.has_status()) received.status = response.status();
      if (response.has_message()) received.messages.push_back(response.message());
    }
    received.grpc = reader->Finish();
    return received;
  }

  // Receives until `count` messages have come, for at most 30 s: a send is answered when it is
  // committed, a moment before it can be received. Ends early on a status that is a refusal.
  Received ReceiveCount(const v2::ReceiveMessageRequest& request, size_t count) const {
    const int64_t end_ms = SystemClock()->MonotonicMillis() + 30'000;
    Received all;
    while (true) {
      Received next = Receive(request);
      for (v2::Message& message : next.messages) all.messages.push_back(std::move(message));
      all.grpc = next.grpc;
      all.status = next.status;
      all.ended_with_timestamp = next.ended_with_timestamp;
      const bool goes_on = next.grpc.ok() && (next.status.code() == v2::OK ||
                                              next.status.code() == v2::MESSAGE_NOT_FOUND);
      if (all.messages.size() >= count || !goes_on || SystemClock()->MonotonicMillis() >= end_ms) {
        return all;
      }
    }
  }

  v2::AckMessageResponse Ack(const std::string& group, const v2::Message& message) const {
    grpc::ClientContext context;
    Fill(&context);
    v2::AckMessageRequest request;
    request.mutable_group()->set_name(group);
    *request.mutable_topic() = message.topic();
    request.add_entries()->set_receipt_handle(message.system_properties().receipt_handle());
    v2::AckMessageResponse response;
    messaging_->AckMessage(&context, request, &response);
    return response;
  }

  v2::MessagingService::Stub* messaging() const { return messaging_.get(); }
  adm::Admin::Stub* admin() const { return admin_.get(); }

  std::string client_id = "test-client";

 private:
  const std::string language_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v2::MessagingService::Stub> messaging_;
  std::unique_ptr<adm::Admin::Stub> admin_;
};

}  // namespace raftmq::broker
