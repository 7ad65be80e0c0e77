// FakeStore: a MessageStore whose answers a test decides. What is not listed here answers
// Unimplemented, or nothing.
//
// Receive: each is kept in `receives` until the test answers it. Topics and groups are kept in
// maps. Not thread-safe.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "store/message_store.h"

namespace raftmq::broker {

class FakeStore : public store::MessageStore {
 public:
  struct PendingReceive {
    store::ReceiveRequest request;
    ReceiveCallback done;
  };
  std::deque<PendingReceive> receives;
  std::map<std::string, store::TopicConfig> topics;
  std::map<std::string, store::GroupConfig> groups;
  QueueRange range;  // of every queue

  // Answers the oldest pending receive with nothing.
  void AnswerEmpty(std::optional<int64_t> next_visible_in_ms = std::nullopt) {
    store::ReceiveResult result;
    result.next_visible_in_ms = next_visible_in_ms;
    Answer(std::move(result));
  }
  // Answers the oldest pending receive with `count` deliveries.
  void AnswerMessages(int count) {
    store::ReceiveResult result;
    result.deliveries.resize(count);
    Answer(std::move(result));
  }
  void Answer(absl::StatusOr<store::ReceiveResult> result) {
    PendingReceive pending = std::move(receives.front());
    receives.pop_front();
    pending.done(std::move(result));
  }

  void Receive(store::ReceiveRequest request, ReceiveCallback done) override {
    receives.push_back(PendingReceive{std::move(request), std::move(done)});
  }
  void Send(std::vector<store::NewMessage>, dledger::AckLevel, SendCallback done) override {
    done(Unimplemented());
  }
  void Ack(std::string, std::string, std::vector<std::string> handles, AckCallback done) override {
    done(std::vector<absl::Status>(handles.size(), Unimplemented()));
  }
  void ChangeInvisible(std::string, std::string, std::string, int64_t,
                       ChangeCallback done) override {
    done(Unimplemented());
  }
  void Renew(std::string, std::string, std::string, int64_t, ChangeCallback done) override {
    done(Unimplemented());
  }
  void Nack(std::string, std::string, std::string, std::optional<int64_t>,
            ChangeCallback done) override {
    done(Unimplemented());
  }
  void EditTopic(std::string name, TopicEdit edit, DoneCallback done) override {
    const bool exists = topics.count(name) != 0;
    topics[name].name = name;
    done(edit(exists, &topics[name]));
  }
  void DeleteTopic(std::string name, DoneCallback done) override {
    topics.erase(name);
    done(absl::OkStatus());
  }
  void EditGroup(std::string name, GroupEdit edit, DoneCallback done) override {
    const bool exists = groups.count(name) != 0;
    groups[name].name = name;
    done(edit(exists, &groups[name]));
  }
  void DeleteGroup(std::string name, DoneCallback done) override {
    groups.erase(name);
    done(absl::OkStatus());
  }
  absl::StatusOr<store::TopicConfig> FindTopic(const std::string& name) const override {
    const auto it = topics.find(name);
    if (it == topics.end()) return store::Refuse(store::Reason::kTopicNotFound, name);
    return it->second;
  }
  std::vector<store::TopicConfig> ListTopics() const override { return {}; }
  absl::StatusOr<store::GroupConfig> FindGroup(const std::string& name) const override {
    const auto it = groups.find(name);
    if (it == groups.end()) return store::Refuse(store::Reason::kGroupNotFound, name);
    return it->second;
  }
  std::vector<store::GroupConfig> ListGroups() const override { return {}; }
  void UpdateOffset(std::string, std::string, QueueId, QueueOffset, std::string,
                    DoneCallback done) override {
    done(Unimplemented());
  }
  void MoveOffsets(store::OffsetMoveRequest, MoveCallback done) override { done(Unimplemented()); }
  absl::StatusOr<std::vector<store::OffsetMove>> ListOffsetMoves(
      const std::string&) const override {
    return Unimplemented();
  }
  absl::StatusOr<std::vector<store::QueueHold>> ListHolds(const std::string&) const override {
    return Unimplemented();
  }
  void LockQueues(store::QueueLockRequest, LockCallback done) override { done(Unimplemented()); }
  absl::StatusOr<QueueOffset> CommitOffset(const std::string&, const std::string&,
                                           QueueId) const override {
    return Unimplemented();
  }
  absl::StatusOr<std::vector<store::QueueProgress>> GroupProgress(
      const std::string&) const override {
    return Unimplemented();
  }
  absl::StatusOr<QueueRange> Range(const std::string&, QueueId) const override { return range; }
  absl::StatusOr<QueueOffset> OffsetByTime(const std::string&, QueueId, int64_t) const override {
    return Unimplemented();
  }
  absl::StatusOr<std::vector<std::string>> Pull(const std::string&, QueueId, QueueOffset, int32_t,
                                                int64_t) const override {
    return Unimplemented();
  }
  absl::StatusOr<std::string> RecordAt(LogPosition) const override { return Unimplemented(); }
  absl::StatusOr<std::vector<std::string>> QueryByKey(const std::string&, const std::string&,
                                                      int64_t, int64_t, int32_t) const override {
    return Unimplemented();
  }
  void SetArrivalListener(store::ArrivalListener*) override {}
  LogIndex AppliedIndex() const override { return LogIndex(0); }
  absl::StatusOr<std::string> DumpState() const override { return Unimplemented(); }

 private:
  static absl::Status Unimplemented() { return absl::UnimplementedError("not in this fake"); }
};

}  // namespace raftmq::broker
