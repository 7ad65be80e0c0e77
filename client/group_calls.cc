#include <google/protobuf/util/time_util.h>

#include <algorithm>

#include "base/clock.h"
#include "base/random.h"
#include "base/strings.h"
#include "client/grpc_group_calls.h"
#include "client/message_conversion.h"

namespace raftmq::client {

namespace v1 = ::raftmq::v1;
namespace v2 = ::apache::rocketmq::v2;
using google::protobuf::util::TimeUtil;

namespace {

constexpr int64_t kPauseNanos = 20'000'000;  // before the next try
// What a pull's call may take beyond its wait; brokers answer half a second before the deadline.
constexpr int64_t kPullGraceMs = 2'000;
constexpr int64_t kPullMinMs = 700;
constexpr int64_t kWatchMs = 24 * 3'600'000;

std::vector<std::pair<std::string, std::string>> TopicHeader(GroupCalls::TopicCreated topic) {
  if (!topic.has_value()) return {};
  return {{"x-raftmq-topic-created", StrCat(*topic)}};
}

std::string ReadLevel(int64_t max_lag_ms) {
  return max_lag_ms == kLinearizable ? std::string("linearizable")
                                     : StrCat("max-lag-ms=", max_lag_ms);
}

}  // namespace

template <typename Request, typename Response>
struct GroupCalls::UnaryOp final : Op {
  using Reader = std::unique_ptr<grpc::ClientAsyncResponseReader<Response>>;

  void Send(GroupCalls* calls, std::shared_ptr<Op> self) override {
    response.Clear();
    calls->instance_->calls()->Start(
        prepare(address, context.get(), request, calls->instance_->calls()->queue()), &response,
        [this, calls, self = std::move(self)](const grpc::Status& status) mutable {
          calls->Ended(std::move(self), status.ok() ? Said() : FromGrpc(status, address));
        });
  }
  void Finish(absl::Status status) override { done(std::move(status), response); }

  // Our own services have no status in the body.
  absl::Status Said() const {
    if constexpr (requires { response.status(); }) {
      return FromV2(response.status());
    } else {
      return absl::OkStatus();
    }
  }

  Request request;
  Response response;
  std::function<Reader(const std::string& address, grpc::ClientContext*, const Request&,
                       grpc::CompletionQueue*)>
      prepare;
  absl::AnyInvocable<void(absl::Status, Response&)> done;
};

// One pull: a stream of a status, the messages, and where to go on.
struct GroupCalls::PullOp final : Op {
  void Send(GroupCalls* calls, std::shared_ptr<Op> self) override {
    pulled = Pulled();
    outcome = absl::InternalError(
        StrCat(address, " ended a pull without a status: it may be stopping; pull again"));
    calls->instance_->calls()->StartStream<v2::PullMessageResponse>(
        calls->instance_->StubAt(address)->PrepareAsyncPullMessage(
            context.get(), request, calls->instance_->calls()->queue()),
        [this](v2::PullMessageResponse& response) { OnResponse(response); },
        [this, calls, self = std::move(self)](const grpc::Status& status) mutable {
          calls->Ended(std::move(self), status.ok() ? outcome : FromGrpc(status, address));
        });
  }
  void Finish(absl::Status status) override {
    if (status.ok()) {
      done(std::move(pulled));
    } else {
      done(std::move(status));
    }
  }
  bool IsMissing(const absl::Status& status) const override {
    return absl::IsNotFound(status) || (status.ok() && pulled.offset_illegal);
  }
  std::string First(const ReadChoice& choice,
                    const std::vector<std::string>& addresses) const override {
    return choice.FirstOfPull(read.from, {topic, broker_name, queue}, addresses);
  }

  void OnResponse(v2::PullMessageResponse& response) {
    if (response.has_message()) {
      pulled.messages.push_back(
          ToReceivedMessage(std::move(*response.mutable_message()), broker_name, address));
    } else if (response.has_next_offset()) {
      pulled.next_offset = QueueOffset(response.next_offset());
    } else if (response.has_status()) {
      const auto& headers = context->GetServerInitialMetadata();
      if (const auto it = headers.find("x-raftmq-suggest-read"); it != headers.end()) {
        pulled.suggested.assign(it->second.data(), it->second.size());
      }
      const v2::Code code = response.status().code();
      pulled.offset_illegal = code == v2::OFFSET_NOT_FOUND || code == v2::ILLEGAL_OFFSET;
      outcome = code == v2::MESSAGE_NOT_FOUND || pulled.offset_illegal ? absl::OkStatus()
                                                                       : FromV2(response.status());
    }
  }

