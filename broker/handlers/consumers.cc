#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/synchronization/mutex.h"
#include "base/strings.h"
#include "broker/forwarding.h"
#include "broker/handlers/consumers_handlers.h"
#include "broker/topic_created.h"
#include "broker/validation.h"
#include "store/message_properties.h"
#include "store/message_record.h"
#include "store/names.h"
#include "store/retry_policy.h"

namespace raftmq::broker {
namespace {

namespace v1 = ::raftmq::v1;
namespace property = store::property;

constexpr int64_t kMaxLockMs = 300'000;
// RocketMQ: the first retry is after delay level 3, 10 s, and each further one a level later.
constexpr int32_t kFirstRetryLevel = 3;

// Clients try the next member.
absl::Status ForTheNextMember(const absl::Status& status) {
  return LeaderRouter::IsForAnotherMember(status) ? absl::UnavailableError(status.message())
                                                  : status;
}

// A watcher's stream, shared by whoever may end it.
class WatchedStream {
 public:
  explicit WatchedStream(WatchGroupCall* call) : call_(call) {}

  void Tell(const std::vector<std::string>& client_ids) {
    absl::MutexLock lock(&mutex_);
    if (call_ == nullptr) return;
    v1::GroupMembers members;
    for (const std::string& id : client_ids) members.add_client_ids(id);
    call_->Write(std::move(members));
  }

  // With OK, or an error.
  void End(const absl::Status& status) {
    absl::MutexLock lock(&mutex_);
    if (call_ == nullptr) return;
    WatchGroupCall* const call = std::exchange(call_, nullptr);
    if (status.ok()) {
      call->Finish();
    } else {
      call->Fail(status);
    }
  }

  // Of the client's going away and the watch's beginning the second to come gets the watch's id.
  GroupMembers::WatchId Cancelled() {
    absl::MutexLock lock(&mutex_);
    cancelled_ = true;
    return id_;
  }
  GroupMembers::WatchId Began(GroupMembers::WatchId id) {
    absl::MutexLock lock(&mutex_);
    id_ = id;
    return cancelled_ ? id : 0;
  }

 private:
  absl::Mutex mutex_;
  WatchGroupCall* call_ ABSL_GUARDED_BY(mutex_);  // null: ended
  GroupMembers::WatchId id_ ABSL_GUARDED_BY(mutex_) = 0;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
};

class StreamWatcher final : public GroupMembers::Watcher {
 public:
  explicit StreamWatcher(std::shared_ptr<WatchedStream> stream) : stream_(std::move(stream)) {}
  void Tell(const std::vector<std::string>& client_ids) override { stream_->Tell(client_ids); }
  void End(const absl::Status& status) override { stream_->End(status); }

