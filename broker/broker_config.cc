#include "broker/broker_config.h"

#include <unistd.h>

#include <algorithm>
#include <functional>
#include <limits>

#include "absl/strings/numbers.h"
#include "base/strings.h"

namespace raftmq::broker {
namespace {

constexpr int64_t kMaxInt = std::numeric_limits<int64_t>::max();

std::string_view Trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const size_t at = text.find(separator);
    if (const std::string_view part = Trim(text.substr(0, at)); !part.empty()) {
      parts.push_back(part);
    }
    if (at == std::string_view::npos) break;
    text.remove_prefix(at + 1);
  }
  return parts;
}

absl::StatusOr<MemberId> ParseMemberName(std::string_view name) {
  int32_t number = -1;
  if (name.size() < 2 || name.front() != 'n' ||
      !absl::SimpleAtoi(ToAbsl(name.substr(1)), &number) || number < 0 || number > 99) {
    return absl::InvalidArgumentError(
        StrCat("member name \"", name, "\": expected n0, n1, … up to n99"));
  }
  return MemberId(number + 1);
}

absl::StatusOr<std::vector<ConfiguredPeer>> ParsePeers(std::string_view text) {
  std::vector<ConfiguredPeer> peers;
  for (const std::string_view part : Split(text, ';')) {
    const size_t dash = part.find('-');
    const size_t colon = part.rfind(':');
    int32_t port = 0;
    if (dash == std::string_view::npos || colon == std::string_view::npos || colon < dash + 2 ||
        !absl::SimpleAtoi(ToAbsl(part.substr(colon + 1)), &port) || port < 1 || port > 65535) {
      return absl::InvalidArgumentError(StrCat(
          "\"", part, "\": expected name-host:port, as in n0-10.0.0.1:40911;n1-10.0.0.2:40911"));
    }
    ConfiguredPeer peer;
    peer.name = part.substr(0, dash);
    peer.address = part.substr(dash + 1);
    RAFTMQ_ASSIGN_OR_RETURN(peer.id, ParseMemberName(peer.name));
    for (const ConfiguredPeer& other : peers) {
      if (other.id == peer.id) {
        return absl::InvalidArgumentError(StrCat("member ", peer.name, " is named twice"));
      }
    }
    peers.push_back(std::move(peer));
  }
  return peers;
}

// How a setting is read from its text, and told in --help.
struct Setting {
  std::string_view name;
  std::string_view help;
  std::function<absl::Status(BrokerConfig*, std::string_view)> set;
  std::function<std::string(const BrokerConfig&)> show;
};

Setting Text(std::string_view name, std::string BrokerConfig::*field, std::string_view help) {
  return {name, help,
          [field](BrokerConfig* config, std::string_view value) {
            config->*field = value;
            return absl::OkStatus();
          },
          [field](const BrokerConfig& config) { return config.*field; }};
}

Setting OneOf(std::string_view name, std::string BrokerConfig::*field,
              std::vector<std::string_view> choices, std::string_view help) {
  return {name, help,
          [field, choices](BrokerConfig* config, std::string_view value) -> absl::Status {
            if (std::find(choices.begin(), choices.end(), value) == choices.end()) {
              std::string all;
              for (const std::string_view choice : choices) {
                all += StrCat(all.empty() ? "" : ", ", choice);
              }
              return absl::InvalidArgumentError(StrCat("expected one of ", all));
            }
            config->*field = value;
            return absl::OkStatus();
          },
          [field](const BrokerConfig& config) { return config.*field; }};
}

Setting Number(std::string_view name, int64_t BrokerConfig::*field, int64_t min, int64_t max,
               std::string_view help) {
  return {name, help,
          [field, min, max](BrokerConfig* config, std::string_view value) -> absl::Status {
            int64_t number = 0;
            if (!absl::SimpleAtoi(ToAbsl(value), &number) || number < min || number > max) {
              return absl::InvalidArgumentError(
                  max == kMaxInt ? StrCat("expected a number of at least ", min)
                                 : StrCat("expected a number of ", min, " to ", max));
            }
            config->*field = number;
            return absl::OkStatus();
          },
          [field](const BrokerConfig& config) { return StrCat(config.*field); }};
}

