#include "broker/member_directory.h"

#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/random.h"
#include "base/strings.h"
#include "dledger/open.h"
#include "store/log_message_store.h"

namespace raftmq::broker {

absl::StatusOr<dledger::Identity> CheckedIdentity(const BrokerConfig& config, FileSystem* fs) {
  RAFTMQ_ASSIGN_OR_RETURN(dledger::Identity identity,
                          dledger::ReadIdentity(fs, config.storePathRootDir));
  auto mismatch = [&](std::string_view what, const auto& found, const auto& configured) {
    return absl::FailedPreconditionError(StrCat("the data directory ", config.storePathRootDir,
                                                " was formatted for ", what, " ", found,
                                                ", but the configuration says ", configured));
  };
  if (identity.cluster != config.brokerClusterName) {
    return mismatch("cluster", identity.cluster, config.brokerClusterName);
  }
  if (identity.group != config.group()) return mismatch("group", identity.group, config.group());
  if (identity.member != config.self_id()) {
    return mismatch("member", StrCat("n", identity.member.value() - 1), config.dLegerSelfId);
  }
  return identity;
}

absl::Status FormatMember(const BrokerConfig& config, FileSystem* fs) {
  RAFTMQ_RETURN_IF_ERROR(config.Validate());
  Random random = Random::FromEntropy();
  dledger::Identity identity;
  identity.cluster = config.brokerClusterName;
  identity.group = config.group();
  identity.member = config.self_id();
  identity.incarnation = Incarnation(random.Next() | 1);
  identity.segment_size = config.mappedFileSizeCommitLog;
  return dledger::FormatDirectory(fs, config.storePathRootDir, identity);
}

absl::StatusOr<dledger::RepairReport> RepairMember(const BrokerConfig& config, FileSystem* fs) {
  RAFTMQ_RETURN_IF_ERROR(config.Validate());
  RAFTMQ_RETURN_IF_ERROR(CheckedIdentity(config, fs).status());
  return dledger::AcceptLossAfterDamage(fs, config.storePathRootDir, [&](const std::string& dir) {
    return store::LogMessageStore::RemoveDerived(dir, fs);
  });
}

absl::Status PrepareStandaloneMember(const BrokerConfig& config, FileSystem* fs) {
  Random random = Random::FromEntropy();
  dledger::StandaloneDirectory standalone;
  standalone.cluster = config.brokerClusterName;
  standalone.group = config.group();
  standalone.segment_size = config.mappedFileSizeCommitLog;
  return dledger::PrepareStandalone(fs, config.storePathRootDir, standalone, random);
}

}  // namespace raftmq::broker
