#include "tests/sim/store_simulation.h"

#include <unistd.h>

#include <filesystem>
#include <iostream>
#include <optional>
#include <set>
#include <utility>

#include "base/file_system.h"
#include "base/strings.h"
#include "dledger/identity.h"
#include "glog/logging.h"
#include "store/message_record.h"
#include "store/names.h"
#include "tests/sim/bystanders.h"
#include "tests/sim/classic_consumers.h"
#include "tests/sim/lite_clients.h"
#include "tests/sim/member_calls.h"
#include "tests/sim/priority_clients.h"
#include "tests/sim/renewed_consumers.h"
#include "tests/sim/topic_lives.h"
#include "tests/sim/waiting_clients.h"
#include "tests/sim/waiting_oracle.h"
#include "tests/sim/watched_store.h"

namespace raftmq::sim {
namespace {

constexpr char kTopic[] = "T";
constexpr char kDelayTopic[] = "D";
constexpr char kTransactionTopic[] = "X";
constexpr char kGroup[] = "G";
constexpr char kClassicGroup[] = "C";
constexpr char kOtherGroup[] = "O";  // whose messages do not fail
constexpr char kBusyGroup[] = "B";   // nobody consumes: its offsets are moved only
constexpr char kLiteGroup[] = "L";
constexpr char kLiteTopic[] = "LT";
constexpr char kExpiringLiteTopic[] = "LE";
constexpr char kRenewedTopic[] = "R";
constexpr char kRenewedGroup[] = "RG";
constexpr char kPriorityTopic[] = "P";
constexpr char kPriorityGroup[] = "PG";
constexpr char kMortalTopic[] = "M";  // deleted and made anew
constexpr char kMortalGroup[] = "MG";
constexpr int32_t kLiteQuota = 3;
constexpr int kQueues = 4;
// Three segments of a member's log; what is older expires.
constexpr int64_t kLogBytes = 3 * (64 << 10);

std::string BodyOf(const std::string& record) {
  auto parsed = store::ParseRecord(record);
  return parsed.ok() ? std::string(parsed->body)
                     : StrCat("unreadable record: ", Message(parsed.status()));
}

class Simulation {
 public:
  explicit Simulation(const SimulationOptions& options)
      : options_(options), scheduler_(options.seed), random_(scheduler_.random().Fork()) {
    // RocksDB keeps to the machine's file system; it is lost in crashes on purpose (it does not
    // flush at close), so only what it flushed is found again. In memory where the machine has
    // that: its syncs would take most of the run.
    state_root_ =
        (::access("/dev/shm", W_OK) == 0 ? std::filesystem::path("/dev/shm")
                                         : std::filesystem::temp_directory_path()) /
        StrCat("mqsim-", ::getpid(), "-", options.seed, "-", reinterpret_cast<uintptr_t>(this));
    const absl::Status made = PosixFileSystem()->CreateDirs(state_root_);
    CHECK(made.ok()) << made;
    SimCluster::Options cluster;
    cluster.members = options.members;
    cluster_ = std::make_unique<SimCluster>(
        &scheduler_, cluster, [this](int member, FileSystem* fs) { return MakeStore(member, fs); });
    down_until_.resize(options.members, 0);
    calls_ = std::make_unique<MemberCalls>(&scheduler_, cluster_.get(), &random_);
    const auto complain = [this](std::string what) { oracle_.Complain(std::move(what)); };
    const auto send = [this](store::NewMessage message,
                             std::function<void(const store::SendResult*)> then) {
      auto send = std::make_shared<Send>();
      send->messages.push_back(std::move(message));
      send->done = [then = std::move(then)](const std::vector<store::SendResult>* sent) {
        then(sent == nullptr ? nullptr : &sent->at(0));
      };
      Try(send);
    };
    moves_ = std::make_unique<MoveOperator>(
        MoveOperator::Options{.topic = kTopic,
                              .queues = kQueues,
                              .groups = {kGroup, kClassicGroup},
                              .busy_group = options.seed % 8 == 1 ? kBusyGroup : ""},
        calls_.get(), scheduler_.clock(), random_.Fork(), complain);
    oracle_.SetMoves(moves_.get(), kGroup);
    classic_ = std::make_unique<ClassicConsumers>(
        ClassicConsumers::Options{.group = kClassicGroup, .topic = kTopic, .queues = kQueues},
        calls_.get(), moves_.get(), scheduler_.clock(), random_.Fork(), complain);
    lite_ = std::make_unique<LiteClients>(LiteClients::Options{.group = kLiteGroup,
                                                               .topic = kLiteTopic,
                                                               .expiring_topic = kExpiringLiteTopic,
                                                               .quota = kLiteQuota,
                                                               .exclusive = options.seed % 5 < 2},
                                          calls_.get(), scheduler_.clock(), random_.Fork(), send,
                                          complain);
    waiting_ = std::make_unique<WaitingClients>(
        WaitingClients::Options{.delay_topic = kDelayTopic, .transaction_topic = kTransactionTopic},
        calls_.get(), scheduler_.clock(), random_.Fork(), &waiting_oracle_, send, complain);
    renewed_ = std::make_unique<RenewedConsumers>(
        RenewedConsumers::Options{.group = kRenewedGroup, .topic = kRenewedTopic}, calls_.get(),
        &scheduler_, random_.Fork(), send, complain);
    priority_ = std::make_unique<PriorityClients>(
        PriorityClients::Options{
            .group = kPriorityGroup, .topic = kPriorityTopic, .queues = kQueues},
        calls_.get(), scheduler_.clock(), random_.Fork(), send, complain);
    bystanders_ =
        std::make_unique<Bystanders>(Bystanders::Options{.group = kOtherGroup,
                                                         .topic = kTopic,
                                                         .tag = options.seed % 5 < 2 ? "even" : "",
                                                         .sql = options.seed % 5 == 1},
                                     calls_.get(), random_.Fork(), complain);
    lives_ = std::make_unique<TopicLives>(
        TopicLives::Options{.group = kMortalGroup, .topic = kMortalTopic, .queues = kQueues},
        calls_.get(), scheduler_.clock(), random_.Fork(), send, complain);
    orderly_ = options.seed % 2 == 0;
    // Few, so that messages are dead-lettered.
    retries_ = options.seed % 3 == 0 ? 16 : static_cast<int32_t>(options.seed % 3) - 1;
    oracle_.SetMaxAttempts(retries_ + 1);
  }