Setting Flag(std::string_view name, bool BrokerConfig::*field, std::string_view help) {
  return {name, help,
          [field](BrokerConfig* config, std::string_view value) -> absl::Status {
            if (value != "true" && value != "false") {
              return absl::InvalidArgumentError("expected true or false");
            }
            config->*field = value == "true";
            return absl::OkStatus();
          },
          [field](const BrokerConfig& config) { return config.*field ? "true" : "false"; }};
}

Setting Peers() {
  return {"dLegerPeers", "all members, name-host:port separated by ';': the peer addresses",
          [](BrokerConfig* config, std::string_view value) -> absl::Status {
            RAFTMQ_ASSIGN_OR_RETURN(config->dLegerPeers, ParsePeers(value));
            return absl::OkStatus();
          },
          [](const BrokerConfig&) { return std::string(); }};
}

std::string HoursText(const std::vector<int>& hours) {
  std::string text;
  for (const int hour : hours) {
    text += StrCat(text.empty() ? "" : ";", hour < 10 ? "0" : "", hour);
  }
  return text;
}

Setting Hours() {
  return {
      "deleteWhen",
      "hours of the day, local time, in which messages expire by age, separated by ';'; all: 24",
      [](BrokerConfig* config, std::string_view value) -> absl::Status {
        std::vector<int> hours;
        for (const std::string_view part : Split(value, ';')) {
          int hour = -1;
          if (!absl::SimpleAtoi(ToAbsl(part), &hour) || hour < 0 || hour > 24) {
            return absl::InvalidArgumentError("expected hours of 0 to 23, as in 04;16, or 24");
          }
          if (hour < 24) hours.push_back(hour);
          if (hour == 24) {
            for (int h = 0; h < 24; ++h) hours.push_back(h);
          }
        }
        if (hours.empty()) return absl::InvalidArgumentError("expected an hour, as in 04");
        config->deleteWhen = std::move(hours);
        return absl::OkStatus();
      },
      [](const BrokerConfig& config) { return HoursText(config.deleteWhen); }};
}

Setting Namesrvs() {
  return {"namesrvAddr", "NameServers, host:port separated by ';'",
          [](BrokerConfig* config, std::string_view value) {
            config->namesrvAddr.clear();
            for (const std::string_view part : Split(value, ';')) {
              config->namesrvAddr.emplace_back(part);
            }
            return absl::OkStatus();
          },
          [](const BrokerConfig&) { return std::string(); }};
}

Setting Levels() {
  return {"messageDelayLevel", "the delays that levels 1, 2, … stand for",
          [](BrokerConfig* config, std::string_view value) -> absl::Status {
            RAFTMQ_RETURN_IF_ERROR(DelayLevels::Parse(value).status());
            config->messageDelayLevel = value;
            return absl::OkStatus();
          },
          [](const BrokerConfig& config) { return config.messageDelayLevel; }};
}

