// Names of message properties, RocketMQ's MessageConst, and the text form they are stored in:
// name '\x01' value '\x02', repeated.
//
// Pure functions; any thread.
#pragma once

#include <string>
#include <string_view>

namespace raftmq::store {

inline constexpr char kNameValueSeparator = '\x01';
inline constexpr char kPropertySeparator = '\x02';
inline constexpr char kKeySeparator = ' ';

namespace property {

inline constexpr std::string_view kKeys = "KEYS";
inline constexpr std::string_view kTags = "TAGS";
inline constexpr std::string_view kWaitStoreMsgOk = "WAIT";
inline constexpr std::string_view kDelayTimeLevel = "DELAY";
inline constexpr std::string_view kRetryTopic = "RETRY_TOPIC";
inline constexpr std::string_view kRealTopic = "REAL_TOPIC";
inline constexpr std::string_view kRealQueueId = "REAL_QID";
inline constexpr std::string_view kTransactionPrepared = "TRAN_MSG";
inline constexpr std::string_view kProducerGroup = "PGROUP";
inline constexpr std::string_view kMinOffset = "MIN_OFFSET";
inline constexpr std::string_view kMaxOffset = "MAX_OFFSET";
inline constexpr std::string_view kBuyerId = "BUYER_ID";
inline constexpr std::string_view kOriginMessageId = "ORIGIN_MESSAGE_ID";
inline constexpr std::string_view kTransferFlag = "TRANSFER_FLAG";
inline constexpr std::string_view kCorrectionFlag = "CORRECTION_FLAG";
inline constexpr std::string_view kMq2Flag = "MQ2_FLAG";
inline constexpr std::string_view kReconsumeTime = "RECONSUME_TIME";
inline constexpr std::string_view kMsgRegion = "MSG_REGION";
inline constexpr std::string_view kTraceSwitch = "TRACE_ON";
inline constexpr std::string_view kUniqueKey = "UNIQ_KEY";
inline constexpr std::string_view kExtendUniqInfo = "EXTEND_UNIQ_INFO";
inline constexpr std::string_view kMaxReconsumeTimes = "MAX_RECONSUME_TIMES";
inline constexpr std::string_view kConsumeStartTimestamp = "CONSUME_START_TIME";
inline constexpr std::string_view kInnerNum = "INNER_NUM";
inline constexpr std::string_view kInnerBase = "INNER_BASE";
inline constexpr std::string_view kDupInfo = "DUP_INFO";
inline constexpr std::string_view kCheckImmunityTimeInSeconds = "CHECK_IMMUNITY_TIME_IN_SECONDS";
inline constexpr std::string_view kTransactionPreparedQueueOffset = "TRAN_PREPARED_QUEUE_OFFSET";
inline constexpr std::string_view kTransactionId = "__transactionId__";
inline constexpr std::string_view kTransactionCheckTimes = "TRANSACTION_CHECK_TIMES";
inline constexpr std::string_view kInstanceId = "INSTANCE_ID";
inline constexpr std::string_view kCorrelationId = "CORRELATION_ID";
inline constexpr std::string_view kMessageReplyToClient = "REPLY_TO_CLIENT";
inline constexpr std::string_view kMessageTtl = "TTL";
inline constexpr std::string_view kReplyMessageArriveTime = "ARRIVE_TIME";
inline constexpr std::string_view kPushReplyTime = "PUSH_REPLY_TIME";
inline constexpr std::string_view kCluster = "CLUSTER";
inline constexpr std::string_view kMessageType = "MSG_TYPE";
inline constexpr std::string_view kPopCk = "POP_CK";
inline constexpr std::string_view kPopCkOffset = "POP_CK_OFFSET";
inline constexpr std::string_view kFirstPopTime = "1ST_POP_TIME";
inline constexpr std::string_view kShardingKey = "__SHARDINGKEY";  // the message group
inline constexpr std::string_view kForwardQueueId = "PROPERTY_FORWARD_QUEUE_ID";
inline constexpr std::string_view kRedirect = "REDIRECT";
inline constexpr std::string_view kInnerMultiDispatch = "INNER_MULTI_DISPATCH";
inline constexpr std::string_view kInnerMultiQueueOffset = "INNER_MULTI_QUEUE_OFFSET";
inline constexpr std::string_view kTraceContext = "TRACE_CONTEXT";
inline constexpr std::string_view kPriority = "_SYS_MSG_PRIORITY_";
inline constexpr std::string_view kTimerDelaySec = "TIMER_DELAY_SEC";
inline constexpr std::string_view kTimerDelayMs = "TIMER_DELAY_MS";
inline constexpr std::string_view kTimerDeliverMs = "TIMER_DELIVER_MS";
inline constexpr std::string_view kTimerEnqueueMs = "TIMER_ENQUEUE_MS";
inline constexpr std::string_view kTimerDequeueMs = "TIMER_DEQUEUE_MS";
inline constexpr std::string_view kTimerRollTimes = "TIMER_ROLL_TIMES";
inline constexpr std::string_view kTimerOutMs = "TIMER_OUT_MS";
inline constexpr std::string_view kTimerDelUniqKey = "TIMER_DEL_UNIQKEY";
inline constexpr std::string_view kTimerDelayLevel = "TIMER_DELAY_LEVEL";
inline constexpr std::string_view kBornHost = "__BORNHOST";
inline constexpr std::string_view kBornTimestamp = "BORN_TIMESTAMP";
inline constexpr std::string_view kDlqOriginTopic = "DLQ_ORIGIN_TOPIC";
inline constexpr std::string_view kDlqOriginMessageId = "DLQ_ORIGIN_MESSAGE_ID";
// Ours, beside RocketMQ's two: where a dead-lettered message was, whose it was, and why it is dead.
inline constexpr std::string_view kDlqOriginQueueId = "DLQ_ORIGIN_QUEUE_ID";
inline constexpr std::string_view kDlqOriginOffset = "DLQ_ORIGIN_OFFSET";
inline constexpr std::string_view kDlqOriginGroup = "DLQ_ORIGIN_GROUP";
inline constexpr std::string_view kDlqReason = "DLQ_REASON";
inline constexpr std::string_view kCrc32 = "__CRC32#";
// Ours: what this record's entry ends in the same step (settlement.h).
inline constexpr std::string_view kSettles = "__SETTLES";
// Ours, on a half message: how long after it was stored its producers are asked first.
inline constexpr std::string_view kCheckImmunityMs = "__CHECK_IMMUNITY_MS";
// Ours: who sent it, ClientHash of the client's id in 16 hexadecimal digits. Only on the record
// that a send made, not on what the broker makes of it later.
inline constexpr std::string_view kClient = "__CID";
// Ours: the only group that gets this message; all others pass over it. What the broker makes of
// the record later does not keep it.
inline constexpr std::string_view kForGroup = "__FOR_GROUP";
// Properties whose name begins so are a client's own business and are not stored.
inline constexpr std::string_view kTransientPrefix = "__RMQ.TRANSIENT.";

}  // namespace property

// Whether users may not choose this name: RocketMQ's STRING_HASH_SET.
bool IsReservedProperty(std::string_view name);

// Whether `text` can be stored as a property's name or value: no separators in it.
bool IsStorablePropertyText(std::string_view text);

// Appends one property. REQUIRES: both texts are storable; check texts that came from outside.
void AppendProperty(std::string* properties, std::string_view name, std::string_view value);

// Properties in their stored form, read without copying. Text that isn't a whole property (no
// kNameValueSeparator) is skipped, as RocketMQ does. The last property may lack its separator.
class PropertiesView {
 public:
  PropertiesView() = default;
  explicit PropertiesView(std::string_view text) : text_(text) {}

  std::string_view text() const { return text_; }

  // The value of the first property of that name; `*value` is untouched if there is none.
  bool Find(std::string_view name, std::string_view* value) const;

  // The same, "" for none.
  std::string_view Get(std::string_view name) const {
    std::string_view value;
    Find(name, &value);
    return value;
  }

  // Calls visit(name, value) for each property in order.
  template <typename Visitor>
  void ForEach(Visitor&& visit) const {
    std::string_view rest = text_, name, value;
    while (Next(&rest, &name, &value)) visit(name, value);
  }

 private:
  // Takes the next property off `rest`; false at the end.
  static bool Next(std::string_view* rest, std::string_view* name, std::string_view* value);

  std::string_view text_;
};

}  // namespace raftmq::store
