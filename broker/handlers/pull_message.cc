#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "broker/handlers/messaging_handlers.h"
#include "broker/message_conversion.h"
#include "broker/proto_time.h"
#include "broker/topic_created.h"
#include "store/message_filter.h"
#include "store/message_properties.h"
#include "store/message_record.h"
#include "store/names.h"

namespace raftmq::broker {
namespace {

constexpr int64_t kMaxPullBytes = 4 << 20;
// How long before the caller's deadline a pull is answered.
constexpr int64_t kAnswerEarlyMs = 500;

// What a retry topic holds looks as it was sent, one delivery further.
void FillRetry(const store::RecordHeaderView& header, v2::Message* message) {
  namespace property = store::property;
  if (!store::IsRetryTopic(header.topic)) return;
  const std::string_view origin = header.properties.Get(property::kRetryTopic);
  if (!origin.empty()) message->mutable_topic()->set_name(std::string(origin));
  int32_t retries = 0;
  if (absl::SimpleAtoi(ToAbsl(header.properties.Get(property::kReconsumeTime)), &retries)) {
    message->mutable_system_properties()->set_delivery_attempt(1 + retries);
  }
}

}  // namespace

// Reads this member's applied messages by place; leases and groups' positions are not touched. The
// store reads the disk, so this runs on the reading runner. With nothing there it waits for an
// arrival in the queue as long as the client wants.
void MessagingHandlers::PullMessage(PullMessageCall* call) {
  if (!HasClientId(call)) return;
  const v2::PullMessageRequest& request = call->request();
  absl::Status status = CheckTopic(request.message_queue().topic());
  absl::StatusOr<store::MessageFilter> filter = ParseFilter(request.filter_expression());
  if (status.ok()) status = filter.status();
  int64_t until_ms = 0;
  int64_t wait_ms = 0;
  if (status.ok() && request.has_long_polling_timeout()) {
    const int64_t now_ms = deps_.clock->MonotonicMillis();
    const int64_t asked_ms = ToMillis(request.long_polling_timeout());
    const int64_t remaining_ms = call->context().deadline_ms == kNoDeadline
                                     ? options_.limits.max_poll_ms
                                     : call->context().deadline_ms - now_ms - kAnswerEarlyMs;
    const absl::StatusOr<int64_t> poll_ms = PollMillis(asked_ms, remaining_ms, options_.limits);
    status = poll_ms.status();
    if (poll_ms.ok() && asked_ms > 0) {
      wait_ms = *poll_ms;
      until_ms = now_ms + wait_ms;
    }
  }
  if (!status.ok()) return FinishWithError(call, status);
  auto pull = std::make_shared<OpenPull>();
  pull->call = call;
  pull->filter = *std::move(filter);
  pull->offset = QueueOffset(request.offset());
  pull->until_ms = until_ms;
  WhenFresh(
      call->context(),
      [this, pull](const absl::Status& fresh) {
        if (!fresh.ok()) return FinishPull(*pull, fresh);
        deps_.reads->Post([this, pull] { Pull(pull); });
      },
      wait_ms);
}

void MessagingHandlers::Pull(const std::shared_ptr<OpenPull>& pull) {
  const v2::PullMessageRequest& request = pull->call->request();
  const absl::StatusOr<std::vector<std::string>> records = deps_.store->Pull(
      request.message_queue().topic().name(), QueueId(request.message_queue().id()), pull->offset,
      std::clamp(request.batch_size(), 1, options_.limits.max_receive_batch), kMaxPullBytes);
  if (!records.ok()) return FinishPull(*pull, records.status());
  if (const absl::Status same = CheckTopicCreated(pull->call->context(), *deps_.store,
                                                  request.message_queue().topic().name());
      !same.ok()) {
    return FinishPull(*pull, same);
  }
  std::vector<v2::PullMessageResponse> messages;
  for (const std::string& record : *records) {
    const auto header = store::ReadRecordHeader(record);
    if (!header.ok()) return FinishPull(*pull, header.status());
    pull->offset = header->queue_offset + 1;
    pull->read_to = header->physical_offset + static_cast<int64_t>(record.size());
    if (!store::IsWantedBy(request.group().name(), pull->filter, *header)) continue;
    v2::Message* message = messages.emplace_back().mutable_message();
    if (const absl::Status status = ToMessage(record, message); !status.ok()) {
      return FinishPull(*pull, status);
    }
    FillRetry(*header, message);
  }
  if (messages.empty() && deps_.clock->MonotonicMillis() < pull->until_ms) return ParkPull(pull);
  FinishPull(*pull, std::move(messages));
}

// What the filter left out is behind it then: messages that nobody wants wake nobody twice.
void MessagingHandlers::ParkPull(const std::shared_ptr<OpenPull>& pull) {
  if (!pull->waiter.has_value()) {
    const absl::StatusOr<PullWaiters::WaiterId> id = deps_.pull_waiters->Begin();
    if (!id.ok()) return FinishPull(*pull, id.status());
    pull->waiter = *id;
    pull->call->OnCancel([this, id = *id] { deps_.pull_waiters->Cancel(id); });
  }
  const v2::MessageQueue& queue = pull->call->request().message_queue();
  deps_.pull_waiters->Wait(*pull->waiter, queue.topic().name(), QueueId(queue.id()), pull->offset,
                           {pull->call->request().group().name(), pull->filter.tags},
                           pull->until_ms,
                           [this, pull](PullWaiters::Outcome outcome, QueueOffset offset) {
                             pull->offset = offset;
                             if (outcome == PullWaiters::Outcome::kOver) {
                               return FinishPull(*pull, std::vector<v2::PullMessageResponse>());
                             }
                             deps_.reads->Post([this, pull] { Pull(pull); });
                           });
}

// What is far behind the end comes from the disk, and takes room in memory from what is near it;
// that is the leader's, who serves everyone else (RocketMQ: PullMessageProcessor).
std::string MessagingHandlers::SuggestRead(const OpenPull& pull) const {
  if (!options_.bytes_behind_to_follower.has_value() || pull.read_to == LogPosition(0)) return "";
  const std::shared_ptr<const dledger::LedgerStatus> status = deps_.ledger->Status();
  if (status->end_position - pull.read_to <= *options_.bytes_behind_to_follower) return "";
  return deps_.addresses->FollowerFor(*status, deps_.group->Serving(*status),
                                      QueueId(pull.call->request().message_queue().id()));
}

void MessagingHandlers::FinishPull(
    const OpenPull& pull, absl::StatusOr<std::vector<v2::PullMessageResponse>> messages) const {
  if (pull.waiter.has_value()) deps_.pull_waiters->End(*pull.waiter);
  PullMessageCall* call = pull.call;
  if (!messages.ok()) return FinishWithError(call, messages.status());
  v2::PullMessageResponse first;
  if (messages->empty()) {
    first.mutable_status()->set_code(v2::MESSAGE_NOT_FOUND);
    first.mutable_status()->set_message("no message from that offset on");
  } else {
    SetOk(first.mutable_status());
  }
  if (const std::string address = SuggestRead(pull); !address.empty()) {
    call->AddHeader("x-raftmq-suggest-read", address);
  }
  call->Write(std::move(first));
  for (v2::PullMessageResponse& message : *messages) call->Write(std::move(message));
  v2::PullMessageResponse last;
  last.set_next_offset(pull.offset.value());
  call->Write(std::move(last));
  call->Finish();
}

}  // namespace raftmq::broker