  ~Simulation() {
    calls_->End();
    cluster_.reset();
    const absl::Status removed = PosixFileSystem()->RemoveAll(state_root_);
    if (!removed.ok()) LOG(WARNING) << removed;
  }

  SimulationResult Run() {
    for (int i = 0; i < cluster_->size(); ++i) StartMember(i);
    for (const char* group : {kGroup, kOtherGroup, kClassicGroup, kLiteGroup, kRenewedGroup,
                              kPriorityGroup, kMortalGroup}) {
      if (!CreateGroup(group)) oracle_.Complain("no leader took a group within a minute");
    }
    for (const auto& [name, type] : {std::pair(kTopic, store::TopicType::kNormal),
                                     std::pair(kDelayTopic, store::TopicType::kDelay),
                                     std::pair(kTransactionTopic, store::TopicType::kTransaction),
                                     std::pair(kRenewedTopic, store::TopicType::kNormal),
                                     std::pair(kPriorityTopic, store::TopicType::kPriority),
                                     std::pair(kMortalTopic, store::TopicType::kNormal),
                                     std::pair(kLiteTopic, store::TopicType::kLite),
                                     std::pair(kExpiringLiteTopic, store::TopicType::kLite)}) {
      if (!CreateTopic(name, type)) oracle_.Complain("no leader took a topic within a minute");
    }
    waiting_->Start();
    renewed_->Start();
    priority_->Start();
    bystanders_->Start();
    lives_->Start();
    for (int i = 0; i < options_.producers; ++i) Produce(i, 0);
    for (int i = 0; i < options_.consumers; ++i) Consume();
    Redrive();
    classic_->Start();
    moves_->Start();
    lite_->Start();
    const int64_t end = scheduler_.now() + options_.fault_nanos;
    while (scheduler_.now() < end && oracle_.violations().empty()) {
      scheduler_.RunFor(random_.Between(20, 400) * kMillisecond);
      InjectFault();
      ReviveMembers(false);
      CompareDumps();
    }
    if (oracle_.violations().empty()) Converge();
    return Summary();
  }

 private:
  void Trace(const std::string& what) {
    if (options_.trace) {
      std::cerr << "[" << scheduler_.now() / kMillisecond << " ms] " << what << "\n";
    }
  }

