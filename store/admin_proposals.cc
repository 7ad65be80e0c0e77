#include "store/admin_proposals.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "store/group_start.h"
#include "store/names.h"
#include "store/outcome.h"
#include "store/reason.h"

namespace raftmq::store {

namespace {

using dledger::Proposal;
using dledger::ProposalOutcome;
using dledger::ProposalWriter;

absl::Status CheckTopicConfig(const TopicConfig& topic, int32_t max_queues) {
  RAFTMQ_RETURN_IF_ERROR(CheckTopicName(topic.name));
  if (topic.read_queues < 1 || topic.read_queues > max_queues || topic.write_queues < 1 ||
      topic.write_queues > max_queues) {
    return Refuse(Reason::kIllegalTopic,
                  StrCat("topic ", topic.name, " with ", topic.read_queues, " read and ",
                         topic.write_queues, " write queues: each must be 1 to ", max_queues));
  }
  if ((topic.perm & ~(kPermRead | kPermWrite)) != 0) {
    return Refuse(Reason::kIllegalTopic,
                  StrCat("topic ", topic.name, " with perm ", static_cast<int>(topic.perm),
                         ": 4 is read, 2 is write, 6 is both"));
  }
  if (topic.type < TopicType::kNormal || topic.type > TopicType::kPriority) {
    return Refuse(Reason::kIllegalTopic, StrCat("topic ", topic.name, " has the unknown type ",
                                                static_cast<int>(topic.type)));
  }
  if (topic.reserve_hours != -1 &&
      (topic.reserve_hours < 1 || topic.reserve_hours > kMaxReserveHours)) {
    return Refuse(
        Reason::kIllegalTopic,
        StrCat("topic ", topic.name, " with reserve.time ", topic.reserve_hours, ": expected 1 to ",
               kMaxReserveHours, " hours, or -1 for as long as the log keeps its messages"));
  }
  return absl::OkStatus();
}

absl::Status CheckGroupConfig(const GroupConfig& group) {
  RAFTMQ_RETURN_IF_ERROR(CheckGroupName(group.name));
  if (group.consume_from < ConsumeFrom::kFirst || group.consume_from > ConsumeFrom::kTimestamp) {
    return Refuse(Reason::kIllegalGroup, StrCat("group ", group.name, " has the unknown start ",
                                                static_cast<int>(group.consume_from)));
  }
  if (group.retry_max_times < 0) {
    return Refuse(Reason::kIllegalGroup,
                  StrCat("group ", group.name, " allows ", group.retry_max_times, " retries"));
  }
  if (group.lite_client_quota < 0) {
    return Refuse(Reason::kIllegalGroup,
                  StrCat("group ", group.name, " allows its clients ", group.lite_client_quota,
                         " lite topics (lite.sub.client.quota)"));
  }
  if (const absl::Status policy = CheckRetryPolicy(group.retry_policy); !policy.ok()) {
    return Refuse(Reason::kIllegalGroup, StrCat("group ", group.name, ": ", Message(policy)));
  }
  return absl::OkStatus();
}

// What they have in common: being answered after apply.
class AdminProposal : public Proposal {
 public:
  AdminProposal(StoreContext* context, std::string what, MessageStore::DoneCallback done)
      : context_(context), what_(std::move(what)), done_(std::move(done)) {}

  void Done(const ProposalOutcome& outcome) override {
    if (!outcome.status.ok()) {
      done_(StatusOf(outcome, what_));
      return;
    }
    OnLogged(outcome);
    context_->applied.WhenApplied(outcome.index, [what = std::move(what_), done = std::move(done_)](
                                                     absl::Status applied) mutable {
      if (!applied.ok()) {
        // Not kStopped, which says that nothing was logged: it would be done again elsewhere.
        applied = Refuse(Reason::kUnknownOutcome,
                         StrCat(what,
                                ": committed, but this broker stopped before applying it, so "
                                "that it is not known how it ended: ",
                                Message(applied)));
      }
      done(std::move(applied));
    });
  }

 protected:
  // Replica thread: the entry is committed.
  virtual void OnLogged(const ProposalOutcome& outcome) {}

  StoreContext* const context_;
  std::string what_;
  MessageStore::DoneCallback done_;
};

// A topic appears or disappears: until that is applied nothing is granted from consume queues,
// which may still be those of a deleted namesake.
class TopicProposal : public AdminProposal {
 public:
  TopicProposal(StoreContext* context, std::string what, std::string name,
                MessageStore::DoneCallback done)
      : AdminProposal(context, std::move(what), std::move(done)), name_(std::move(name)) {}

