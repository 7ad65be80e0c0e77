#include "store/testing/store_harness.h"

#include <utility>

#include "base/strings.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "store/message_record.h"

namespace raftmq::store {

namespace {

// Calls `start` with a callback, lets the store work, and returns what the callback got.
template <typename Answer, typename Start>
Answer Wait(StoreHarness* harness, Start&& start) {
  std::optional<Answer> answer;
  start([&answer](Answer value) {
    CHECK(!answer.has_value()) << "answered twice";
    answer.emplace(std::move(value));
  });
  harness->Settle();
  CHECK(answer.has_value()) << "not answered";
  return *std::move(answer);
}

}  // namespace

StoreHarness::StoreHarness(FakeLog* log, const std::string& name, Options options)
    : log_(log),
      dir_(StrCat("/", name)),
      state_dir_(StrCat(testing::TempDir(), "/", name, ".state")),
      options_(std::move(options)),
      runner_(&clock_) {
  options_.store.dir = dir_;
  options_.store.state_dir = state_dir_;
  options_.store.flush_state_at_close = false;  // Stop flushes, Kill does not
  CHECK(PosixFileSystem()->RemoveAll(state_dir_).ok());
}

StoreHarness::~StoreHarness() {
  if (store_ != nullptr) Kill();
}

void StoreHarness::Start(bool lead) {
  const absl::Status started = TryStart();
  CHECK(started.ok()) << started;
  if (lead) CHECK(ledger_->BecomeLeader().ok());
}

absl::Status StoreHarness::TryStart() {
  CHECK(store_ == nullptr);
  auto store = LogMessageStore::Open(options_.store, &fs_, &clock_, &runner_, &runner_);
  CHECK(store.ok()) << store.status();
  store_ = *std::move(store);
  FakeLedger::Options ledger = options_.ledger;
  ledger.begin = log_begin_;
  ledger_ = std::make_unique<FakeLedger>(log_, store_.get(), ledger);
  store_->Attach(ledger_.get());
  return ledger_->Start();
}

void StoreHarness::EndLedger() {
  log_begin_ = ledger_->begin();
  ledger_.reset();
}

void StoreHarness::Stop() {
  EndLedger();
  runner_.Clear();
  const absl::Status closed = store_->Close();
  CHECK(closed.ok()) << closed;
  store_.reset();
}

void StoreHarness::Kill() {
  EndLedger();
  runner_.Clear();
  store_.reset();
  fs_.Kill();
}

void StoreHarness::Crash(Random* random) {
  EndLedger();
  runner_.Clear();
  store_.reset();
  fs_.Crash(random);
}

void StoreHarness::Settle() {
  do {
    CHECK(ledger_->Turn().ok());
  } while (runner_.RunDue() > 0 || ledger_->waiting() > 0);
}

absl::StatusOr<std::vector<SendResult>> StoreHarness::Send(std::vector<NewMessage> messages) {
  return Wait<absl::StatusOr<std::vector<SendResult>>>(this, [&](auto done) {
    store_->Send(std::move(messages), dledger::AckLevel::kMajorityDisk, std::move(done));
  });
}

absl::StatusOr<ReceiveResult> StoreHarness::Receive(ReceiveRequest request) {
  return Wait<absl::StatusOr<ReceiveResult>>(
      this, [&](auto done) { store_->Receive(std::move(request), std::move(done)); });
}

std::vector<absl::Status> StoreHarness::Ack(const std::string& group, const std::string& topic,
                                            std::vector<std::string> handles) {
  return Wait<std::vector<absl::Status>>(
      this, [&](auto done) { store_->Ack(group, topic, std::move(handles), std::move(done)); });
}

absl::StatusOr<std::string> StoreHarness::ChangeInvisible(const std::string& group,
                                                          const std::string& topic,
                                                          const std::string& handle,
                                                          int64_t invisible_ms) {
  return Wait<absl::StatusOr<std::string>>(this, [&](auto done) {
    store_->ChangeInvisible(group, topic, handle, invisible_ms, std::move(done));
  });
}

absl::StatusOr<std::string> StoreHarness::Renew(const std::string& group, const std::string& topic,
                                                const std::string& handle, int64_t invisible_ms) {
  return Wait<absl::StatusOr<std::string>>(
      this, [&](auto done) { store_->Renew(group, topic, handle, invisible_ms, std::move(done)); });
}

absl::Status StoreHarness::UpdateTopic(TopicConfig topic) {
  return Wait<absl::Status>(this, [&](auto done) { store_->UpdateTopic(topic, std::move(done)); });
}

absl::Status StoreHarness::DeleteTopic(const std::string& name) {
  return Wait<absl::Status>(this, [&](auto done) { store_->DeleteTopic(name, std::move(done)); });
}

absl::Status StoreHarness::UpdateGroup(GroupConfig group) {
  return Wait<absl::Status>(this, [&](auto done) { store_->UpdateGroup(group, std::move(done)); });
}

absl::Status StoreHarness::DeleteGroup(const std::string& name) {
  return Wait<absl::Status>(this, [&](auto done) { store_->DeleteGroup(name, std::move(done)); });
}

absl::Status StoreHarness::UpdateOffset(const std::string& group, const std::string& topic,
                                        int queue, int64_t offset) {
  return Wait<absl::Status>(this, [&](auto done) {
    store_->UpdateOffset(group, topic, QueueId(queue), QueueOffset(offset), "", std::move(done));
  });
}

absl::StatusOr<OffsetMove> StoreHarness::MoveOffsets(OffsetMoveRequest request) {
  return Wait<absl::StatusOr<OffsetMove>>(
      this, [&](auto done) { store_->MoveOffsets(std::move(request), std::move(done)); });
}

int StoreHarness::DeliverDue(size_t max) {
  std::vector<Timer> due = store_->waiting().DueTimers(clock_.WallMillis(), max);
  const auto statuses = Wait<std::vector<absl::Status>>(
      this, [&](auto done) { store_->waiting().Deliver(std::move(due), std::move(done)); });
  int delivered = 0;
  for (const absl::Status& status : statuses) delivered += status.ok() ? 1 : 0;
  return delivered;
}

absl::StatusOr<std::string> StoreHarness::Recall(const std::string& topic,
                                                 const std::string& handle) {
  return Wait<absl::StatusOr<std::string>>(
      this, [&](auto done) { store_->waiting().Recall(topic, handle, std::move(done)); });
}

absl::Status StoreHarness::EndTransaction(const std::string& topic, const SendResult& half,
                                          bool commit) {
  return Wait<absl::Status>(this, [&](auto done) {
    store_->waiting().EndTransaction(topic, half.message_id, half.transaction_id, commit,
                                     std::move(done));
  });
}

absl::StatusOr<std::vector<LogPosition>> StoreHarness::SetChecks(
    std::vector<OpenTransaction> transactions) {
  return Wait<absl::StatusOr<std::vector<LogPosition>>>(this, [&](auto done) {
    store_->waiting().SetChecks(std::move(transactions), std::move(done));
  });
}

absl::Status StoreHarness::ExpireTransaction(LogPosition position) {
  return Wait<absl::Status>(
      this, [&](auto done) { store_->waiting().ExpireTransaction(position, std::move(done)); });
}

absl::StatusOr<std::string> StoreHarness::Nack(const std::string& group, const std::string& topic,
                                               const std::string& handle,
                                               std::optional<int64_t> invisible_ms) {
  return Wait<absl::StatusOr<std::string>>(
      this, [&](auto done) { store_->Nack(group, topic, handle, invisible_ms, std::move(done)); });
}

absl::StatusOr<DeadLetterQueues::Due> StoreHarness::FindDead(size_t max) {
  return Wait<absl::StatusOr<DeadLetterQueues::Due>>(
      this, [&](auto done) { store_->dead_letters().FindDue(max, std::move(done)); });
}

int StoreHarness::DeadLetterDue() {
  auto due = FindDead();
  CHECK(due.ok()) << due.status();
  const auto statuses = Wait<std::vector<absl::Status>>(this, [&](auto done) {
    store_->dead_letters().MoveDue(std::move(due->leases), std::move(done));
  });
  int moved = 0;
  for (const absl::Status& status : statuses) moved += status.ok() ? 1 : 0;
  return moved;
}

absl::StatusOr<Retention::Outcome> StoreHarness::Expire(Retention::Limits limits) {
  return Wait<absl::StatusOr<Retention::Outcome>>(
      this, [&](auto done) { store_->retention().Expire(limits, std::move(done)); });
}

absl::Status StoreHarness::Forward(const std::string& group, const std::string& topic,
                                   const std::string& handle) {
  return Wait<absl::Status>(this, [&](auto done) {
    store_->dead_letters().Forward(group, topic, handle, std::move(done));
  });
}

absl::StatusOr<RedriveResult> StoreHarness::Redrive(RedriveRequest request) {
  return Wait<absl::StatusOr<RedriveResult>>(this, [&](auto done) {
    store_->dead_letters().Redrive(std::move(request), std::move(done));
  });
}

absl::StatusOr<LiteSubscribeResult> StoreHarness::Subscribe(LiteSubscribeRequest request) {
  return Wait<absl::StatusOr<LiteSubscribeResult>>(this, [&](auto done) {
    store_->lite_topics().Subscribe(std::move(request), std::move(done));
  });
}

absl::StatusOr<int64_t> StoreHarness::ExpireIdle() {
  return Wait<absl::StatusOr<int64_t>>(
      this, [&](auto done) { store_->lite_topics().ExpireIdle(std::move(done)); });
}

void StoreHarness::MakeTopic(const std::string& name, int queues, TopicType type) {
  TopicConfig topic;
  topic.name = name;
  topic.read_queues = topic.write_queues = queues;
  topic.type = type;
  const absl::Status status = UpdateTopic(topic);
  CHECK(status.ok()) << status;
}

void StoreHarness::MakeGroupFrom(int64_t wall_ms, const std::string& name) {
  GroupConfig group;
  group.name = name;
  group.consume_from = ConsumeFrom::kTimestamp;
  group.consume_timestamp_ms = wall_ms;
  const absl::Status status = UpdateGroup(group);
  CHECK(status.ok()) << status;
}

SendResult StoreHarness::SendOne(const std::string& topic, const std::string& body,
                                 const std::string& tag) {
  auto results = Send({MessageOf(topic, body, tag)});
  CHECK(results.ok()) << results.status();
  return results->at(0);
}

std::vector<std::string> StoreHarness::ReceiveBodies(const std::string& group,
                                                     const std::string& topic, int max,
                                                     std::vector<std::string> tags) {
  ReceiveRequest request;
  request.group = group;
  request.topic = topic;
  request.max_messages = max;
  request.filter.tags = std::move(tags);
  request.client_id = "tester";
  auto result = Receive(std::move(request));
  CHECK(result.ok()) << result.status();
  last_deliveries_ = std::move(result->deliveries);
  std::vector<std::string> bodies;
  for (const Delivery& delivery : last_deliveries_) bodies.push_back(BodyOf(delivery.record));
  return bodies;
}

void StoreHarness::AckLast(const std::string& group, const std::string& topic) {
  std::vector<std::string> handles;
  for (const Delivery& delivery : last_deliveries_) handles.push_back(delivery.receipt_handle);
  for (const absl::Status& status : Ack(group, topic, std::move(handles))) {
    CHECK(status.ok()) << status;
  }
}

std::string StoreHarness::Dump() {
  auto dump = store_->DumpState();
  CHECK(dump.ok()) << dump.status();
  return *std::move(dump);
}

NewMessage MessageOf(const std::string& topic, const std::string& body, const std::string& tag) {
  static int64_t next_id = 0;
  NewMessage message;
  message.topic = topic;
  message.message_id = StrCat("01ID", ++next_id);
  message.body = body;
  message.tag = tag;
  message.born_ms = 1'704'067'200'000;
  message.born_host = "10.0.0.1:5555";
  return message;
}

std::string BodyOf(const std::string& record) {
  const auto view = ParseRecord(record);
  CHECK(view.ok()) << view.status();
  return std::string(view->body);
}

}  // namespace raftmq::store