std::vector<Setting> MakeSettings() {
  using C = BrokerConfig;
  return {
      Text("brokerClusterName", &C::brokerClusterName, "name of the cluster"),
      Text("brokerName", &C::brokerName, "name of the broker group, as clients see it"),
      Text("dLegerGroup", &C::dLegerGroup, "name of the Raft group; brokerName if empty"),
      Text("dLegerSelfId", &C::dLegerSelfId, "which of dLegerPeers this member is"),
      Peers(),
      Namesrvs(),
      Number("registerNameServerPeriod", &C::registerNameServerPeriod, 100, 60'000,
             "ms between the words that keep this member in the NameServers' routes; well below "
             "their lease (mqnamesrv --brokerLease)"),
      Number("namesrvListenPort", &C::namesrvListenPort, 0, 65535,
             "port of the NameServer that --standalone runs, unless namesrvAddr names others"),
      Text("storePathRootDir", &C::storePathRootDir, "the data directory"),
      OneOf("flushDiskType", &C::flushDiskType, {"SYNC_FLUSH", "ASYNC_FLUSH"},
            "when a send is answered: on a majority's disks, or in a majority's memory (a power "
            "failure of a majority then loses acknowledged messages)"),
      Number("mappedFileSizeCommitLog", &C::mappedFileSizeCommitLog, 64 << 10, int64_t{4} << 30,
             "bytes of a log segment; fixed by format"),
      Number("segmentBytes", &C::mappedFileSizeCommitLog, 64 << 10, int64_t{4} << 30,
             "the same as mappedFileSizeCommitLog"),
      Text("listenAddress", &C::listenAddress, "address to listen on for clients"),
      Number("listenPort", &C::listenPort, 0, 65535, "port for clients, TLS and plaintext"),
      Text("brokerIP1", &C::brokerIP1, "host that clients are told; this host's name if empty"),
      Text("peerListenAddress", &C::peerListenAddress,
           "address to listen on for members; listenAddress if empty"),
      Number("grpcThreads", &C::grpcThreads, 1, 64, "completion-queue threads"),
      Number("maxCallsInFlight", &C::maxCallsInFlight, 1, 10'000'000,
             "above it calls are refused with TOO_MANY_REQUESTS"),
      Flag("enableReflection", &C::enableReflection, "gRPC server reflection"),
      OneOf("tlsServerMode", &C::tlsServerMode, {"permissive", "enforcing", "disabled"},
            "whether the client port takes TLS and plaintext, TLS only, or plaintext only"),
      Text("tlsServerKeyPath", &C::tlsServerKeyPath, "PEM file; self-signed if empty"),
      Text("tlsServerCertPath", &C::tlsServerCertPath, "PEM file; self-signed if empty"),
      OneOf("tlsServerNeedClientAuth", &C::tlsServerNeedClientAuth, {"none", "optional", "require"},
            "whether TLS clients are asked for a certificate, or must have one (mutual TLS)"),
      Text("tlsServerTrustCertPath", &C::tlsServerTrustCertPath,
           "PEM file: who may sign clients' certificates"),
      Text("tlsClientTrustCertPath", &C::tlsClientTrustCertPath,
           "PEM file: who may sign the certificates of members that are forwarded to (with "
           "tlsServerMode=enforcing); not checked if empty"),
      Text("tlsClientKeyPath", &C::tlsClientKeyPath,
           "PEM file for forwarding; tlsServerKeyPath if empty"),
      Text("tlsClientCertPath", &C::tlsClientCertPath,
           "PEM file for forwarding; tlsServerCertPath if empty"),
      Flag("autoCreateTopicEnable", &C::autoCreateTopicEnable,
           "whether a send creates the topic it names"),
      Number("defaultTopicQueueNums", &C::defaultTopicQueueNums, 1, 1'024, "queues of a new topic"),
      Number("maxMessageSize", &C::maxMessageSize, 1, 64 << 20, "bytes of a message's body"),
      Flag("slaveReadEnable", &C::slaveReadEnable,
           "consumers that are far behind are told to pull from a follower"),
      Number("accessMessageInMemoryMaxRatio", &C::accessMessageInMemoryMaxRatio, 0, 100,
             "far behind: so many percent of this machine's memory, in bytes of log"),
      Number("longPollingTimeoutMillis", &C::longPollingTimeoutMillis, 1'000, 60'000,
             "how long a receive waits for messages at most"),
      Number("popPollingSize", &C::popPollingSize, 1, 10'000'000,
             "receives of one group that may wait for messages of one topic; above it one that "
             "finds none is refused with TOO_MANY_REQUESTS"),
      Number("maxPopPollingSize", &C::maxPopPollingSize, 1, 10'000'000,
             "receives that may wait in all, at the leader; maxCallsInFlight bounds them first if "
             "it is less"),
      Flag("enablePopMessageThreshold", &C::enablePopMessageThreshold,
           "whether popInflightMessageThreshold counts; otherwise 100,000 does"),
      Number("popInflightMessageThreshold", &C::popInflightMessageThreshold, 1,
             kMaxInflightPerQueue,
             "messages that one group may have in flight on one queue; above it nothing new comes "
             "until some are acked"),
      Number("invisibleTimeMillisWhenAutoRenew", &C::invisibleTimeMillisWhenAutoRenew, 10'000,
             43'200'000, "lease of a push consumer's message, renewed while it lives"),
      Number("clientExpireMillis", &C::clientExpireMillis, 1'000, kMaxInt,
             "silence after which a client is taken for dead"),
      Flag("messageIndexEnable", &C::messageIndexEnable, "whether messages are found by key"),
      Number("sendDedupeMaxMessages", &C::sendDedupeMaxMessages, 0, 1'000'000'000,
             "a repeated send is known among so many messages, 72 bytes of memory each; 0: never"),
      Number("sendDedupeWindowMs", &C::sendDedupeWindowMs, 1, 86'400'000,
             "and for so long after the first one was stored"),
      Number("sendDedupeBornSlackMs", &C::sendDedupeBornSlackMs, 0, 86'400'000,
             "born times of one message no further apart than this are tries of one send"),
      Levels(),
      Number("timerMaxDelaySec", &C::timerMaxDelaySec, 1, int64_t{100} * 365 * 24 * 3600,
             "how long a message may be delayed at most"),
      Number("timerMaxDeliveriesPerSecond", &C::timerMaxDeliveriesPerSecond, 1, 10'000'000,
             "delayed messages delivered in a second at most, so that sends have room beside them"),
      Number("maxPendingTimers", &C::maxPendingTimers, 1, 1'000'000'000,
             "delayed messages that may wait; above it they are refused with TOO_MANY_REQUESTS"),
      Number("transactionTimeOut", &C::transactionTimeOut, 1, 3'600'000,
             "age in ms of a half message at which its producers are asked first"),
      Number("transactionCheckInterval", &C::transactionCheckInterval, 1, 86'400'000,
             "ms between the times when they are asked"),
      Number("transactionCheckMax", &C::transactionCheckMax, 1, 10'000,
             "how often they are asked before the message goes to TRANS_CHECK_MAX_TIME_TOPIC"),
      Number("maxPendingTransactions", &C::maxPendingTransactions, 1, 100'000'000,
             "transactions that may be open; above it half messages are refused with "
             "TOO_MANY_REQUESTS"),
      Number("maxLmqConsumeQueueNum", &C::maxLmqConsumeQueueNum, 0, 10'000'000,
             "lite topics that there may be; above it a message for a new one is refused with "
             "LITE_TOPIC_QUOTA_EXCEEDED"),
      Number("maxLiteSubscriptionCount", &C::maxLiteSubscriptionCount, 0, 100'000'000,
             "subscriptions of all clients to lite topics; above it they are refused with "
             "LITE_SUBSCRIPTION_QUOTA_EXCEEDED"),
      Number("fileReservedTime", &C::fileReservedTime, 0, 24 * 36'500,
             "hours that messages are kept at least; older ones expire, in whole segments; 0: for "
             "ever"),
      Hours(),
      Number(
          "commitLogMaxBytes", &C::commitLogMaxBytes, 0, kMaxInt,
          "bytes of log above which the oldest messages expire at any hour, however young; 0: no "
          "bound"),
      Number("heartBeatTimeIntervalMs", &C::heartBeatTimeIntervalMs, 1, 60'000,
             "the leader's heartbeat to its followers"),
      Number("electionTimeoutMinMs", &C::electionTimeoutMinMs, 10, 600'000,
             "shortest silence of the leader before an election"),
      Number("electionTimeoutMaxMs", &C::electionTimeoutMaxMs, 10, 600'000,
             "longest silence of the leader before an election"),
      Number("leaderlessCloseMs", &C::leaderlessCloseMs, 100, 600'000,
             "time without a leader after which clients are sent to other members"),
      Text("preferredLeaderId", &C::preferredLeaderId,
           "member that another leader hands over to once it keeps up (n0, …); none if empty"),
      Number("preferredLeaderWaitMs", &C::preferredLeaderWaitMs, 0, 3'600'000,
             "how long a leader leads before it hands over to the preferred one"),
      Text(
          "groupDnsName", &C::groupDnsName,
          "host:port of a name that resolves to all members: told to clients that take one address "
          "only (Node.js, C#) instead of one virtual broker for each member"),
      OneOf("metricsExporterType", &C::metricsExporterType, {"DISABLE", "PROM"},
            "whether Prometheus may scrape /metrics over HTTP (docs/metrics.md)"),
      Text("metricsPromExporterHost", &C::metricsPromExporterHost,
           "address to listen on for scrapes; listenAddress if empty"),
      Number("metricsPromExporterPort", &C::metricsPromExporterPort, 0, 65535, "port for scrapes"),
      Text("logDir", &C::logDir, "directory for log files; standard error only if empty"),
  };
}

const std::vector<Setting>& Settings() {
  static const std::vector<Setting>* const settings = new std::vector<Setting>(MakeSettings());
  return *settings;
}

// Levenshtein's distance, for suggestions.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substituted = diagonal + (std::tolower(a[i - 1]) != std::tolower(b[j - 1]));
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row[b.size()];
}