 protected:
  absl::Status LogChange(CommandBody body, ProposalWriter& writer) {
    LeaderView& view = context_->view();
    RAFTMQ_RETURN_IF_ERROR(view.Log(std::move(body), writer));
    view.TopicChangeLogged(name_);
    return absl::OkStatus();
  }

  void OnLogged(const ProposalOutcome& outcome) override {
    if (context_->leading == nullptr || context_->leading->term() != outcome.term) return;
    context_->leading->TopicChangeIndexed(name_, outcome.index);
  }

  const std::string name_;
};

class EditTopicProposal final : public TopicProposal {
 public:
  EditTopicProposal(StoreContext* context, std::string name, MessageStore::TopicEdit edit,
                    MessageStore::DoneCallback done)
      : TopicProposal(context, StrCat("update of topic ", name), name, std::move(done)),
        edit_(std::move(edit)) {}

  absl::Status Decide(ProposalWriter& writer) override {
    const TopicConfig* now = context_->view().state().FindTopic(name_);
    TopicConfig topic;
    if (now != nullptr) topic = *now;
    topic.name = name_;
    RAFTMQ_RETURN_IF_ERROR(edit_(now != nullptr, &topic));
    RAFTMQ_RETURN_IF_ERROR(
        CheckTopicConfig(topic, std::min(context_->options.max_queues_per_topic, kMaxQueues)));
    const size_t lite_topics = context_->view().state().LiteTopicCount(name_);
    if (lite_topics > 0 && topic.type != TopicType::kLite) {
      return Refuse(Reason::kIllegalTopic, StrCat("topic ", name_, " has ", lite_topics,
                                                  " lite topics: it must stay of type LITE"));
    }
    return LogChange(PutTopic{std::move(topic)}, writer);
  }

 private:
  MessageStore::TopicEdit edit_;
};

// Of several that make the same topic at once, the first does.
class EnsureTopicProposal final : public TopicProposal {
 public:
  EnsureTopicProposal(StoreContext* context, TopicConfig topic, MessageStore::DoneCallback done)
      : TopicProposal(context, StrCat("creation of topic ", topic.name), topic.name,
                      std::move(done)),
        topic_(std::move(topic)) {}

  absl::Status Decide(ProposalWriter& writer) override {
    logs_ = context_->view().state().FindTopic(name_) == nullptr;
    return logs_ ? LogChange(PutTopic{topic_}, writer) : absl::OkStatus();
  }

 protected:
  void OnLogged(const ProposalOutcome& outcome) override {
    if (logs_) TopicProposal::OnLogged(outcome);
  }

 private:
  const TopicConfig topic_;
  bool logs_ = false;
};

// Its lite topics go before it, some at a time.
class DeleteTopicProposal final : public TopicProposal {
 public:
  DeleteTopicProposal(StoreContext* context, std::string name, MessageStore::DoneCallback done)
      : TopicProposal(context, StrCat("deletion of topic ", name), name, std::move(done)) {}

  absl::Status Decide(ProposalWriter& writer) override {
    const BrokerState& state = context_->view().state();
    if (state.FindTopic(name_) == nullptr) {
      return Refuse(Reason::kTopicNotFound, StrCat("topic ", name_, " does not exist"));
    }
    std::vector<std::string> names = state.LiteTopicsOf(name_, "", kMaxDeletions);
    if (names.size() < kMaxDeletions) names.push_back(name_);
    for (std::string& name : names) {
      const absl::Status logged = LogDeletion(name, writer);
      if (!logged.ok()) return deleted_.empty() ? logged : absl::OkStatus();
      deleted_.push_back(std::move(name));
    }
    return absl::OkStatus();
  }

  void Done(const ProposalOutcome& outcome) override {
    if (outcome.status.ok() && deleted_.back() != name_) {
      OnLogged(outcome);
      context_->ledger->Propose(
          std::make_unique<DeleteTopicProposal>(context_, name_, std::move(done_)));
    } else {
      AdminProposal::Done(outcome);
    }
  }

 protected:
  void OnLogged(const ProposalOutcome& outcome) override {
    if (context_->leading == nullptr || context_->leading->term() != outcome.term) return;
    for (const std::string& name : deleted_) {
      context_->leading->TopicChangeIndexed(name, outcome.index);
    }
  }

 private:
  static constexpr size_t kMaxDeletions = 256;

