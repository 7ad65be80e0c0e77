// GroupCalls: what a client asks of a topic's broker group: pulls, offsets, locks, ends of
// transactions, recalls, replies. Each call goes to the leader first and, when that fails, to the
// group's other members in turn, until its time is over. A read may ask another one before
// (ReadOptions). For sources of client/ only: it includes gRPC.
//
// Thread-safe; nothing blocks. `done` is called exactly once, on the instance's "mq-client-cq" or
// "mq-client" thread, which it must not hold up.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "client/grpc_client_instance.h"
#include "client/message.h"
#include "client/read_choice.h"
#include "client/read_options.h"

namespace raftmq::client {

class GroupCalls {
 public:
  // `timeout_ms`: of one call over all its tries; a pull's wait comes on top.
  GroupCalls(ClientInstance* instance, std::string consumer_group, int64_t timeout_ms);
  // Close, if it was not called.
  ~GroupCalls();

  // Breaks off all calls, which end with Cancelled, and waits until they have. Later ones end at
  // once. Not on one of the threads above.
  void Close();

  using TopicCreated = std::optional<LogIndex>;
  template <typename T>
  using Done = absl::AnyInvocable<void(absl::StatusOr<T>)>;

  struct PullOptions {
    // As LockQueues told; NotFound then, if that topic was deleted, also if there is another of its
    // name. None, here and below: whichever.
    TopicCreated topic;
    int32_t max = 32;  // messages
    MessageSelector selector;
    int64_t suspend_ms = 0;  // how long to wait for something to be there
    // Of all tries with that wait; none: the wait and the timeout of other calls.
    std::optional<int64_t> timeout_ms;
    ReadOptions read;
  };
  struct Pulled {
    std::vector<ReceivedMessage> messages;
    QueueOffset next_offset;      // what the filter left out is behind it
    bool offset_illegal = false;  // the queue does not reach there: below its min or beyond its max
    std::string suggested;        // whom the queue's next pull should ask; "": as ever
  };
  void Pull(const MessageQueue& queue, QueueOffset offset, const PullOptions& options,
            Done<Pulled> done);

  void UpdateOffset(const MessageQueue& queue, TopicCreated topic, QueueOffset offset,
                    absl::AnyInvocable<void(absl::Status)> done);
  // None: the group never committed one on this topic. With no maxLagMillis it is the leader's
  // answer, whomever is asked.
  void CommittedOffset(const MessageQueue& queue, const ReadOptions& read,
                       Done<std::optional<QueueOffset>> done);
  void MinOffset(const MessageQueue& queue, const ReadOptions& read, Done<QueueOffset> done);
  // With no maxLagMillis it is linearizable: not less than what any answer told before.
  void MaxOffset(const MessageQueue& queue, ReadOptions read, Done<QueueOffset> done);
  // Of the first message stored at that time or later; the max offset if there is none.
  void OffsetByTime(const MessageQueue& queue, int64_t timestamp_ms, const ReadOptions& read,
                    Done<QueueOffset> done);

  struct Locked {
    std::vector<QueueId> queues;  // that this client holds now, or held
    TopicCreated topic;           // whose they are
    bool Has(QueueId queue) const {
      return std::find(queues.begin(), queues.end(), queue) != queues.end();
    }
  };
  // Takes or renews queues of a topic, for `lease_ms` from when it is called or later; 0: lets go
  // of them.
  void LockQueues(const std::string& topic, const std::string& broker_name,
                  const std::vector<QueueId>& queues, int64_t lease_ms, Done<Locked> done);
  // The message comes again in the group's retry topic; or, true, it was dead-lettered.
  void SendMessageBack(const MessageQueue& queue, TopicCreated topic, QueueOffset offset,
                       int32_t delay_level, std::optional<int32_t> max_retries, Done<bool> done);
  // Makes this client a member of the group; tells who else is, until the stream ends. One try, at
  // the member whose turn it is: `attempt` counts.
  void WatchGroup(const std::string& topic, const std::string& broker_name, size_t attempt,
                  std::function<void(std::vector<std::string>)> on_members,
                  absl::AnyInvocable<void(absl::Status)> on_end);

