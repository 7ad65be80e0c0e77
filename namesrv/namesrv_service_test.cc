#include "namesrv/namesrv_service.h"

#include <grpcpp/grpcpp.h>

#include "apache/rocketmq/v2/service.grpc.pb.h"
#include "gtest/gtest.h"
#include "raftmq/v1/namesrv.grpc.pb.h"

namespace raftmq::namesrv {
namespace {

namespace pb = ::raftmq::v1;
namespace v2 = ::apache::rocketmq::v2;

pb::BrokerRegistration Leader(const std::string& topic) {
  pb::BrokerRegistration r;
  r.set_cluster("c");
  r.set_broker_name("broker-a");
  r.set_member_id(2);
  r.set_member_name("n1");
  r.set_client_address("broker1.example:8081");
  r.set_term(7);
  r.set_leader(true);
  pb::TopicQueues* queues = r.add_topics();
  queues->set_topic(topic);
  queues->set_read_queues(4);
  queues->set_write_queues(4);
  queues->set_perm(6);
  queues->set_message_type("NORMAL");
  return r;
}

class NameServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    NameServerOptions options;
    options.listen_address = "127.0.0.1:0";
    auto server = NameServer::Start(options, SystemClock());
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = std::move(*server);
    channel_ = grpc::CreateChannel("127.0.0.1:" + std::to_string(server_->port()),
                                   grpc::InsecureChannelCredentials());
    registry_ = pb::NameServer::NewStub(channel_);
  }

  std::unique_ptr<NameServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<pb::NameServer::Stub> registry_;
};

TEST_F(NameServerTest, RegisteredTopicIsRoutedAndForgottenWhenTheStreamEnds) {
  auto context = std::make_unique<grpc::ClientContext>();
  auto stream = registry_->Register(context.get());
  ASSERT_TRUE(stream->Write(Leader("orders")));
  pb::RegistrationReply reply;
  ASSERT_TRUE(stream->Read(&reply));
  EXPECT_TRUE(reply.accepted()) << reply.message();

  auto messaging = v2::MessagingService::NewStub(channel_);
  v2::QueryRouteRequest query;
  query.mutable_topic()->set_name("orders");
  v2::QueryRouteResponse route;
  grpc::ClientContext query_context;
  ASSERT_TRUE(messaging->QueryRoute(&query_context, query, &route).ok());
  EXPECT_EQ(route.status().code(), v2::OK);
  ASSERT_EQ(route.message_queues_size(), 4);
  EXPECT_EQ(route.message_queues(3).broker().endpoints().addresses(0).host(), "broker1.example");
  EXPECT_EQ(route.message_queues(3).broker().endpoints().addresses(0).port(), 8081);

  stream->WritesDone();
  ASSERT_TRUE(stream->Finish().ok());
  // Finish returns when the server has ended the call; its OnDone may still be a moment away.
  pb::ClusterInfoReply info;
  for (int i = 0; i < 10'000; ++i) {
    grpc::ClientContext info_context;
    ASSERT_TRUE(registry_->GetClusterInfo(&info_context, {}, &info).ok());
    if (info.groups_size() == 0) break;
  }
  EXPECT_EQ(info.groups_size(), 0);
}

TEST_F(NameServerTest, ARouteNamesTheLeaderFirstAndThenWhereToGoWhenItDies) {
  grpc::ClientContext contexts[2];
  pb::RegistrationReply reply;
  auto leader = registry_->Register(&contexts[0]);
  ASSERT_TRUE(leader->Write(Leader("orders")));  // member 2
  ASSERT_TRUE(leader->Read(&reply));
  pb::BrokerRegistration follower = Leader("orders");
  follower.set_member_id(1);
  follower.set_client_address("broker0.example:8081");
  follower.set_leader(false);
  auto other = registry_->Register(&contexts[1]);
  ASSERT_TRUE(other->Write(follower));
  ASSERT_TRUE(other->Read(&reply));

  auto messaging = v2::MessagingService::NewStub(channel_);
  v2::QueryRouteRequest query;
  query.mutable_topic()->set_name("orders");
  v2::QueryRouteResponse route;
  grpc::ClientContext query_context;
  ASSERT_TRUE(messaging->QueryRoute(&query_context, query, &route).ok());
  ASSERT_EQ(route.message_queues_size(), 4) << "each queue once";
  const v2::Endpoints& endpoints = route.message_queues(0).broker().endpoints();
  ASSERT_EQ(endpoints.addresses_size(), 2);
  EXPECT_EQ(endpoints.addresses(0).host(), "broker1.example");
  EXPECT_EQ(endpoints.addresses(1).host(), "broker0.example");
  for (grpc::ClientContext& context : contexts) context.TryCancel();
  EXPECT_FALSE(leader->Finish().ok());
  EXPECT_FALSE(other->Finish().ok());
}

TEST_F(NameServerTest, AMemberThatFallsSilentIsForgottenThoughItsStreamIsOpen) {
  NameServerOptions options;
  options.listen_address = "127.0.0.1:0";
  options.scan_interval_ms = 5;
  options.table.lease_ms = 100;
  auto server = NameServer::Start(options, SystemClock());
  ASSERT_TRUE(server.ok()) << server.status();
  auto registry = pb::NameServer::NewStub(grpc::CreateChannel(
      "127.0.0.1:" + std::to_string((*server)->port()), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  auto stream = registry->Register(&context);
  ASSERT_TRUE(stream->Write(Leader("orders")));
  pb::RegistrationReply reply;
  ASSERT_TRUE(stream->Read(&reply));
  EXPECT_TRUE(reply.accepted());
  // The test's time limit ends the wait if it is never forgotten.
  while (!(*server)->table().Groups().empty()) {
  }
  ASSERT_TRUE(stream->Write(Leader("orders"))) << "its next word makes it known again";
  ASSERT_TRUE(stream->Read(&reply));
  EXPECT_TRUE(reply.accepted());
  context.TryCancel();
  EXPECT_FALSE(stream->Finish().ok());
}

TEST_F(NameServerTest, RefusedRegistrationSaysWhy) {
  grpc::ClientContext context;
  auto stream = registry_->Register(&context);
  pb::BrokerRegistration bad = Leader("orders");
  bad.clear_cluster();
  ASSERT_TRUE(stream->Write(bad));
  pb::RegistrationReply reply;
  ASSERT_TRUE(stream->Read(&reply));
  EXPECT_FALSE(reply.accepted());
  EXPECT_EQ(reply.message(), "registration without cluster");
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(NameServerTest, UnknownTopicIsNotFound) {
  auto messaging = v2::MessagingService::NewStub(channel_);
  v2::QueryRouteRequest query;
  query.mutable_topic()->set_name("nowhere");
  v2::QueryRouteResponse route;
  grpc::ClientContext context;
  ASSERT_TRUE(messaging->QueryRoute(&context, query, &route).ok());
  EXPECT_EQ(route.status().code(), v2::TOPIC_NOT_FOUND);
}

TEST_F(NameServerTest, SecondServerOnTheSamePortIsRefused) {
  NameServerOptions options;
  options.listen_address = "127.0.0.1:" + std::to_string(server_->port());
  EXPECT_FALSE(NameServer::Start(options, SystemClock()).ok());
}

}  // namespace
}  // namespace raftmq::namesrv