std::string_view NearestSetting(std::string_view key) {
  const auto& settings = Settings();
  return std::min_element(settings.begin(), settings.end(),
                          [&](const Setting& a, const Setting& b) {
                            return EditDistance(a.name, key) < EditDistance(b.name, key);
                          })
      ->name;
}

}  // namespace

absl::Status BrokerConfig::Set(std::string_view key, std::string_view value) {
  for (const Setting& setting : Settings()) {
    if (setting.name != key) continue;
    const absl::Status status = setting.set(this, value);
    if (status.ok()) return status;
    return absl::InvalidArgumentError(
        StrCat("setting ", key, " is \"", value, "\": ", Message(status)));
  }
  return absl::InvalidArgumentError(
      StrCat("unknown setting \"", key, "\"; did you mean ", NearestSetting(key), "?"));
}

absl::Status BrokerConfig::SetFromText(std::string_view text, std::string_view file_name) {
  int line_number = 0;
  while (!text.empty()) {
    ++line_number;
    const size_t end = text.find('\n');
    const std::string_view line = Trim(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.empty() || line.front() == '#') continue;
    const size_t equals = line.find('=');
    const std::string place = StrCat(file_name, ":", line_number);
    if (equals == std::string_view::npos) {
      return absl::InvalidArgumentError(
          StrCat(place, ": expected key=value, found \"", line, "\""));
    }
    const absl::Status status = Set(Trim(line.substr(0, equals)), Trim(line.substr(equals + 1)));
    if (!status.ok()) return Annotate(status, place);
  }
  return absl::OkStatus();
}