  struct TransactionEnd {
    std::string message_id;
    std::string transaction_id;
    bool commit = false;
    bool asked = false;  // by the broker
  };
  void EndTransaction(const std::string& topic, const std::string& broker_name,
                      const TransactionEnd& end, absl::AnyInvocable<void(absl::Status)> done);
  // The id of the message that was taken back.
  void Recall(const std::string& topic, const std::string& broker_name, const std::string& handle,
              Done<std::string> done);
  // Through whichever member has the requester's stream.
  void SendReply(const std::string& topic, const std::string& broker_name,
                 ::raftmq::v1::SendReplyRequest request,
                 absl::AnyInvocable<void(absl::Status)> done);

 private:
  using Headers = std::vector<std::pair<std::string, std::string>>;
  // One call over its tries.
  struct Op {
    virtual ~Op() = default;
    // One try at `address`; Ended is called with its outcome.
    virtual void Send(GroupCalls* calls, std::shared_ptr<Op> self) = 0;
    virtual void Finish(absl::Status status) = 0;
    // The answer says that something is not there, which another member may have.
    virtual bool IsMissing(const absl::Status& status) const { return absl::IsNotFound(status); }
    // Whom the first try asks. `addresses`: the leader's first.
    virtual std::string First(const ReadChoice& choice,
                              const std::vector<std::string>& addresses) const {
      return choice.First(read.from, queue, addresses);
    }

    std::string topic;
    std::string broker_name;
    QueueId queue;
    ReadOptions read;          // the default: also for what is no read
    Headers headers;           // beside those of every call
    int64_t deadline_ms = 0;   // monotonic
    int64_t try_ms = 1'000;    // a member that does not answer is left for the next after that long
    int64_t min_left_ms = 20;  // with less no other try is begun
    size_t tries = 0;
    bool passes_over = false;  // the first try went to another than the leader
    std::string address;
    std::unique_ptr<grpc::ClientContext> context;  // of the newest try
  };
  using OpPtr = std::shared_ptr<Op>;
  template <typename Request, typename Response>
  struct UnaryOp;
  struct PullOp;
  struct WatchOp;

  void Begin(OpPtr op, const MessageQueue& queue, int64_t timeout_ms);
  void Try(OpPtr op);
  void TryAt(OpPtr op, const RouteCache::Route& route);
  // Whom the next try asks.
  void Choose(Op* op, const std::vector<std::string>& addresses) const;
  void Ended(OpPtr op, absl::Status status);
  bool TryAnother(const Op& op, const absl::Status& status);
  void Finish(OpPtr op, absl::Status status);
  // `prepare`: a method of the messaging stub, or of the consumers' one.
  template <typename Request, typename Response, typename Stub, typename Prepare>
  void Call(const MessageQueue& queue, Request request,
            Stub* (ClientInstance::*stub_at)(const std::string&), Prepare prepare,
            absl::AnyInvocable<void(absl::Status, Response&)> done, Headers headers = {},
            const ReadOptions& read = {});
  void QueryOffset(const MessageQueue& queue, apache::rocketmq::v2::QueryOffsetRequest request,
                   const ReadOptions& read, Done<QueueOffset> done);
  void FillQueue(const MessageQueue& queue, apache::rocketmq::v2::MessageQueue* out) const;

  ClientInstance* const instance_;
  const std::string consumer_group_;
  const int64_t timeout_ms_;
  ReadChoice choice_;
  absl::Mutex mu_;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  int under_way_ ABSL_GUARDED_BY(mu_) = 0;
  std::set<grpc::ClientContext*> contexts_ ABSL_GUARDED_BY(mu_);
};

}  // namespace raftmq::client
