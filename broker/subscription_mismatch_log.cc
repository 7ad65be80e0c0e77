#include "broker/subscription_mismatch_log.h"

#include <utility>

#include "base/strings.h"
#include "glog/logging.h"

namespace raftmq::broker {

std::vector<std::string> SubscriptionMismatchLog::Tell(
    const std::vector<SubscriptionMismatch>& mismatches, int64_t now_ms) {
  std::vector<std::string> lines;
  std::map<std::string, Told> told;
  for (const SubscriptionMismatch& m : mismatches) {
    const auto before = told_.find(m.group);
    if (before != told_.end() && before->second.one == m.one && before->second.other == m.other &&
        now_ms - before->second.at_ms < kAgainMs) {
      told.insert(*before);
      continue;
    }
    if (lines.size() >= kMaxTold) continue;  // the next time
    told[m.group] = {m.one, m.other, now_ms};
    lines.push_back(StrCat("consumers of group ", m.group,
                           " subscribe differently: ", m.one.client_id, " to [", m.one.subscription,
                           "], ", m.other.client_id, " to [", m.other.subscription,
                           "]. Messages may go to one that does not want them: let all consumers "
                           "of a group subscribe the same, or give them groups of their own"));
    LOG(WARNING) << lines.back();
  }
  told_ = std::move(told);
  return lines;
}

}  // namespace raftmq::broker