 private:
  const std::shared_ptr<WatchedStream> stream_;
};

int32_t RetriesOf(const store::RecordView& record) {
  int32_t retries = 0;
  const std::string_view text = record.properties.Get(property::kReconsumeTime);
  return absl::SimpleAtoi(ToAbsl(text), &retries) && retries > 0 ? retries : 0;
}

// Where the group read the message first: a copy in a retry topic says it.
struct Origin {
  std::string topic;
  // "": not known, of a copy that was made before copies said it.
  std::string queue;
  std::string offset;
};

Origin OriginOf(const v1::SendMessageBackRequest& request, const store::RecordView& record) {
  const std::string_view topic = record.properties.Get(property::kRetryTopic);
  if (topic.empty()) return {request.topic(), StrCat(request.queue()), StrCat(request.offset())};
  return {std::string(topic), std::string(record.properties.Get(property::kDlqOriginQueueId)),
          std::string(record.properties.Get(property::kDlqOriginOffset))};
}

// The message again, as it was sent, but for its topic. In a retry topic, too: group and priority
// order nothing there, which has one queue and no receivers by lease, but the listener and the dead
// letter that the copy may become want them.
store::NewMessage Again(const store::RecordView& record) {
  store::NewMessage message;
  message.message_id = std::string(record.unique_key());
  message.tag = std::string(record.tags());
  message.body = std::string(record.body);
  message.body_gzip = (record.sys_flag & store::sys_flag::kCompressed) != 0;
  message.born_ms = record.born_timestamp_ms;
  const std::string_view born_host = record.properties.Get(property::kBornHost);
  message.born_host = born_host.empty() ? record.born_host.ToString() : std::string(born_host);
  message.message_group = std::string(record.properties.Get(property::kShardingKey));
  int32_t priority = 0;
  if (absl::SimpleAtoi(ToAbsl(record.properties.Get(property::kPriority)), &priority)) {
    message.priority = priority;
  }
  message.trace_context = std::string(record.properties.Get(property::kTraceContext));
  for (std::string_view rest = record.keys(); !rest.empty();) {
    const size_t space = std::min(rest.find(store::kKeySeparator), rest.size());
    if (space != 0) message.keys.emplace_back(rest.substr(0, space));
    rest.remove_prefix(std::min(space + 1, rest.size()));
  }
  record.properties.ForEach([&](std::string_view name, std::string_view value) {
    // The message group is not among RocketMQ's reserved names.
    if (IsSystemProperty(name) || name == property::kShardingKey) return;
    message.user_properties.emplace(name, value);
  });
  return message;
}

// What the store knows a copy's sender by (store/recent_sends.h): what was read, and where. So a
// request that is repeated, as after an unknown outcome, by whomever, makes no second copy; the
// next attempt is read elsewhere. What is read once more because offsets were moved fails anew.
std::string SenderOfCopy(const v1::SendMessageBackRequest& request, LogIndex topic_created,
                         LogIndex group_created, uint64_t latest_move) {
  return StrCat("%SENDBACK%", request.group(), " ", group_created, " ", request.topic(), " ",
                topic_created, " ", request.queue(), " ", request.offset(), " ", latest_move);
}

// Of the group's offsets on the topic; 0: none.
uint64_t LatestMove(const store::MessageStore& store, const std::string& group,
                    const std::string& topic) {
  const auto moves = store.ListOffsetMoves(group);
  uint64_t latest = 0;
  if (!moves.ok()) return latest;
  for (const store::OffsetMove& move : *moves) {
    if (move.topic == topic) latest = move.number;
  }
  return latest;
}

}  // namespace

absl::Status ConsumersHandlers::Check(const CallContext& context, const std::string& group) const {
  if (context.client_id.empty()) {
    return store::Refuse(store::Reason::kClientIdRequired,
                         "the header x-mq-client-id is missing or empty");
  }
  RAFTMQ_RETURN_IF_ERROR(store::CheckGroupName(group));
  const auto status = deps_.ledger->Status();
  if (LeaderRouter::Leads(*status)) return absl::OkStatus();
  return absl::UnavailableError(LeaderRouter::NotLeaderHere(*status).message());
}

void ConsumersHandlers::LockQueues(LockQueuesCall* call) {
  const v1::LockQueuesRequest& request = call->request();
  if (const absl::Status status = Check(call->context(), request.group()); !status.ok()) {
    return call->Fail(status);
  }
  store::QueueLockRequest lock;
  lock.group = request.group();
  lock.topic = request.topic();
  lock.client_id = call->context().client_id;
  lock.lease_ms = std::clamp<int64_t>(request.lease_ms(), 0, kMaxLockMs);
  for (const int32_t queue : request.queues()) lock.queues.push_back(QueueId(queue));
  deps_.store->LockQueues(std::move(lock),
                          [this, call](absl::StatusOr<std::vector<QueueId>> queues) {
                            if (!queues.ok()) return call->Fail(ForTheNextMember(queues.status()));
                            const auto topic = deps_.store->FindTopic(call->request().topic());
                            if (!topic.ok()) return call->Fail(topic.status());  // deleted since
                            call->response()->set_topic_created_index(topic->created_index.value());
                            for (const QueueId queue : *queues)
                              call->response()->add_queues(queue.value());
                            call->Finish();
                          });
}

void ConsumersHandlers::WatchGroup(WatchGroupCall* call) {
  const std::string group = call->request().group();
  const std::string client_id = call->context().client_id;
  absl::Status status = Check(call->context(), group);
  if (status.ok() && !deps_.clients->Heard(call->context(), v2::PUSH_CONSUMER, group)) {
    status = store::Refuse(store::Reason::kBusy,
                           "this member knows as many clients as its bound allows");
  }
  if (!status.ok()) return call->Fail(status);
  auto stream = std::make_shared<WatchedStream>(call);
  call->OnCancel([members = deps_.members, stream] {
    const GroupMembers::WatchId id = stream->Cancelled();
    if (id != 0 && members->Unwatch(id)) stream->End(absl::OkStatus());
  });
  const GroupMembers::WatchId id =
      deps_.members->Watch(group, client_id, std::make_unique<StreamWatcher>(stream));
  if (stream->Began(id) != 0 && deps_.members->Unwatch(id)) stream->End(absl::OkStatus());
}

absl::StatusOr<ConsumersHandlers::Returned> ConsumersHandlers::Return(
    const v1::SendMessageBackRequest& request) const {
  RAFTMQ_ASSIGN_OR_RETURN(const std::vector<std::string> records,
                          deps_.store->Pull(request.topic(), QueueId(request.queue()),
                                            QueueOffset(request.offset()), 1, 1));
  if (records.empty()) {
    return store::Refuse(store::Reason::kMessageNotFound,
                         StrCat("topic ", request.topic(), " queue ", request.queue(),
                                " has no message at offset ", request.offset()));
  }
  RAFTMQ_ASSIGN_OR_RETURN(const store::RecordView record, store::ParseRecord(records[0]));
  RAFTMQ_ASSIGN_OR_RETURN(const store::TopicConfig read, deps_.store->FindTopic(request.topic()));
  const store::GroupConfig group =
      deps_.store->FindGroup(request.group()).value_or(store::GroupConfig());
  const int32_t max_retries =
      request.has_max_retries() ? request.max_retries() : group.retry_max_times;
  const int32_t retries = RetriesOf(record);
  const Origin origin = OriginOf(request, record);
  Returned returned;
  store::NewMessage& message = returned.message;
  message = Again(record);
  message.client_id = SenderOfCopy(request, read.created_index, group.created_index,
                                   LatestMove(*deps_.store, request.group(), request.topic()));
  auto& properties = message.user_properties;
  if (!origin.queue.empty()) {
    properties[std::string(property::kDlqOriginQueueId)] = origin.queue;
    properties[std::string(property::kDlqOriginOffset)] = origin.offset;
  }
  properties[std::string(property::kReconsumeTime)] = StrCat(retries + 1);
  if (retries >= max_retries) {
    returned.dead_lettered = true;
    message.topic = store::DeadLetterTopicOf(request.group());
    message.queue = QueueId(0);
    properties[std::string(property::kDlqOriginTopic)] = origin.topic;
    properties[std::string(property::kDlqOriginMessageId)] = message.message_id;
    properties[std::string(property::kDlqOriginGroup)] = request.group();
    properties[std::string(property::kDlqReason)] = "MAX_ATTEMPTS";
    return returned;
  }
  message.topic = store::RetryTopicOf(request.group());
  message.type = store::TopicType::kDelay;
  Delay(request.delay_level(), group.retry_policy, retries, &message);
  properties[std::string(property::kRetryTopic)] = origin.topic;
  return returned;
}

// By the level that the consumer asked for, else by the policy that somebody gave the group, else
// by RocketMQ's levels.
void ConsumersHandlers::Delay(int32_t asked_level, const store::RetryPolicy& policy,
                              int32_t retries, store::NewMessage* message) const {
  const int64_t now_ms = deps_.clock->WallMillis();
  if (asked_level <= 0 && policy != store::RetryPolicy()) {
    message->deliver_ms = now_ms + store::RetryDelayMs(policy, retries + 1);
    return;
  }
  message->delay_level =
      delay_levels_.Clamp(asked_level > 0 ? asked_level : kFirstRetryLevel + retries);
  message->deliver_ms = now_ms + delay_levels_.Millis(message->delay_level);
}

void ConsumersHandlers::SendMessageBack(SendMessageBackCall* call) {
  if (const absl::Status status = Check(call->context(), call->request().group()); !status.ok()) {
    return call->Fail(status);
  }
  deps_.reads->Post([this, call] {
    absl::StatusOr<Returned> returned = Return(call->request());
    if (const absl::Status same =
            CheckTopicCreated(call->context(), *deps_.store, call->request().topic());
        !same.ok()) {
      returned = same;
    }
    if (!returned.ok()) return call->Fail(ForTheNextMember(returned.status()));
    StoreReturned(call, *std::move(returned));
  });
}

// The topic is made if need be: with one queue, as RocketMQ's are.
void ConsumersHandlers::StoreReturned(SendMessageBackCall* call, Returned returned) {
  if (!deps_.store->FindTopic(returned.message.topic).ok()) {
    const std::string topic = returned.message.topic;
    deps_.store->EditTopic(
        topic,
        [](bool exists, store::TopicConfig* config) {
          if (exists) return absl::OkStatus();
          config->read_queues = config->write_queues = 1;
          config->type = store::TopicType::kMixed;
          return absl::OkStatus();
        },
        [this, call, returned = std::move(returned)](const absl::Status& made) mutable {
          if (!made.ok()) return call->Fail(ForTheNextMember(made));
          StoreReturned(call, std::move(returned));
        });
    return;
  }
  std::vector<store::NewMessage> messages;
  messages.push_back(std::move(returned.message));
  deps_.store->Send(std::move(messages), dledger::AckLevel::kMajorityDisk,
                    [call, dead = returned.dead_lettered](
                        const absl::StatusOr<std::vector<store::SendResult>>& sent) {
                      if (!sent.ok()) return call->Fail(ForTheNextMember(sent.status()));
                      call->response()->set_dead_lettered(dead);
                      call->Finish();
                    });
}

}  // namespace raftmq::broker
