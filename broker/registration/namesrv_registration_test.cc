#include "broker/registration/namesrv_registration.h"

#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/event_loop.h"
#include "base/testing/reserved_ports.h"
#include "broker/testing/cq_thread.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "namesrv/namesrv_service.h"

namespace raftmq::broker {
namespace {

std::unique_ptr<namesrv::NameServer> StartNameServer(int port = ReservePort()) {
  namesrv::NameServerOptions options;
  options.listen_address = "127.0.0.1:" + std::to_string(port);
  auto server = namesrv::NameServer::Start(options, SystemClock());
  CHECK(server.ok()) << server.status();
  return std::move(*server);
}

class NamesrvRegistrationTest : public ::testing::Test {
 protected:
  std::unique_ptr<NamesrvRegistration> Register(std::vector<int> ports) {
    NamesrvRegistrationOptions options;
    for (int port : ports) {
      options.namesrv_addresses.push_back("127.0.0.1:" + std::to_string(port));
    }
    options.cluster = "c";
    options.broker_name = "broker-a";
    options.member = MemberId(1);
    options.member_name = "n0";
    options.client_address = "127.0.0.1:8081";
    options.reconnect_delay_ms = 10;
    options.register_period_ms = register_period_ms_;
    return std::make_unique<NamesrvRegistration>(
        options,
        [this] {
          absl::MutexLock lock(&mu_);
          return state_;
        },
        &timers_, cq_.queue());
  }

  void SetState(int64_t term, bool leader, std::vector<std::string> topics) {
    absl::MutexLock lock(&mu_);
    state_.term = Term(term);
    state_.leader = leader;
    state_.topics.clear();
    for (const std::string& name : topics) {
      store::TopicConfig topic;
      topic.name = name;
      state_.topics.push_back(topic);
    }
  }

  // Waits until the condition holds; a test that waits too long fails by Bazel's time limit.
  template <typename F>
  void WaitUntil(F condition) {
    while (!condition()) {
      absl::Mutex mu;
      absl::MutexLock lock(&mu);
      bool never = false;
      mu.AwaitWithTimeout(absl::Condition(&never), absl::Milliseconds(1));
    }
  }

  int64_t register_period_ms_ = 30'000;
  absl::Mutex mu_;
  RegistrationState state_;
  CqThread cq_;
  EventLoop timers_{"timers"};
};

TEST_F(NamesrvRegistrationTest, EveryNameServerLearnsTopicsAndChanges) {
  auto one = StartNameServer();
  auto two = StartNameServer();
  SetState(3, true, {"A"});
  auto registration = Register({one->port(), two->port()});
  WaitUntil([&] { return registration->accepted() == 2; });
  EXPECT_EQ(one->table().Route("A").size(), 1u);
  EXPECT_EQ(two->table().Route("A").size(), 1u);

  SetState(3, true, {"A", "B"});
  registration->Notify();
  WaitUntil([&] { return one->table().Route("B").size() + two->table().Route("B").size() == 2; });
}

TEST_F(NamesrvRegistrationTest, WhatNobodyNotifiedOfIsToldAtTheNextRefresh) {
  auto server = StartNameServer();
  register_period_ms_ = 20;
  SetState(3, true, {"A"});
  auto registration = Register({server->port()});
  WaitUntil([&] { return registration->accepted() == 1; });
  SetState(3, true, {"A", "B"});
  WaitUntil([&] { return server->table().Route("B").size() == 1; });
}

TEST_F(NamesrvRegistrationTest, EndOfTheProcessEvictsAtOnce) {
  auto server = StartNameServer();
  SetState(1, true, {"A"});
  auto registration = Register({server->port()});
  WaitUntil([&] { return registration->accepted() == 1; });
  registration.reset();
  WaitUntil([&] { return server->table().Groups().empty(); });
}

TEST_F(NamesrvRegistrationTest, NameServerThatComesBackIsToldAgain) {
  auto server = StartNameServer();
  const int port = server->port();
  SetState(1, true, {"A"});
  auto registration = Register({port});
  WaitUntil([&] { return registration->accepted() == 1; });
  server.reset();
  server = StartNameServer(port);
  WaitUntil([&] { return server->table().Route("A").size() == 1; });
}

TEST_F(NamesrvRegistrationTest, ManyComeAndGoWhileTheirStreamsEnd) {
  const int nobody = ReservePort();
  for (int i = 0; i < 300; ++i) Register({nobody, nobody})->Notify();
}

}  // namespace
}  // namespace raftmq::broker