  v2::PullMessageRequest request;
  Pulled pulled;
  absl::Status outcome;
  Done<Pulled> done;
};

// One try, as long as it lasts.
struct GroupCalls::WatchOp final : Op {
  void Send(GroupCalls* calls, std::shared_ptr<Op> self) override {
    calls->instance_->calls()->StartStream<v1::GroupMembers>(
        calls->instance_->ConsumersStubAt(address)->PrepareAsyncWatchGroup(
            context.get(), request, calls->instance_->calls()->queue()),
        [this](v1::GroupMembers& members) {
          on_members({members.client_ids().begin(), members.client_ids().end()});
        },
        [this, calls, self = std::move(self)](const grpc::Status& status) mutable {
          calls->Ended(std::move(self), status.ok() ? absl::UnavailableError("the stream ended")
                                                    : FromGrpc(status, address));
        });
  }
  void Finish(absl::Status status) override { on_end(std::move(status)); }

  v1::WatchGroupRequest request;
  std::function<void(std::vector<std::string>)> on_members;
  absl::AnyInvocable<void(absl::Status)> on_end;
};

GroupCalls::GroupCalls(ClientInstance* instance, std::string consumer_group, int64_t timeout_ms)
    : instance_(instance),
      consumer_group_(std::move(consumer_group)),
      timeout_ms_(timeout_ms),
      choice_(Random::FromEntropy().Below(1'000'000), SystemClock()) {}

GroupCalls::~GroupCalls() { Close(); }

void GroupCalls::Close() {
  absl::MutexLock lock(&mu_);
  closed_ = true;
  for (grpc::ClientContext* context : contexts_) context->TryCancel();
  mu_.Await(absl::Condition(
      +[](int* calls) { return *calls == 0; }, &under_way_));
}

void GroupCalls::Begin(OpPtr op, const MessageQueue& queue, int64_t timeout_ms) {
  op->topic = queue.topic;
  op->broker_name = queue.broker_name;
  op->queue = queue.queue;
  if (op->read.maxLagMillis.has_value()) {
    op->headers.emplace_back("x-raftmq-read", ReadLevel(*op->read.maxLagMillis));
  }
  op->deadline_ms = SystemClock()->MonotonicMillis() + timeout_ms;
  {
    absl::MutexLock lock(&mu_);
    ++under_way_;
  }
  Try(std::move(op));
}

void GroupCalls::Try(OpPtr op) {
  const std::string topic = op->topic;
  instance_->routes()->Find(
      topic, [this, op = std::move(op)](absl::StatusOr<RouteCache::Route> route) mutable {
        if (!route.ok()) return Ended(std::move(op), route.status());
        TryAt(std::move(op), *route);
      });
}

void GroupCalls::TryAt(OpPtr op, const RouteCache::Route& route) {
  const BrokerRoute* broker = route->Find(op->broker_name);
  if (broker == nullptr || broker->addresses.empty()) {
    absl::Status gone = absl::UnavailableError(
        StrCat("broker ", op->broker_name, " is not in the route of topic ", op->topic,
               ": it is down or does not serve the topic any more (mqadmin topicRoute -t ",
               op->topic, " tells)"));
    return Ended(std::move(op), std::move(gone));
  }
  Choose(op.get(), broker->addresses);
  const int64_t left_ms = op->deadline_ms - SystemClock()->MonotonicMillis();
  op->context = std::make_unique<grpc::ClientContext>();
  instance_->Prepare(op->context.get(), std::max<int64_t>(std::min(left_ms, op->try_ms), 1));
  for (const auto& [name, value] : op->headers) op->context->AddMetadata(name, value);
  bool closed = false;
  {
    absl::MutexLock lock(&mu_);
    closed = closed_;
    if (!closed) contexts_.insert(op->context.get());
  }
  if (closed) return Ended(std::move(op), absl::CancelledError("the client is being closed"));
  Op* const sent = op.get();
  sent->Send(this, std::move(op));
}

void GroupCalls::Choose(Op* op, const std::vector<std::string>& addresses) const {
  if (op->tries == 0) {
    op->address = op->First(choice_, addresses);
    op->passes_over = op->address != addresses[0];
  } else {
    op->address = addresses[(op->tries - (op->passes_over ? 1 : 0)) % addresses.size()];
  }
  ++op->tries;
}

// What a member that is behind doesn't have (any more) the leader may have.
bool GroupCalls::TryAnother(const Op& op, const absl::Status& status) {
  const bool passed_over = op.passes_over && op.tries == 1;
  if (status.ok() || !IsRetriable(status)) {
    return passed_over && op.IsMissing(status) && op.read.maxLagMillis != kLinearizable;
  }
  if (passed_over) choice_.Avoid(op.address);
  instance_->routes()->Doubt(op.topic);
  return true;
}

void GroupCalls::Ended(OpPtr op, absl::Status status) {
  bool closed = false;
  {
    absl::MutexLock lock(&mu_);
    contexts_.erase(op->context.get());
    closed = closed_;
  }
  if (closed && !status.ok()) status = absl::CancelledError("the client is being closed");
  const int64_t left_ms = op->deadline_ms - SystemClock()->MonotonicMillis();
  if (closed || !TryAnother(*op, status) || left_ms <= op->min_left_ms) {
    return Finish(std::move(op), std::move(status));
  }
  instance_->timers()->RunAfter(kPauseNanos,
                                [this, op = std::move(op)]() mutable { Try(std::move(op)); });
}

void GroupCalls::Finish(OpPtr op, absl::Status status) {
  op->Finish(std::move(status));
  op.reset();
  absl::MutexLock lock(&mu_);
  --under_way_;
}

template <typename Request, typename Response, typename Stub, typename Prepare>
void GroupCalls::Call(const MessageQueue& queue, Request request,
                      Stub* (ClientInstance::*stub_at)(const std::string&), Prepare prepare,
                      absl::AnyInvocable<void(absl::Status, Response&)> done, Headers headers,
                      const ReadOptions& read) {
  auto op = std::make_shared<UnaryOp<Request, Response>>();
  op->read = read;
  op->headers = std::move(headers);
  op->request = std::move(request);
  op->prepare = [instance = instance_, stub_at, prepare](
                    const std::string& address, grpc::ClientContext* context, const Request& r,
                    grpc::CompletionQueue* cq) {
    return ((instance->*stub_at)(address)->*prepare)(context, r, cq);
  };
  op->done = std::move(done);
  Begin(std::move(op), queue, timeout_ms_);
}

void GroupCalls::FillQueue(const MessageQueue& queue, v2::MessageQueue* out) const {
  out->mutable_topic()->set_name(queue.topic);
  out->set_id(queue.queue.value());
  out->mutable_broker()->set_name(queue.broker_name);
}

void GroupCalls::Pull(const MessageQueue& queue, QueueOffset offset, const PullOptions& options,
                      Done<Pulled> done) {
  auto op = std::make_shared<PullOp>();
  op->read = options.read;
  op->headers = TopicHeader(options.topic);
  op->request.mutable_group()->set_name(consumer_group_);
  FillQueue(queue, op->request.mutable_message_queue());
  op->request.set_offset(offset.value());
  op->request.set_batch_size(options.max);
  *op->request.mutable_filter_expression() = ToFilterExpression(options.selector);
  if (options.suspend_ms > 0) {
    *op->request.mutable_long_polling_timeout() =
        TimeUtil::MillisecondsToDuration(options.suspend_ms);
  }
  op->done = [this, queue, done = std::move(done)](absl::StatusOr<Pulled> pulled) mutable {
    if (pulled.ok()) choice_.Suggest(queue, pulled->suggested);
    done(std::move(pulled));
  };
  // Its wait is part of its first try; a broker takes no wait that a deadline leaves no time for.
  op->try_ms = options.suspend_ms + kPullGraceMs;
  op->min_left_ms = kPullMinMs;
  Begin(std::move(op), queue,
        options.timeout_ms.value_or(options.suspend_ms + std::max(timeout_ms_, kPullGraceMs)));
}

void GroupCalls::UpdateOffset(const MessageQueue& queue, TopicCreated topic, QueueOffset offset,
                              absl::AnyInvocable<void(absl::Status)> done) {
  v2::UpdateOffsetRequest request;
  request.mutable_group()->set_name(consumer_group_);
  FillQueue(queue, request.mutable_message_queue());
  request.set_offset(offset.value());
  Call<v2::UpdateOffsetRequest, v2::UpdateOffsetResponse>(
      queue, std::move(request), &ClientInstance::StubAt,
      &ClientInstance::Stub::PrepareAsyncUpdateOffset,
      [done = std::move(done)](absl::Status status, auto&) mutable { done(std::move(status)); },
      TopicHeader(topic));
}

void GroupCalls::CommittedOffset(const MessageQueue& queue, const ReadOptions& read,
                                 Done<std::optional<QueueOffset>> done) {
  v2::GetOffsetRequest request;
  request.mutable_group()->set_name(consumer_group_);
  FillQueue(queue, request.mutable_message_queue());
  Call<v2::GetOffsetRequest, v2::GetOffsetResponse>(
      queue, std::move(request), &ClientInstance::StubAt,
      &ClientInstance::Stub::PrepareAsyncGetOffset,
      [done = std::move(done)](absl::Status status, v2::GetOffsetResponse& response) mutable {
        const v2::Code code = response.status().code();
        if (status.ok()) {
          done(std::optional<QueueOffset>(QueueOffset(response.offset())));
        } else if (code == v2::OFFSET_NOT_FOUND || code == v2::CONSUMER_GROUP_NOT_FOUND) {
          done(std::optional<QueueOffset>());
        } else {
          done(std::move(status));
        }
      },
      {}, read);
}

void GroupCalls::QueryOffset(const MessageQueue& queue, v2::QueryOffsetRequest request,
                             const ReadOptions& read, Done<QueueOffset> done) {
  FillQueue(queue, request.mutable_message_queue());
  Call<v2::QueryOffsetRequest, v2::QueryOffsetResponse>(
      queue, std::move(request), &ClientInstance::StubAt,
      &ClientInstance::Stub::PrepareAsyncQueryOffset,
      [done = std::move(done)](absl::Status status, v2::QueryOffsetResponse& response) mutable {
        if (status.ok()) {
          done(QueueOffset(response.offset()));
        } else {
          done(std::move(status));
        }
      },
      {}, read);
}

void GroupCalls::MinOffset(const MessageQueue& queue, const ReadOptions& read,
                           Done<QueueOffset> done) {
  v2::QueryOffsetRequest request;
  request.set_query_offset_policy(v2::BEGINNING);
  QueryOffset(queue, std::move(request), read, std::move(done));
}

void GroupCalls::MaxOffset(const MessageQueue& queue, ReadOptions read, Done<QueueOffset> done) {
  v2::QueryOffsetRequest request;
  request.set_query_offset_policy(v2::END);
  if (!read.maxLagMillis.has_value()) read.maxLagMillis = kLinearizable;
  QueryOffset(queue, std::move(request), read, std::move(done));
}

void GroupCalls::OffsetByTime(const MessageQueue& queue, int64_t timestamp_ms,
                              const ReadOptions& read, Done<QueueOffset> done) {
  v2::QueryOffsetRequest request;
  request.set_query_offset_policy(v2::TIMESTAMP);
  *request.mutable_timestamp() = TimeUtil::MillisecondsToTimestamp(timestamp_ms);
  QueryOffset(queue, std::move(request), read, std::move(done));
}

void GroupCalls::LockQueues(const std::string& topic, const std::string& broker_name,
                            const std::vector<QueueId>& queues, int64_t lease_ms,
                            Done<Locked> done) {
  v1::LockQueuesRequest request;
  request.set_group(consumer_group_);
  request.set_topic(topic);
  for (const QueueId queue : queues) request.add_queues(queue.value());
  request.set_lease_ms(lease_ms);
  Call<v1::LockQueuesRequest, v1::LockQueuesResponse>(
      {topic, broker_name, QueueId(0)}, std::move(request), &ClientInstance::ConsumersStubAt,
      &ClientInstance::ConsumersStub::PrepareAsyncLockQueues,
      [done = std::move(done)](absl::Status status, v1::LockQueuesResponse& response) mutable {
        if (!status.ok()) return done(std::move(status));
        Locked locked;
        for (const int32_t queue : response.queues()) locked.queues.push_back(QueueId(queue));
        locked.topic = LogIndex(response.topic_created_index());
        done(std::move(locked));
      });
}

void GroupCalls::SendMessageBack(const MessageQueue& queue, TopicCreated topic, QueueOffset offset,
                                 int32_t delay_level, std::optional<int32_t> max_retries,
                                 Done<bool> done) {
  v1::SendMessageBackRequest request;
  request.set_group(consumer_group_);
  request.set_topic(queue.topic);
  request.set_queue(queue.queue.value());
  request.set_offset(offset.value());
  request.set_delay_level(delay_level);
  if (max_retries.has_value()) request.set_max_retries(*max_retries);
  Call<v1::SendMessageBackRequest, v1::SendMessageBackResponse>(
      queue, std::move(request), &ClientInstance::ConsumersStubAt,
      &ClientInstance::ConsumersStub::PrepareAsyncSendMessageBack,
      [done = std::move(done)](absl::Status status, v1::SendMessageBackResponse& response) mutable {
        if (!status.ok()) return done(std::move(status));
        done(response.dead_lettered());
      },
      TopicHeader(topic));
}

void GroupCalls::EndTransaction(const std::string& topic, const std::string& broker_name,
                                const TransactionEnd& end,
                                absl::AnyInvocable<void(absl::Status)> done) {
  v2::EndTransactionRequest request;
  request.mutable_topic()->set_name(topic);
  request.set_message_id(end.message_id);
  request.set_transaction_id(end.transaction_id);
  request.set_resolution(end.commit ? v2::COMMIT : v2::ROLLBACK);
  request.set_source(end.asked ? v2::SOURCE_SERVER_CHECK : v2::SOURCE_CLIENT);
  Call<v2::EndTransactionRequest, v2::EndTransactionResponse>(
      {topic, broker_name, QueueId(0)}, std::move(request), &ClientInstance::StubAt,
      &ClientInstance::Stub::PrepareAsyncEndTransaction,
      [done = std::move(done)](absl::Status status, auto&) mutable { done(std::move(status)); });
}

void GroupCalls::Recall(const std::string& topic, const std::string& broker_name,
                        const std::string& handle, Done<std::string> done) {
  v2::RecallMessageRequest request;
  request.mutable_topic()->set_name(topic);
  request.set_recall_handle(handle);
  Call<v2::RecallMessageRequest, v2::RecallMessageResponse>(
      {topic, broker_name, QueueId(0)}, std::move(request), &ClientInstance::StubAt,
      &ClientInstance::Stub::PrepareAsyncRecallMessage,
      [done = std::move(done)](absl::Status status, v2::RecallMessageResponse& response) mutable {
        if (!status.ok()) return done(std::move(status));
        done(response.message_id());
      });
}

void GroupCalls::SendReply(const std::string& topic, const std::string& broker_name,
                           v1::SendReplyRequest request,
                           absl::AnyInvocable<void(absl::Status)> done) {
  Call<v1::SendReplyRequest, v1::SendReplyResponse>(
      {topic, broker_name, QueueId(0)}, std::move(request), &ClientInstance::RepliesStubAt,
      &ClientInstance::RepliesStub::PrepareAsyncSendReply,
      [done = std::move(done)](absl::Status status, auto&) mutable { done(std::move(status)); });
}

void GroupCalls::WatchGroup(const std::string& topic, const std::string& broker_name,
                            size_t attempt,
                            std::function<void(std::vector<std::string>)> on_members,
                            absl::AnyInvocable<void(absl::Status)> on_end) {
  auto op = std::make_shared<WatchOp>();
  op->request.set_group(consumer_group_);
  op->on_members = std::move(on_members);
  op->on_end = std::move(on_end);
  op->tries = attempt;
  op->try_ms = kWatchMs;
  op->min_left_ms = kWatchMs;
  Begin(std::move(op), {topic, broker_name, QueueId(0)}, kWatchMs);
}

}  // namespace raftmq::client
