#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "broker/handlers/messaging_handlers.h"
#include "broker/lite_handle.h"
#include "store/names.h"

namespace raftmq::broker {
namespace {

struct HandlesOfTopic {
  std::vector<int> entries;  // of the request
  std::vector<std::string> handles;
};

// Puts the answers of the topics of one call together. Thread-safe.
class AckJoin {
 public:
  AckJoin(size_t entries, size_t topics) : left_(topics), results_(entries) {}

  // All results, when these are the last ones.
  std::optional<std::vector<absl::Status>> Add(const std::string& topic,
                                               const std::vector<int>& entries,
                                               std::vector<absl::Status> results) {
    absl::MutexLock lock(&mutex_);
    topics_.push_back(topic);
    for (size_t i = 0; i < entries.size(); ++i) results_[entries[i]] = std::move(results[i]);
    if (--left_ > 0) return std::nullopt;
    return std::move(results_);
  }

  // REQUIRES: Add gave the results.
  std::vector<std::string> topics() const {
    absl::MutexLock lock(&mutex_);
    return topics_;
  }

 private:
  mutable absl::Mutex mutex_;
  size_t left_ ABSL_GUARDED_BY(mutex_);
  std::vector<absl::Status> results_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> topics_ ABSL_GUARDED_BY(mutex_);
};

void FillAnswer(AckMessageCall* call, const std::vector<absl::Status>& results) {
  const v2::AckMessageRequest& request = call->request();
  v2::AckMessageResponse* response = call->response();
  v2::Code common = v2::CODE_UNSPECIFIED;
  bool mixed = false;
  for (int i = 0; i < request.entries_size(); ++i) {
    v2::AckMessageResultEntry* entry = response->add_entries();
    entry->set_message_id(request.entries(i).message_id());
    entry->set_receipt_handle(request.entries(i).receipt_handle());
    *entry->mutable_status() = ToV2Status(results[i]);
    mixed = mixed || (i > 0 && entry->status().code() != common);
    common = entry->status().code();
  }
  if (mixed) {
    response->mutable_status()->set_code(v2::MULTIPLE_RESULTS);
    response->mutable_status()->set_message("the entries ended differently: see each");
  } else {
    *response->mutable_status() = response->entries(0).status();
  }
}

}  // namespace

void MessagingHandlers::AckMessage(AckMessageCall* call) {
  if (!HasClientId(call)) return;
  if (!call->context().forwarded) {
    // Not before: an ack that fails leaves the client working on the message.
    call->OnFinish([this](const v2::AckMessageResponse& response) {
      for (const v2::AckMessageResultEntry& entry : response.entries()) {
        if (entry.status().code() == v2::OK) deps_.renewals->Remove(entry.receipt_handle());
      }
    });
  }
  deps_.router->Route(call);
}

void MessagingHandlers::Execute(AckMessageCall* call) {
  const v2::AckMessageRequest& request = call->request();
  absl::Status status = CheckGroup(request.group());
  if (status.ok()) status = CheckTopic(request.topic());
  if (status.ok() &&
      (request.entries().empty() || request.entries_size() > options_.limits.max_acks_per_call)) {
    status = absl::InvalidArgumentError(StrCat("the request has ", request.entries_size(),
                                               " entries, expected 1 to ",
                                               options_.limits.max_acks_per_call));
  }
  if (!status.ok()) return FinishWithError(call, status);
  const std::string& topic = request.topic().name();
  // The messages of one call may be of several lite topics.
  std::map<std::string, HandlesOfTopic> by_topic;
  for (int i = 0; i < request.entries_size(); ++i) {
    StoredHandle stored = StoredHandleOf(topic, request.entries(i).receipt_handle());
    HandlesOfTopic& of = by_topic[stored.topic];
    of.entries.push_back(i);
    of.handles.push_back(std::move(stored.handle));
  }
  auto join = std::make_shared<AckJoin>(request.entries_size(), by_topic.size());
  for (auto& [stored_topic, of] : by_topic) {
    deps_.store->Ack(request.group().name(), stored_topic, std::move(of.handles),
                     [this, call, join, stored_topic = stored_topic,
                      entries = std::move(of.entries)](std::vector<absl::Status> results) {
                       auto all = join->Add(stored_topic, entries, std::move(results));
                       if (all.has_value()) FinishAck(call, join->topics(), *all);
                     });
  }
}

void MessagingHandlers::FinishAck(AckMessageCall* call, const std::vector<std::string>& topics,
                                  const std::vector<absl::Status>& results) {
  for (const absl::Status& result : results) {
    // Repeating those that were acked changes nothing.
    if (LeaderRouter::IsForAnotherMember(result)) return deps_.router->NotLeader(call);
  }
  // An ack lets the next message of its message group, or of its lite topic, through.
  const std::string& group = call->request().group().name();
  const bool orderly = IsOrderly(group);
  for (const std::string& topic : topics) {
    if (orderly || store::IsLiteTopic(topic)) {
      deps_.waiters->OnReleased(group, topic, 0);
    } else {
      deps_.waiters->OnAcked(group, topic);
    }
  }
  FillAnswer(call, results);
  call->Finish();
}

}  // namespace raftmq::broker