  absl::Status LogDeletion(const std::string& name, ProposalWriter& writer) {
    LeaderView& view = context_->view();
    RAFTMQ_RETURN_IF_ERROR(view.Log(DeleteTopic{name}, writer));
    view.TopicChangeLogged(name);
    context_->sends->PendingDeletion(name);
    return absl::OkStatus();
  }

  std::vector<std::string> deleted_;
};

class EditGroupProposal final : public AdminProposal {
 public:
  EditGroupProposal(StoreContext* context, std::string name, MessageStore::GroupEdit edit,
                    MessageStore::DoneCallback done)
      : AdminProposal(context, StrCat("update of group ", name), std::move(done)),
        name_(std::move(name)),
        edit_(std::move(edit)) {}

  absl::Status Decide(ProposalWriter& writer) override {
    LeaderView& view = context_->view();
    const GroupConfig* now = view.state().FindGroup(name_);
    GroupConfig group;
    if (now != nullptr) group = *now;
    group.name = name_;
    RAFTMQ_RETURN_IF_ERROR(edit_(now != nullptr, &group));
    RAFTMQ_RETURN_IF_ERROR(CheckGroupConfig(group));
    return view.Log(PutGroup{std::move(group)}, writer);
  }

 private:
  const std::string name_;
  MessageStore::GroupEdit edit_;
};

class DeleteGroupProposal final : public AdminProposal {
 public:
  DeleteGroupProposal(StoreContext* context, std::string name, MessageStore::DoneCallback done)
      : AdminProposal(context, StrCat("deletion of group ", name), std::move(done)),
        name_(std::move(name)) {}

  absl::Status Decide(ProposalWriter& writer) override {
    LeaderView& view = context_->view();
    if (view.state().FindGroup(name_) == nullptr) {
      return Refuse(Reason::kGroupNotFound, StrCat("group ", name_, " does not exist"));
    }
    return view.Log(DeleteGroup{name_}, writer);
  }

 private:
  const std::string name_;
};

struct OffsetUpdate {
  std::string group;
  std::string topic;
  QueueId queue;
  QueueOffset offset;
  std::string client_id;  // "": an operator
  std::optional<std::vector<QueueOffset>> offsets_by_time;
};

class UpdateOffsetProposal final : public AdminProposal {
 public:
  UpdateOffsetProposal(StoreContext* context, OffsetUpdate update, MessageStore::DoneCallback done)
      : AdminProposal(context,
                      StrCat("offset update of group ", update.group, " on topic ", update.topic,
                             " queue ", update.queue),
                      std::move(done)),
        update_(std::move(update)) {}

  absl::Status Decide(ProposalWriter& writer) override {
    LeaderView& view = context_->view();
    RAFTMQ_ASSIGN_OR_RETURN(const QueueOffset offset, CheckTarget(view.state()));
    RAFTMQ_RETURN_IF_ERROR(CheckOwner(view, offset));
    RAFTMQ_ASSIGN_OR_RETURN(
        const GroupStart start,
        StartGroup(view, update_.group, update_.topic,
                   update_.offsets_by_time.has_value() ? &*update_.offsets_by_time : nullptr,
                   writer));
    needs_times_ = start == GroupStart::kNeedsTimes;
    if (start == GroupStart::kStarted) {
      moved_ = view.Log(UpdateOffset{update_.group, update_.topic, update_.queue, offset}, writer);
    } else {
      moved_ = Refuse(Reason::kBusy, StrCat(what_, ": the group was only just being started"));
    }
    return absl::OkStatus();
  }

  void Done(const ProposalOutcome& outcome) override {
    if (outcome.status.ok() && needs_times_ && !update_.offsets_by_time.has_value()) {
      ReadTimes();
    } else if (outcome.status.ok() && !moved_.ok()) {
      done_(moved_);
    } else {
      AdminProposal::Done(outcome);
    }
  }

 private:
  absl::StatusOr<QueueOffset> CheckTarget(const BrokerState& state) const {
    if (state.FindTopic(update_.topic) == nullptr) {
      return Refuse(Reason::kTopicNotFound, StrCat("topic ", update_.topic, " does not exist"));
    }
    const auto ends = state.FindQueue(update_.topic, update_.queue);
    if (!ends.has_value()) {
      return Refuse(Reason::kQueueNotFound,
                    StrCat("topic ", update_.topic, " has no queue ", update_.queue));
    }
    if (update_.offset < QueueOffset(0) || update_.offset > ends->max) {
      return Refuse(Reason::kIllegalOffset,
                    StrCat(what_, ": offset ", update_.offset, " is not within 0 and ", ends->max));
    }
    return std::max(update_.offset, ends->min);
  }