MemberId BrokerConfig::self_id() const {
  const absl::StatusOr<MemberId> id = ParseMemberName(dLegerSelfId);
  return id.ok() ? *id : kNoMember;
}

std::optional<int64_t> BrokerConfig::bytes_behind_to_follower() const {
  if (!slaveReadEnable) return std::nullopt;
  const int64_t memory = int64_t{sysconf(_SC_PHYS_PAGES)} * int64_t{sysconf(_SC_PAGESIZE)};
  return memory / 100 * accessMessageInMemoryMaxRatio;
}

MemberId BrokerConfig::preferred_leader() const {
  const absl::StatusOr<MemberId> id = ParseMemberName(preferredLeaderId);
  return id.ok() ? *id : kNoMember;
}

const ConfiguredPeer* BrokerConfig::self() const {
  for (const ConfiguredPeer& peer : dLegerPeers) {
    if (peer.name == dLegerSelfId) return &peer;
  }
  return nullptr;
}

absl::Status BrokerConfig::Validate() const {
  RAFTMQ_RETURN_IF_ERROR(ParseMemberName(dLegerSelfId).status());
  if (!dLegerPeers.empty() && self() == nullptr) {
    return absl::InvalidArgumentError(
        StrCat("dLegerSelfId is ", dLegerSelfId, ", which dLegerPeers does not name"));
  }
  if (electionTimeoutMinMs > electionTimeoutMaxMs) {
    return absl::InvalidArgumentError(StrCat("electionTimeoutMinMs is ", electionTimeoutMinMs,
                                             ", above electionTimeoutMaxMs ",
                                             electionTimeoutMaxMs));
  }
  if (heartBeatTimeIntervalMs * 2 > electionTimeoutMinMs) {
    return absl::InvalidArgumentError(StrCat("heartBeatTimeIntervalMs is ", heartBeatTimeIntervalMs,
                                             ", expected at most half of electionTimeoutMinMs ",
                                             electionTimeoutMinMs));
  }
  RAFTMQ_RETURN_IF_ERROR(ValidateTls());
  if (!preferredLeaderId.empty()) {
    RAFTMQ_RETURN_IF_ERROR(
        Annotate(ParseMemberName(preferredLeaderId).status(), "preferredLeaderId"));
  }
  if (storePathRootDir.empty()) {
    return absl::InvalidArgumentError("storePathRootDir is empty: expected a directory");
  }
  return absl::OkStatus();
}

