// BrokerGroup: a group of real brokers in this process, over real connections and real files, for
// tests. Members are started and stopped one by one; n0 is member 0.
//
// Not thread-safe: for the test's thread. Checks fail the process: a test cannot go on.
#pragma once

#include <glog/logging.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/file_system.h"
#include "base/random.h"
#include "base/strings.h"
#include "base/testing/reserved_ports.h"
#include "broker/broker.h"
#include "dledger/open.h"

namespace raftmq::broker {

class BrokerGroup {
 public:
  struct Options {
    std::string folder;  // made, and removed at the end
    std::string name = "broker-a";
    int members = 3;
    std::string namesrvAddr;  // "": none
    int64_t leaderlessCloseMs = 1'000;
    std::function<void(BrokerConfig*)> configure;  // more of it, for each member at its start
  };

  // Formats and bootstraps all members; starts none.
  explicit BrokerGroup(Options options) : options_(std::move(options)) {
    const std::vector<std::string> peers = ReserveAddresses(options_.members);
    std::string peer_setting;
    std::vector<dledger::LocalMember> members;
    for (int i = 0; i < options_.members; ++i) {
      peer_setting += StrCat("n", i, "-", peers[i], ";");
      members.push_back({StrCat(options_.folder, "/", options_.name, "-n", i), peers[i]});
    }
    Random random(7);
    CHECK(dledger::PrepareLocalGroup(PosixFileSystem(), "DefaultCluster", options_.name, 4 << 20,
                                     members, random)
              .ok());
    for (int i = 0; i < options_.members; ++i) {
      BrokerConfig& config = configs_.emplace_back();
      CHECK(config.Set("dLegerPeers", peer_setting).ok());
      CHECK(options_.namesrvAddr.empty() || config.Set("namesrvAddr", options_.namesrvAddr).ok());
      config.brokerName = options_.name;
      config.dLegerSelfId = StrCat("n", i);
      config.storePathRootDir = members[i].dir;
      config.listenAddress = config.brokerIP1 = "127.0.0.1";
      config.listenPort = ReservePort();
      config.leaderlessCloseMs = options_.leaderlessCloseMs;
    }
    brokers_.resize(options_.members);
  }

  ~BrokerGroup() {
    StopAll();
    for (const BrokerConfig& config : configs_) {
      PosixFileSystem()->RemoveAll(config.storePathRootDir).IgnoreError();
    }
  }

  BrokerGroup(const BrokerGroup&) = delete;
  BrokerGroup& operator=(const BrokerGroup&) = delete;

  int size() const { return options_.members; }
  const std::string& name() const { return options_.name; }

  // A member keeps its port when it is started again.
  void Start(int i) {
    if (options_.configure) options_.configure(&configs_[i]);
    auto broker = Broker::Start(configs_[i], BrokerDeps{PosixFileSystem(), SystemClock(), {}, {}});
    CHECK(broker.ok()) << broker.status();
    brokers_[i] = *std::move(broker);
  }
  void Stop(int i) {
    const absl::Status stopped = brokers_[i]->Stop();
    CHECK(stopped.ok()) << stopped;
    brokers_[i].reset();
  }
  void StartAll() {
    for (int i = 0; i < size(); ++i) Start(i);
  }
  void StopAll() {
    for (int i = 0; i < size(); ++i) {
      if (brokers_[i] != nullptr) Stop(i);
    }
  }

  // REQUIRES: the member runs.
  int port(int i) const { return brokers_[i]->port(); }
  Broker& member(int i) { return *brokers_[i]; }

 private:
  const Options options_;
  std::vector<BrokerConfig> configs_;
  std::vector<std::unique_ptr<Broker>> brokers_;
};

}  // namespace raftmq::broker