  // A consumer that was thought dead, and lives, must not take back what the next one committed;
  // nor must a commit that was long under way, when the next one has let go of the queue already;
  // nor what an operator moved since the client took the queue.
  absl::Status CheckOwner(LeaderView& view, QueueOffset offset) const {
    const QueueLock* lock = view.state().FindLock({update_.group, update_.topic, update_.queue});
    if (update_.client_id.empty() || lock == nullptr) return absl::OkStatus();
    if (lock->client_id != update_.client_id && !lock->IsOver(view.LeaseTimeMs())) {
      return Refuse(Reason::kForbidden, StrCat(what_, " by client ", update_.client_id,
                                               ": the queue is locked by ", lock->client_id));
    }
    if (lock->client_id == update_.client_id && lock->revoked) {
      return Refuse(Reason::kForbidden,
                    StrCat(what_, " by client ", update_.client_id,
                           ": the offset was moved by an operator since the client took the "
                           "queue, which it must let go of and take again"));
    }
    const auto progress = view.state().FindProgress(update_.group, update_.topic, update_.queue);
    if (!progress.has_value() || offset >= progress->commit_offset) return absl::OkStatus();
    return Refuse(Reason::kIllegalOffset,
                  StrCat(what_, " by client ", update_.client_id, ": offset ", offset,
                         " is behind the committed offset ", progress->commit_offset,
                         "; in a group that shares its queues by locks only an operator may go "
                         "back"));
  }

  // The group starts by time on the topic's other queues: looks that up, then proposes again.
  void ReadTimes() {
    context_->read->Post(
        [context = context_, update = std::move(update_), done = std::move(done_)]() mutable {
          auto offsets = StartOffsetsByTime(*context, update.group, update.topic);
          if (!offsets.ok()) {
            done(offsets.status());
            return;
          }
          update.offsets_by_time = *std::move(offsets);
          context->ledger->Propose(
              std::make_unique<UpdateOffsetProposal>(context, std::move(update), std::move(done)));
        });
  }

  OffsetUpdate update_;
  bool needs_times_ = false;
  absl::Status moved_;
};

}  // namespace

void StartEditTopic(StoreContext* context, std::string name, MessageStore::TopicEdit edit,
                    MessageStore::DoneCallback done) {
  if (absl::Status status = CheckTopicName(name); !status.ok()) return done(std::move(status));
  context->ledger->Propose(std::make_unique<EditTopicProposal>(context, std::move(name),
                                                               std::move(edit), std::move(done)));
}

void StartEnsureTopic(StoreContext* context, TopicConfig topic, MessageStore::DoneCallback done) {
  const bool there = context->applied.Read(
      [&](const BrokerState& state) { return state.FindTopic(topic.name) != nullptr; });
  if (there) return done(absl::OkStatus());
  context->ledger->Propose(
      std::make_unique<EnsureTopicProposal>(context, std::move(topic), std::move(done)));
}

void StartDeleteTopic(StoreContext* context, std::string name, MessageStore::DoneCallback done) {
  context->ledger->Propose(
      std::make_unique<DeleteTopicProposal>(context, std::move(name), std::move(done)));
}

void StartEditGroup(StoreContext* context, std::string name, MessageStore::GroupEdit edit,
                    MessageStore::DoneCallback done) {
  if (absl::Status status = CheckGroupName(name); !status.ok()) return done(std::move(status));
  context->ledger->Propose(std::make_unique<EditGroupProposal>(context, std::move(name),
                                                               std::move(edit), std::move(done)));
}

void StartDeleteGroup(StoreContext* context, std::string name, MessageStore::DoneCallback done) {
  context->ledger->Propose(
      std::make_unique<DeleteGroupProposal>(context, std::move(name), std::move(done)));
}

void StartUpdateOffset(StoreContext* context, std::string group, std::string topic, QueueId queue,
                       QueueOffset offset, std::string client_id, MessageStore::DoneCallback done) {
  OffsetUpdate update{std::move(group), std::move(topic),     queue,
                      offset,           std::move(client_id), std::nullopt};
  context->ledger->Propose(
      std::make_unique<UpdateOffsetProposal>(context, std::move(update), std::move(done)));
}

}  // namespace raftmq::store