  std::unique_ptr<dledger::StateMachine> MakeStore(int member, FileSystem* fs) {
    auto layout = dledger::ReadLayout(fs, "/data/store");
    CHECK(layout.ok()) << layout.status();
    store::LogMessageStoreOptions options;
    options.dir = layout->generation;
    options.state_dir = StrCat(state_root_, "/n", member);
    options.flush_state_at_close = false;
    options.flush_interval_ms = 500;
    options.index_slots = 64;
    options.index_entries = 256;
    options.queue_entries_per_file = 64;
    // More than are stored until the last try of a send comes, less than a run stores.
    // Enough for what is repeated within some seconds; retention keeps what they are known by.
    options.dedupe_messages = 1'000;
    options.dedupe_window_ms = 60'000;
    auto read = scheduler_.NewRunner(StrCat("n", member, " read"));
    auto flush = scheduler_.NewRunner(StrCat("n", member, " flush"));
    auto opened =
        store::LogMessageStore::Open(options, fs, scheduler_.clock(), read.get(), flush.get());
    CHECK(opened.ok()) << "member " << member << ": " << opened.status();
    auto watched = std::make_unique<WatchedStore>(
        WatchedStore::Oracles{&oracle_, &waiting_oracle_, classic_.get(), moves_.get(), lite_.get(),
                              priority_.get(), bystanders_.get(), &shown_, &newest_},
        member, scheduler_.clock(),
        WatchedStore::Runners{std::move(read), std::move(flush),
                              scheduler_.NewRunner(StrCat("n", member, " timer"))},
        std::move(*opened), [this](const std::string& record) { waiting_->AnswerCheck(record); },
        kLogBytes);
    calls_->Up(member, watched->store());
    return watched;
  }

  void StartMember(int member) {
    const absl::Status started = cluster_->Start(member);
    if (!started.ok()) {
      calls_->Down(member);
      oracle_.Complain(StrCat("member ", member, " does not start: ", Message(started)));
      return;
    }
    StoreOf(member)->Attach(cluster_->replica(member));
    renewed_->Up(member);
  }

  void CrashMember(int member, SimCluster::End end) {
    calls_->Down(member);
    renewed_->Down(member);
    cluster_->Crash(member, end);
    calls_->LoseCallsTo(member);
  }

  // Nothing any more once the run is over.
  void After(int64_t nanos, TaskRunner::Task task) { calls_->After(nanos, std::move(task)); }
  std::optional<int> PickMember() { return calls_->Pick(); }
  MemberCalls::CallRef NewCall(int member, std::function<void()> on_lost) {
    return calls_->NewCall(member, std::move(on_lost));
  }
  static bool End(const MemberCalls::CallRef& call) { return MemberCalls::First(call); }
  store::LogMessageStore* StoreOf(int member) { return &calls_->At(member); }

  bool CreateTopic(const std::string& name, store::TopicType type) {
    bool created = false;
    return scheduler_.RunUntil(
        [&] {
          if (created) return true;
          const int leader = cluster_->ServingLeader();
          if (leader < 0 || creating_) return false;
          creating_ = true;
          store::TopicConfig topic;
          topic.name = name;
          topic.type = type;
          topic.read_queues = topic.write_queues = kQueues;
          // What nothing is sent to any more goes when somebody looks.
          if (name == kExpiringLiteTopic) topic.lite_expiration_minutes = 0;
          StoreOf(leader)->UpdateTopic(topic, [&](absl::Status status) {
            created = status.ok();
            creating_ = false;
          });
          return false;
        },
        60 * kSecond);
  }

  bool CreateGroup(const char* name) {
    bool created = false;
    bool creating = false;
    return scheduler_.RunUntil(
        [&] {
          if (created) return true;
          const int leader = cluster_->ServingLeader();
          if (leader < 0 || creating) return false;
          creating = true;
          store::GroupConfig group;
          group.name = name;
          group.orderly = (orderly_ && group.name == kGroup) ||
                          (options_.seed % 3 == 1 && group.name == kOtherGroup);
          // The others give nothing up.
          const bool gives_up = group.name == kGroup || group.name == kClassicGroup;
          group.retry_max_times = gives_up ? retries_ : 1'000;
          group.lite_client_quota = kLiteQuota;
          group.lite_exclusive = options_.seed % 5 < 2;
          group.retry_policy.delays_ms = {0, 400};
          StoreOf(leader)->UpdateGroup(group, [&](absl::Status status) {
            created = status.ok();
            creating = false;
          });
          return false;
        },
        60 * kSecond);
  }

