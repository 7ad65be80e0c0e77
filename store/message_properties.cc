#include "store/message_properties.h"

#include <algorithm>
#include <array>

namespace raftmq::store {
namespace {

// Sorted at compile time, for binary search.
constexpr auto kReserved = [] {
  using namespace property;
  std::array names = {
      kTraceSwitch,
      kMsgRegion,
      kKeys,
      kTags,
      kWaitStoreMsgOk,
      kDelayTimeLevel,
      kRetryTopic,
      kRealTopic,
      kRealQueueId,
      kTransactionPrepared,
      kProducerGroup,
      kMinOffset,
      kMaxOffset,
      kBuyerId,
      kOriginMessageId,
      kTransferFlag,
      kCorrectionFlag,
      kMq2Flag,
      kReconsumeTime,
      kUniqueKey,
      kMaxReconsumeTimes,
      kConsumeStartTimestamp,
      kPopCk,
      kPopCkOffset,
      kFirstPopTime,
      kTransactionPreparedQueueOffset,
      kDupInfo,
      kExtendUniqInfo,
      kInstanceId,
      kCorrelationId,
      kMessageReplyToClient,
      kMessageTtl,
      kReplyMessageArriveTime,
      kPushReplyTime,
      kCluster,
      kMessageType,
      kInnerMultiQueueOffset,
      kPriority,
      kTimerDelayMs,
      kTimerDelaySec,
      kTimerDeliverMs,
      kTimerEnqueueMs,
      kTimerDequeueMs,
      kTimerRollTimes,
      kTimerOutMs,
      kTimerDelUniqKey,
      kTimerDelayLevel,
      kBornHost,
      kBornTimestamp,
      kDlqOriginTopic,
      kDlqOriginMessageId,
      kDlqOriginQueueId,
      kDlqOriginOffset,
      kDlqOriginGroup,
      kDlqReason,
      kCrc32,
      kSettles,
      kCheckImmunityMs,
      kClient,
      kForGroup,
  };
  std::sort(names.begin(), names.end());
  return names;
}();

}  // namespace

bool IsReservedProperty(std::string_view name) {
  return std::binary_search(kReserved.begin(), kReserved.end(), name);
}

bool IsStorablePropertyText(std::string_view text) {
  return text.find(kNameValueSeparator) == std::string_view::npos &&
         text.find(kPropertySeparator) == std::string_view::npos;
}

void AppendProperty(std::string* properties, std::string_view name, std::string_view value) {
  properties->append(name);
  properties->push_back(kNameValueSeparator);
  properties->append(value);
  properties->push_back(kPropertySeparator);
}

bool PropertiesView::Next(std::string_view* rest, std::string_view* name, std::string_view* value) {
  while (!rest->empty()) {
    const size_t end = rest->find(kPropertySeparator);
    const std::string_view item = rest->substr(0, end);
    rest->remove_prefix(end == std::string_view::npos ? rest->size() : end + 1);
    const size_t middle = item.find(kNameValueSeparator);
    if (middle == std::string_view::npos) continue;
    *name = item.substr(0, middle);
    *value = item.substr(middle + 1);
    return true;
  }
  return false;
}

bool PropertiesView::Find(std::string_view name, std::string_view* value) const {
  std::string_view rest = text_, found_name, found_value;
  while (Next(&rest, &found_name, &found_value)) {
    if (found_name == name) {
      *value = found_value;
      return true;
    }
  }
  return false;
}

}  // namespace raftmq::store