absl::Status BrokerConfig::ValidateTls() const {
  if (tlsServerKeyPath.empty() != tlsServerCertPath.empty()) {
    return absl::InvalidArgumentError(
        "tlsServerKeyPath and tlsServerCertPath must be set together");
  }
  if (tlsClientKeyPath.empty() != tlsClientCertPath.empty()) {
    return absl::InvalidArgumentError(
        "tlsClientKeyPath and tlsClientCertPath must be set together");
  }
  if (tlsServerNeedClientAuth == "none") return absl::OkStatus();
  if (tlsServerTrustCertPath.empty()) {
    return absl::InvalidArgumentError(
        StrCat("tlsServerNeedClientAuth is ", tlsServerNeedClientAuth,
               ", which needs tlsServerTrustCertPath to check certificates against"));
  }
  if (tlsServerNeedClientAuth == "require" && tlsServerMode != "enforcing") {
    return absl::InvalidArgumentError(
        StrCat("tlsServerNeedClientAuth is require, but tlsServerMode is ", tlsServerMode,
               ": expected enforcing, or clients could use plaintext without a certificate"));
  }
  if (tlsServerNeedClientAuth == "require" && dLegerPeers.size() > 1 && tlsClientKeyPath.empty() &&
      tlsServerKeyPath.empty()) {
    return absl::InvalidArgumentError(
        "tlsServerNeedClientAuth is require: members of a group need certificates to forward to "
        "each other: set tlsClientKeyPath and tlsClientCertPath, or tlsServerKeyPath and "
        "tlsServerCertPath");
  }
  return absl::OkStatus();
}

std::string DescribeSettings() {
  const BrokerConfig defaults;
  std::string text;
  for (const Setting& setting : Settings()) {
    std::string head = StrCat("  --", setting.name, "=", setting.show(defaults));
    if (head.size() < 40) head.resize(40, ' ');
    text += StrCat(head, "  ", setting.help, "\n");
  }
  return text;
}

}  // namespace raftmq::broker