  // ---- Sends. One of unknown outcome is repeated as the same message, as clients do; so is one
  // now and then that was answered.

  struct Send {
    std::vector<store::NewMessage> messages;
    int tries = 0;
    bool may_be_stored = false;
    // The first answer; null: refused, or given up.
    std::function<void(const std::vector<store::SendResult>*)> done;
  };

  using Sent = absl::StatusOr<std::vector<store::SendResult>>;

  void Try(const std::shared_ptr<Send>& send) {
    const std::optional<int> member = PickMember();
    if (!member) return After(50 * kMillisecond, [=, this] { TryAgain(send); });
    ++send->tries;
    auto call = NewCall(*member, [=, this] {
      send->may_be_stored = true;
      TryAgain(send);
    });
    StoreOf(*member)->Send(send->messages, dledger::AckLevel::kMajorityDisk,
                           [=, this](const Sent& sent) {
                             if (End(call)) OnSent(send, sent);
                           });
  }

  void OnSent(const std::shared_ptr<Send>& send, const Sent& sent) {
    if (sent.ok()) {
      if (sent->at(0).repeated) ++repeats_;
      CheckBatch(*send, *sent);
      send->done(&*sent);
      if (!random_.Chance(0.02)) return;
      After(random_.Between(0, 3'000) * kMillisecond,
            [=, this, first = *sent] { SendOnceMore(send, first); });
    } else if (store::ReasonOf(sent.status()) == store::Reason::kUnknownOutcome) {
      send->may_be_stored = true;
      TryAgain(send);
    } else if (send->may_be_stored) {
      TryAgain(send);
    } else {
      for (const store::NewMessage& message : send->messages) {
        if (message.topic == kTopic) oracle_.OnSendRefused(message.body);
      }
      send->done(nullptr);
    }
  }

  // All or nothing, in one queue, one after the other; a repetition is of all of it.
  void CheckBatch(const Send& send, const std::vector<store::SendResult>& sent) {
    if (send.messages.size() > 1) ++batches_;
    if (sent.size() != send.messages.size()) {
      return oracle_.Complain(StrCat("a send of ", send.messages.size(), " messages, the first ",
                                     send.messages[0].body, ", has ", sent.size(), " results"));
    }
    for (size_t i = 1; i < sent.size(); ++i) {
      if (sent[i].queue != sent[0].queue || sent[i].repeated != sent[0].repeated ||
          sent[i].offset != sent[0].offset + static_cast<int64_t>(i)) {
        oracle_.Complain(StrCat("the batch of ", send.messages[0].body,
                                " is not in one piece: ", send.messages[i].body, " is at ",
                                sent[i].queue, ":", sent[i].offset, ", the first at ",
                                sent[0].queue, ":", sent[0].offset));
      }
    }
  }

  void TryAgain(const std::shared_ptr<Send>& send) {
    if (draining_ || send->tries >= 20) return send->done(nullptr);
    After(random_.Between(1, 200) * kMillisecond, [=, this] {
      // Some clients stamp each try.
      if (random_.Chance(0.5)) {
        for (store::NewMessage& message : send->messages) {
          message.born_ms = scheduler_.clock()->WallMillis();
        }
      }
      Try(send);
    });
  }

  // Its client never got the answer.
  void SendOnceMore(const std::shared_ptr<Send>& send,
                    const std::vector<store::SendResult>& first) {
    const std::optional<int> member = PickMember();
    if (!member || draining_) return;
    // What is known of a deleted topic's messages went with it.
    const std::string& topic = send->messages[0].topic;
    if (store::ParentOfLite(topic) == kExpiringLiteTopic || topic == kMortalTopic) return;
    auto call = NewCall(*member, [] {});
    StoreOf(*member)->Send(send->messages, dledger::AckLevel::kMajorityDisk,
                           [=, this](const Sent& sent) {
                             if (!End(call) || !sent.ok()) return;
                             CheckBatch(*send, *sent);
                             for (size_t i = 0; i < first.size() && i < sent->size(); ++i) {
                               CheckRepetition(send->messages[i].body, first[i], sent->at(i));
                             }
                           });
  }

  void CheckRepetition(const std::string& body, const store::SendResult& first,
                       const store::SendResult& again) {
    if (again.repeated) ++repeats_;
    if (!again.repeated || again.position != first.position || again.queue != first.queue ||
        again.offset != first.offset || again.recall_handle != first.recall_handle ||
        again.transaction_id != first.transaction_id) {
      oracle_.Complain(StrCat(body, " was stored at ", first.position,
                              ", and sent again it is answered with ", again.position,
                              again.repeated ? ", repeated" : ", as a new one"));
    }
  }

  // Message `number` of a producer and, now and then, some more in one send.
  void Produce(int producer, int number) {
    if (draining_) return;
    auto send = std::make_shared<Send>();
    const int end = number + (random_.Chance(0.15) ? static_cast<int>(random_.Between(2, 5)) : 1);
    for (int i = number; i < end; ++i) {
      const std::string body = StrCat("p", producer, "-", i);
      oracle_.OnSendBegun(body);
      store::NewMessage& message = send->messages.emplace_back();
      message.topic = kTopic;
      message.body = body;
      message.message_id = body;
      message.client_id = StrCat("producer-", producer);
      message.tag = i % 2 == 0 ? "even" : "odd";
      message.keys = {body};
      if (orderly_) message.message_group = StoreOracle::MessageGroupOf(body);
      message.born_ms = scheduler_.clock()->WallMillis();
      message.born_host = "127.0.0.1";
    }
    send->done = [=, this, of = send.get()](const std::vector<store::SendResult>* sent) {
      for (size_t i = 0; sent != nullptr && i < of->messages.size(); ++i) {
        oracle_.OnSendAcknowledged(of->messages[i].body, sent->at(i).queue, sent->at(i).offset);
      }
      After(random_.Between(1, 40) * kMillisecond, [=, this] { Produce(producer, end); });
    };
    Try(send);
  }

  // ---- A consumer group, popping

  void Consume() {
    const std::optional<int> member = PickMember();
    if (!member) return After(50 * kMillisecond, [this] { Consume(); });
    auto again = [this] { After(random_.Between(5, 100) * kMillisecond, [this] { Consume(); }); };
    const int64_t asked_at = scheduler_.clock()->MonotonicMillis();
    store::ReceiveRequest request;
    request.group = kGroup;
    request.topic = kTopic;
    if (!draining_ && random_.Chance(0.2)) request.filter.tags = {"even", "odd"};
    request.max_messages = static_cast<int32_t>(random_.Between(1, 16));
    request.invisible_ms = random_.Between(1'000, 5'000);
    const int64_t invisible_ms = request.invisible_ms;
    auto call = NewCall(*member, again);
    StoreOf(*member)->Receive(
        std::move(request), [=, this, at = *member](absl::StatusOr<store::ReceiveResult> r) {
          if (!End(call)) return;
          if (r.ok()) {
            for (const store::Delivery& delivery : r->deliveries) {
              if (delivery.offset < StoreOf(at)->Range(kTopic, delivery.queue)->min)
                ++kept_delivered_;
              oracle_.OnDelivered(delivery, BodyOf(delivery.record), asked_at,
                                  scheduler_.clock()->MonotonicMillis(), invisible_ms);
            }
            // Acks begin later: what this answer's first message waits for it does not give itself.
            if (orderly_) oracle_.OnDeliveredInOrder(r->deliveries);
            for (const store::Delivery& delivery : r->deliveries) Settle(delivery);
          }
          again();
        });
  }

  // Acks most, gives some back or up, forgets a few.
  void Settle(const store::Delivery& delivery) {
    const double chance = static_cast<double>(random_.Below(1000)) / 1000;
    if (!draining_ && chance > 0.95) return;
    After(random_.Between(0, draining_ ? 5 : 200) * kMillisecond, [=, this] {
      if (!draining_ && chance > 0.93) return Forward(delivery);
      SettleNow(delivery, draining_ || chance < 0.85);
    });
  }

  void Forward(const store::Delivery& delivery) {
    const std::optional<int> member = PickMember();
    if (!member) return;
    oracle_.OnForwardBegun(delivery.queue, delivery.offset);
    auto call = NewCall(*member, [] {});
    StoreOf(*member)->dead_letters().Forward(kGroup, kTopic, delivery.receipt_handle,
                                             [=](const absl::Status&) { End(call); });
  }

  // Again and again from the front, by anybody: what was sent back is passed over.
  void Redrive() {
    if (draining_) return;
    After(random_.Between(100, 1'000) * kMillisecond, [this] { Redrive(); });
    const std::optional<int> member = PickMember();
    if (!member) return;
    store::RedriveRequest request;
    request.group = kGroup;
    request.max_messages = static_cast<int32_t>(random_.Between(1, 8));
    auto call = NewCall(*member, [] {});
    StoreOf(*member)->dead_letters().Redrive(
        std::move(request), [=](const absl::StatusOr<store::RedriveResult>&) { End(call); });
  }

  void SettleNow(const store::Delivery& delivery, bool ack) {
    const std::optional<int> member = PickMember();
    if (!member) return;
    auto call = NewCall(*member, [] {});
    if (ack) {
      oracle_.OnAckBegun(delivery);
      StoreOf(*member)->Ack(
          kGroup, kTopic, {delivery.receipt_handle}, [=, this](std::vector<absl::Status> statuses) {
            if (!End(call) || !statuses[0].ok()) return;
            oracle_.OnAckAcknowledged(delivery, scheduler_.clock()->MonotonicMillis());
          });
      return;
    }
    oracle_.OnNackBegun(delivery.queue, delivery.offset);
    if (random_.Chance(0.5)) {
      return StoreOf(*member)->Nack(kGroup, kTopic, delivery.receipt_handle, std::nullopt,
                                    [=](const absl::StatusOr<std::string>&) { End(call); });
    }
    StoreOf(*member)->ChangeInvisible(kGroup, kTopic, delivery.receipt_handle,
                                      random_.Between(0, 500),
                                      [=](absl::StatusOr<std::string>) { End(call); });
  }

  // ---- Faults

  void InjectFault() {
    const int member = static_cast<int>(random_.Below(cluster_->size()));
    const int leader = cluster_->ServingLeader();
    // Most bugs need the leader.
    const int victim = leader >= 0 && random_.Chance(0.5) ? leader : member;
    const uint64_t kind = random_.Below(10);
    if (kind < 3) return;  // quiet phases find bugs too
    ++faults_;
    switch (kind) {
      case 3:
      case 4: {
        if (!calls_->Runs(victim)) return;
        const bool power = options_.power_loss && random_.Chance(0.5);
        Trace(StrCat(power ? "power loss of n" : "kill of n", victim));
        CrashMember(victim, power ? SimCluster::End::kPowerLoss : SimCluster::End::kKill);
        down_until_[victim] = scheduler_.now() + random_.Between(100, 4'000) * kMillisecond;
        return;
      }
      case 5:
        Trace(StrCat("n", victim, " is cut off"));
        cluster_->Isolate({victim});
        return;
      case 6: {
        dledger::LinkFaults faults;
        faults.drop = random_.Chance(0.5) ? 0.1 : 0;
        faults.duplicate = random_.Chance(0.5) ? 0.1 : 0;
        faults.reorder = random_.Chance(0.5) ? 0.1 : 0;
        faults.max_delay_nanos = random_.Between(0, 20) * kMillisecond;
        Trace("bad links");
        cluster_->network().SetFaults(faults);
        return;
      }
      case 7:
        Trace(StrCat("n", victim, " is stopped for a while"));
        cluster_->Pause(victim, random_.Between(100, 2'000) * kMillisecond);
        return;
      case 8:
        Trace(StrCat("the disk of n", victim, " hangs"));
        cluster_->PauseDisk(victim, random_.Between(50, 1'500) * kMillisecond);
        return;
      default:
        Trace("the network heals");
        cluster_->HealNetwork();
        return;
    }
  }

  void ReviveMembers(bool all) {
    for (int i = 0; i < cluster_->size(); ++i) {
      if (calls_->Runs(i)) {
        const absl::Status failure = cluster_->failure(i);
        if (!failure.ok()) {
          oracle_.Complain(StrCat("member ", i, " stopped by itself: ", Message(failure)));
        }
        continue;
      }
      if (!all && scheduler_.now() < down_until_[i]) continue;
      Trace(StrCat("n", i, " starts"));
      StartMember(i);
    }
  }

  // Members that applied equally far are equal. Looked at when it happens to be so.
  void CompareDumps() {
    std::map<LogIndex, std::pair<int, std::string>> dumps;
    for (const auto& [member, store] : calls_->stores()) {
      if (!random_.Chance(0.3) && !draining_) continue;
      auto dump = store->DumpState();
      if (!dump.ok()) continue;
      auto [known, is_new] = dumps.emplace(store->AppliedIndex(), std::make_pair(member, *dump));
      if (!is_new && known->second.second != *dump) {
        oracle_.Complain(StrCat("members ", known->second.first, " and ", member,
                                " differ at applied index ", known->first));
      }
    }
  }

  // ---- The end

  bool AllDrained() {
    const int leader = cluster_->ServingLeader();
    if (leader < 0) return false;
    const LogIndex applied = StoreOf(leader)->AppliedIndex();
    for (const auto& [member, store] : calls_->stores()) {
      if (store->AppliedIndex() != applied) return false;
    }
    const store::WaitingMessages& waiting = StoreOf(leader)->waiting();
    if (waiting.Timers().pending > 0 || waiting.OpenTransactions() > 0) return false;
    auto rows = StoreOf(leader)->GroupProgress(kGroup);
    if (!rows.ok() || rows->size() != kQueues) return false;
    for (const store::QueueProgress& row : *rows) {
      if (row.commit_offset != row.max_offset) return false;
    }
    return classic_->Drained(*StoreOf(leader)) && lite_->Drained() &&
           renewed_->Drained(*StoreOf(leader)) && priority_->Drained(*StoreOf(leader)) &&
           bystanders_->Drained(*StoreOf(leader)) && lives_->Drained(*StoreOf(leader));
  }

  void Converge() {
    Trace("faults stop");
    cluster_->HealNetwork();
    ReviveMembers(true);
    draining_ = true;
    classic_->Drain();
    moves_->Drain();
    lite_->Drain();
    waiting_->Drain();
    renewed_->Drain();
    priority_->Drain();
    bystanders_->Drain();
    lives_->Drain();
    if (cluster_->AwaitLeader(30 * kSecond) < 0) {
      oracle_.Complain("no leader within 30 s after all faults had stopped");
      return;
    }
    // Looked at now and then: reading all progress after each task would take most of the run.
    bool drained = false;
    for (int i = 0; i < 600 && !drained; ++i) {
      scheduler_.RunFor(200 * kMillisecond);
      drained = AllDrained();
    }
    if (!drained) {
      oracle_.Complain(
          "not all was consumed and applied within 120 s after all faults had stopped");
      return;
    }
    CompareDumps();
    ReadFinalQueues();
    for (const auto& [member, store] : calls_->stores()) {
      moves_->CheckEnd(member, *store);
      lite_->CheckEnd(member, *store);
    }
    lite_->CheckLog();
    priority_->CheckLog();
    moves_->LearnBefore(kGroup, *calls_->stores().begin()->second);
    oracle_.CheckEnd();
    CheckWaiting();
  }

  void CheckWaiting() {
    std::vector<int> members;
    for (const auto& [member, store] : calls_->stores()) {
      members.push_back(member);
      for (const char* topic : {kDelayTopic, kTransactionTopic}) {
        for (int q = 0; q < kQueues; ++q) ReadAll(member, topic, QueueId(q));
      }
      if (store->FindTopic(kWatchedDeadLetterTopic).ok())
        ReadAll(member, kWatchedDeadLetterTopic, QueueId(0));
    }
    waiting_oracle_.CheckEnd(members);
    for (const std::string& violation : waiting_oracle_.violations()) oracle_.Complain(violation);
  }

  // The bodies of a queue that have not expired.
  std::vector<std::string> ReadAll(int member, const char* topic, QueueId queue) {
    std::vector<std::string> bodies;
    const store::LogMessageStore& store = *StoreOf(member);
    const auto range = store.Range(topic, queue);
    if (!range.ok()) {
      oracle_.Complain(StrCat("member ", member, ": ", Message(range.status())));
      return bodies;
    }
    for (QueueOffset next = range->min; next < range->max;) {
      const auto records = store.Pull(topic, queue, next, 256, 1 << 20);
      if (!records.ok() || records->empty()) {
        oracle_.Complain(StrCat("member ", member, " topic ", topic, " queue ", queue,
                                " cannot be read at ", next, ": ", Message(records.status())));
        break;
      }
      for (const std::string& record : *records) bodies.push_back(BodyOf(record));
      next = next + static_cast<int64_t>(records->size());
    }
    return bodies;
  }

  void ReadFinalQueues() {
    for (const auto& [member, store] : calls_->stores()) {
      for (int q = 0; q < kQueues; ++q) {
        const auto range = store->Range(kTopic, QueueId(q));
        if (!range.ok()) continue;  // complained about by ReadAll
        oracle_.OnFinalQueue(member, QueueId(q), range->min, ReadAll(member, kTopic, QueueId(q)));
        classic_->CheckEnd(QueueId(q), range->min, range->max);
      }
    }
    for (int q = 0; q < kQueues; ++q) {
      const auto range = calls_->stores().begin()->second->Range(kTopic, QueueId(q));
      if (range.ok()) bystanders_->CheckEnd(QueueId(q), range->min);
      const auto mortal = calls_->stores().begin()->second->Range(kMortalTopic, QueueId(q));
      if (mortal.ok()) {
        lives_->CheckEnd(QueueId(q), mortal->min);
      } else {
        oracle_.Complain(StrCat("topic ", kMortalTopic, ": ", Message(mortal.status())));
      }
    }
  }

  SimulationResult Summary() {
    SimulationResult result;
    result.violations = oracle_.violations();
    result.acknowledged = oracle_.acknowledged();
    result.unknown = oracle_.unknown();
    result.waited = waiting_oracle_.acknowledged();
    result.recalled = waiting_oracle_.recalled();
    result.consumed = oracle_.acked();
    result.redelivered = oracle_.redelivered();
    result.dead_lettered = oracle_.dead_lettered();
    result.redriven = oracle_.redriven();
    result.expired = oracle_.expired();
    result.kept_delivered = kept_delivered_;
    result.faults = faults_;
    result.repeats = repeats_;
    result.batches = batches_;
    result.classic_consumed = classic_->consumed();
    result.classic_consumed_again = classic_->consumed_again();
    result.hand_overs = classic_->hand_overs();
    result.moves = moves_->moves();
    result.undos = moves_->undos();
    result.fenced = classic_->fenced();
    result.lite_consumed = lite_->consumed();
    result.lite_subscriptions = lite_->subscriptions();
    result.over_lite_quota = lite_->over_quota();
    result.lite_deleted = lite_->deleted();
    result.renewed = renewed_->renewed();
    result.outlasted = renewed_->outlasted();
    result.not_renewed = renewed_->not_renewed();
    result.bystanders_consumed = bystanders_->consumed();
    result.bystanders_spared = bystanders_->spared();
    result.bystanders_filtered = bystanders_->filtered();
    result.priority_consumed = priority_->consumed();
    result.overtaken = priority_->overtaken();
    result.topics_deleted = lives_->deleted();
    result.gone_unread = lives_->gone_unread();
    result.mortal_consumed = lives_->consumed();
    for (int i = 0; i < cluster_->size(); ++i) {
      if (!cluster_->running(i)) continue;
      result.terms =
          std::max(result.terms, static_cast<size_t>(cluster_->replica(i)->Status()->term.value()));
    }
    result.tasks = scheduler_.tasks_run();
    result.fingerprint = oracle_.fingerprint() ^ (scheduler_.tasks_run() << 1) ^
                         static_cast<uint64_t>(scheduler_.now());
    return result;
  }

  const SimulationOptions options_;
  SimScheduler scheduler_;
  Random random_;
  StoreOracle oracle_;
  WaitingOracle waiting_oracle_;
  std::set<std::pair<int, LogPosition>> shown_;
  LogIndex newest_;  // that any member applied
  std::string state_root_;
  std::unique_ptr<SimCluster> cluster_;
  std::unique_ptr<MemberCalls> calls_;
  std::unique_ptr<MoveOperator> moves_;
  std::unique_ptr<ClassicConsumers> classic_;
  std::unique_ptr<LiteClients> lite_;
  std::unique_ptr<WaitingClients> waiting_;
  std::unique_ptr<RenewedConsumers> renewed_;
  std::unique_ptr<PriorityClients> priority_;
  std::unique_ptr<Bystanders> bystanders_;
  std::unique_ptr<TopicLives> lives_;
  std::vector<int64_t> down_until_;
  bool creating_ = false;
  bool draining_ = false;
  bool orderly_ = false;  // each producer is a message group; the consumers are an orderly group
  int32_t retries_ = 16;  // of the consumers' group
  size_t faults_ = 0;
  size_t repeats_ = 0;  // sends that were answered as repetitions
  size_t batches_ = 0;  // answers to sends of several messages
  size_t kept_delivered_ = 0;
};

}  // namespace

SimulationResult RunSimulation(const SimulationOptions& options) {
  return Simulation(options).Run();
}

}  // namespace raftmq::sim
