// BrokerConfig: the settings of mqbroker, with RocketMQ's names where it has one. They come from a
// file (`-c broker.conf`, lines of key=value, '#' comments) and from `--key=value` arguments, which
// win.
//
// Plain value; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "broker/delay_levels.h"

namespace raftmq::broker {

// "n1-host:40911" of dLegerPeers.
struct ConfiguredPeer {
  MemberId id;       // n0 is 1
  std::string name;  // "n1"
  std::string address;
};

// What bounds the messages of one group in flight on one queue without enablePopMessageThreshold:
// every member has each in memory and in its state.
inline constexpr int64_t kMaxInflightPerQueue = 100'000;

struct BrokerConfig {
  std::string brokerClusterName = "DefaultCluster";
  std::string brokerName = "broker-a";
  std::string dLegerGroup;  // "": brokerName
  std::string dLegerSelfId = "n0";
  std::vector<ConfiguredPeer> dLegerPeers;
  std::vector<std::string> namesrvAddr;
  int64_t registerNameServerPeriod = 30'000;  // ms
  int64_t namesrvListenPort = 9876;           // of the NameServer that --standalone runs; 0: any
  std::string storePathRootDir = "store";
  std::string flushDiskType = "SYNC_FLUSH";            // or ASYNC_FLUSH
  int64_t mappedFileSizeCommitLog = int64_t{1} << 30;  // segment size, fixed by format

  std::string listenAddress = "0.0.0.0";
  int64_t listenPort = 8081;      // 0: any
  std::string brokerIP1;          // advertised host; "": this host's name (standalone: 127.0.0.1)
  std::string peerListenAddress;  // "": listenAddress
  int64_t grpcThreads = 1;
  int64_t maxCallsInFlight = 32'768;
  bool enableReflection = true;
  std::string tlsServerMode = "permissive";  // enforcing, disabled
  std::string tlsServerKeyPath;
  std::string tlsServerCertPath;
  std::string tlsServerNeedClientAuth = "none";  // optional, require (mutual TLS)
  std::string tlsServerTrustCertPath;            // who may sign clients' certificates
  // What this member shows and expects where it forwards to other members; used while
  // tlsServerMode is enforcing.
  std::string tlsClientTrustCertPath;  // "": the other member's certificate is not checked
  std::string tlsClientKeyPath;        // "": tlsServerKeyPath
  std::string tlsClientCertPath;       // "": tlsServerCertPath

  bool autoCreateTopicEnable = false;
  int64_t defaultTopicQueueNums = 8;
  int64_t maxMessageSize = 4 << 20;
  int64_t longPollingTimeoutMillis = 20'000;
  int64_t popPollingSize = 1'024;       // receives that wait, of one group on one topic
  int64_t maxPopPollingSize = 100'000;  // in all
  bool enablePopMessageThreshold = false;
  int64_t popInflightMessageThreshold = 10'000;
  bool slaveReadEnable = false;
  int64_t accessMessageInMemoryMaxRatio = 40;  // percent of this machine's memory
  int64_t invisibleTimeMillisWhenAutoRenew = 60'000;
  int64_t clientExpireMillis = 120'000;
  bool messageIndexEnable = true;
  int64_t sendDedupeMaxMessages = 1'000'000;
  int64_t sendDedupeWindowMs = 600'000;
  int64_t sendDedupeBornSlackMs = 60'000;
  std::string messageDelayLevel = std::string(kDefaultDelayLevels);
  int64_t timerMaxDelaySec = int64_t{365} * 24 * 3600;
  int64_t timerMaxDeliveriesPerSecond = 20'000;
  int64_t maxPendingTimers = 2'000'000;
  int64_t transactionTimeOut = 6'000;
  int64_t transactionCheckInterval = 30'000;
  int64_t transactionCheckMax = 15;
  int64_t maxPendingTransactions = 100'000;
  int64_t maxLmqConsumeQueueNum = 20'000;      // lite topics
  int64_t maxLiteSubscriptionCount = 100'000;  // of all clients to lite topics
  int64_t fileReservedTime = 72;               // hours; 0: for ever
  std::vector<int> deleteWhen = {4};           // hours of the day in which age counts
  int64_t commitLogMaxBytes = 0;               // 0: no bound

  int64_t heartBeatTimeIntervalMs = 60;
  int64_t electionTimeoutMinMs = 250;
  int64_t electionTimeoutMaxMs = 500;
  // A member without a leader for so long sends its clients away.
  int64_t leaderlessCloseMs = 2'000;

  // The member that leads while it can ("n0"); "": whoever was elected.
  std::string preferredLeaderId;
  int64_t preferredLeaderWaitMs = 10'000;
  // host:port of a name that resolves to all members, for clients that take one address only.
  std::string groupDnsName;

  std::string metricsExporterType = "DISABLE";  // or PROM
  std::string metricsPromExporterHost;          // "": listenAddress
  int64_t metricsPromExporterPort = 5557;       // 0: any

  std::string logDir;  // "": standard error only

  // Sets one setting by its name. InvalidArgument names the setting, what was found and what is
  // expected; for an unknown name the nearest known one.
  absl::Status Set(std::string_view key, std::string_view value);

  // Reads the text of a broker.conf. Errors name the line.
  absl::Status SetFromText(std::string_view text, std::string_view file_name);

  // Whether the settings make sense together.
  absl::Status Validate() const;

  // The same for the tls settings alone; part of Validate.
  absl::Status ValidateTls() const;

  // Messages that one group may have in flight on one queue.
  int64_t max_inflight_per_queue() const {
    return enablePopMessageThreshold ? popInflightMessageThreshold : kMaxInflightPerQueue;
  }

  std::string group() const { return dLegerGroup.empty() ? brokerName : dLegerGroup; }
  // From dLegerSelfId: n0 is 1.
  MemberId self_id() const;
  MemberId preferred_leader() const;  // kNoMember: none
  // Of accessMessageInMemoryMaxRatio, on this machine; none without slaveReadEnable.
  std::optional<int64_t> bytes_behind_to_follower() const;
  // This member's entry in dLegerPeers; null if there is none.
  const ConfiguredPeer* self() const;
};

// "  name (default)   what it is", one line each, for --help.
std::string DescribeSettings();

}  // namespace raftmq::broker
