// Our client and mqadmin against a group whose clients must show a certificate.
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "base/file_system.h"
#include "broker/testing/broker_group.h"
#include "broker/testing/grpc_broker_client.h"
#include "broker/tls_certificate.h"
#include "client/producer.h"
#include "client/simple_consumer.h"
#include "gtest/gtest.h"

namespace raftmq::client {
namespace {

class MutualTls : public testing::Test {
 protected:
  void SetUp() override {
    const broker::TlsCertificate made = *broker::MakeSelfSignedCertificate("127.0.0.1");
    tls_ = {true, made.certificate_pem, made.certificate_pem, made.private_key_pem};
    ASSERT_TRUE(WriteFileAtomically(PosixFileSystem(), key_, tls_.key_pem).ok());
    ASSERT_TRUE(WriteFileAtomically(PosixFileSystem(), certificate_, tls_.certificate_pem).ok());
    broker::BrokerGroup::Options options;
    options.folder = folder_;
    options.members = 1;
    options.configure = [this](broker::BrokerConfig* config) {
      config->tlsServerMode = "enforcing";
      config->tlsServerNeedClientAuth = "require";
      config->tlsServerKeyPath = key_;
      config->tlsServerCertPath = config->tlsServerTrustCertPath = certificate_;
    };
    group_ = std::make_unique<broker::BrokerGroup>(options);
    group_->StartAll();
    const broker::BrokerClient client(group_->port(0), "RAFTMQ", MakeChannelCredentials(tls_));
    ASSERT_TRUE(client.UpdateTopic("orders", 1).ok());
  }
  void TearDown() override {
    group_.reset();
    for (const std::string& path : {folder_, key_, certificate_}) {
      PosixFileSystem()->RemoveAll(path).IgnoreError();
    }
  }

  std::string Address() const { return StrCat("127.0.0.1:", group_->port(0)); }

  // mqadmin's exit code.
  int Run(const std::string& arguments) {
    return WEXITSTATUS(std::system(
        StrCat("client/mqadmin/mqadmin ", arguments, " -n ", Address(), " > /dev/null").c_str()));
  }

  const std::string folder_ = StrCat(testing::TempDir(), "/tls-", getpid());
  const std::string key_ = StrCat(testing::TempDir(), "/tls-key-", getpid(), ".pem");
  const std::string certificate_ = StrCat(testing::TempDir(), "/tls-cert-", getpid(), ".pem");
  TlsClientOptions tls_;
  std::unique_ptr<broker::BrokerGroup> group_;
};

TEST_F(MutualTls, OurClientGetsInWithItsCertificate) {
  ProducerOptions options;
  options.namesrvAddr = Address();
  options.tls = tls_;
  auto producer = *Producer::Start(options);
  Message message;
  message.topic = "orders";
  message.body = "hi";
  const auto sent = producer->Send(message);
  ASSERT_TRUE(sent.ok()) << sent.status();
  SimpleConsumerOptions reader;
  reader.namesrvAddr = Address();
  reader.consumerGroup = "readers";
  reader.topic = "orders";
  reader.tls = tls_;
  const auto received = (*SimpleConsumer::Start(reader))->Receive(1);
  ASSERT_TRUE(received.ok()) << received.status();
  ASSERT_EQ(received->size(), 1u);

  options.tls = TlsClientOptions();
  EXPECT_FALSE((*Producer::Start(options))->Send(message).ok()) << "plaintext is refused";
}

TEST_F(MutualTls, MqadminGetsInWithItsCertificate) {
  const std::string flags =
      StrCat(" --tls --tlsTrustCertPath ", certificate_, " --tlsClientCertPath ", certificate_,
             " --tlsClientKeyPath ", key_);
  EXPECT_EQ(Run(StrCat("topicList", flags)), 0);
  EXPECT_NE(Run("topicList --tls"), 0) << "without a certificate";
  EXPECT_NE(Run("topicList"), 0) << "plaintext";
  EXPECT_EQ(Run("topicList --tls --tlsTrustCertPath /nowhere"), 2);
}

}  // namespace
}  // namespace raftmq::client
