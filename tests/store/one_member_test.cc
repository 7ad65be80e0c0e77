// The store on a real replica with real threads and a real disk: many callers at once. Made for
// ThreadSanitizer (--config=tsan); the timing it prints is a rough figure, not a benchmark.

#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/event_loop.h"
#include "base/file_system.h"
#include "base/random.h"
#include "base/strings.h"
#include "base/thread.h"
#include "dledger/open.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "store/log_message_store.h"
#include "store/message_record.h"

namespace raftmq::store {
namespace {

// A process: threads, store, replica.
class Member {
 public:
  explicit Member(const std::string& dir) : dir_(dir) {
    Random random(7);
    dledger::StandaloneDirectory standalone;
    standalone.segment_size = 4 << 20;
    CHECK(dledger::PrepareStandalone(PosixFileSystem(), dir_, standalone, random).ok());
    LogMessageStoreOptions options;
    options.dir = StrCat(dir_, "/derived");
    options.flush_interval_ms = 50;
    options.flush_bytes = 256 << 10;
    auto store = LogMessageStore::Open(options, PosixFileSystem(), SystemClock(), &read_, &flush_);
    CHECK(store.ok()) << store.status();
    store_ = *std::move(store);
    dledger::ReplicaDeps deps;
    deps.fs = PosixFileSystem();
    deps.clock = SystemClock();
    deps.replica = &replica_loop_;
    deps.writer = &writer_;
    deps.background = &background_;
    deps.apply = &apply_;
    deps.state_machine = store_.get();
    auto replica = dledger::OpenReplica(dir_, dledger::ReplicaOptions(), std::move(deps));
    CHECK(replica.ok()) << replica.status();
    replica_ = *std::move(replica);
    store_->Attach(replica_.get());
    replica_->Start();
    while (!replica_->Status()->serving) std::this_thread::yield();
  }

  ~Member() {
    absl::Notification stopped;
    replica_->Stop([&](absl::Status status) {
      CHECK(status.ok()) << status;
      stopped.Notify();
    });
    stopped.WaitForNotification();
    for (EventLoop* loop : {&replica_loop_, &writer_, &background_, &apply_, &read_, &flush_}) {
      loop->Stop();
    }
    replica_.reset();
    CHECK(store_->Close().ok());
  }

  LogMessageStore& store() { return *store_; }

 private:
  const std::string dir_;
  EventLoop replica_loop_{"replica"};
  EventLoop writer_{"log-writer"};
  EventLoop background_{"background"};
  EventLoop apply_{"apply"};
  EventLoop read_{"read"};
  EventLoop flush_{"flush"};
  std::unique_ptr<LogMessageStore> store_;
  std::unique_ptr<dledger::Replica> replica_;
};

template <typename Answer, typename Start>
Answer Wait(Start&& start) {
  absl::Notification answered;
  std::optional<Answer> answer;
  start([&](Answer value) {
    answer.emplace(std::move(value));
    answered.Notify();
  });
  answered.WaitForNotification();
  return *std::move(answer);
}

class OneMember : public testing::Test {
 protected:
  OneMember() : dir_(StrCat(testing::TempDir(), "/one_member")) {
    CHECK(PosixFileSystem()->RemoveAll(dir_).ok());
  }

  static void MakeTopic(LogMessageStore& store, const std::string& name, int queues) {
    TopicConfig topic;
    topic.name = name;
    topic.read_queues = topic.write_queues = queues;
    const auto status = Wait<absl::Status>([&](auto done) { store.UpdateTopic(topic, done); });
    ASSERT_TRUE(status.ok()) << status;
  }

  static absl::StatusOr<std::vector<SendResult>> Send(LogMessageStore& store,
                                                      const std::string& topic,
                                                      std::vector<std::string> bodies) {
    std::vector<NewMessage> messages;
    for (std::string& body : bodies) {
      NewMessage message;
      message.topic = topic;
      message.message_id = body.substr(0, 30);
      message.body = std::move(body);
      message.keys = {"key"};
      messages.push_back(std::move(message));
    }
    return Wait<absl::StatusOr<std::vector<SendResult>>>([&](auto done) {
      store.Send(std::move(messages), dledger::AckLevel::kMajorityDisk, done);
    });
  }

  static absl::StatusOr<ReceiveResult> Receive(LogMessageStore& store, const std::string& group,
                                               const std::string& topic) {
    ReceiveRequest request;
    request.group = group;
    request.topic = topic;
    request.client_id = "tester";
    return Wait<absl::StatusOr<ReceiveResult>>(
        [&](auto done) { store.Receive(std::move(request), done); });
  }

  const std::string dir_;
};

TEST_F(OneMember, SendsReceivesAndAcksAcrossARestart) {
  {
    Member member(dir_);
    MakeTopic(member.store(), "T", 1);
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(Send(member.store(), "T", {StrCat("m", i)}).ok());
    // What is acknowledged may not be applied yet; what is applied is given out.
    std::vector<std::string> handles;
    while (handles.size() < 10) {
      const auto result = Receive(member.store(), "G", "T");
      ASSERT_TRUE(result.ok()) << result.status();
      for (const Delivery& delivery : result->deliveries) {
        EXPECT_EQ(delivery.offset, QueueOffset(static_cast<int64_t>(handles.size())));
        handles.push_back(delivery.receipt_handle);
      }
    }
    handles.pop_back();
    const auto statuses = Wait<std::vector<absl::Status>>(
        [&](auto done) { member.store().Ack("G", "T", handles, done); });
    for (const absl::Status& status : statuses) EXPECT_TRUE(status.ok()) << status;
  }
  Member again(dir_);
  EXPECT_EQ(again.store().Range("T", QueueId(0))->max, QueueOffset(10));
  const auto progress = again.store().GroupProgress("G");
  ASSERT_TRUE(progress.ok());
  EXPECT_EQ(progress->at(0).commit_offset, QueueOffset(9));
  EXPECT_EQ(progress->at(0).inflight, 1);
  EXPECT_TRUE(Receive(again.store(), "G", "T")->deliveries.empty()) << "the lease still runs";
}

TEST_F(OneMember, ServesManyThreadsAtOnce) {
  constexpr int kProducers = 3;
  constexpr int kConsumers = 3;
  constexpr int kBatches = 60;
  constexpr int kBatch = 5;
  constexpr size_t kTotal = size_t{kProducers} * kBatches * kBatch;
  Member member(dir_);
  LogMessageStore& store = member.store();
  MakeTopic(store, "T", 4);

  std::vector<std::thread> threads;
  for (int p = 0; p < kProducers; ++p) {
    threads.push_back(StartThread("producer", [&, p] {
      for (int b = 0; b < kBatches; ++b) {
        std::vector<std::string> bodies;
        for (int i = 0; i < kBatch; ++i) bodies.push_back(StrCat("p", p, "-", b, "-", i));
        const auto results = Send(store, "T", std::move(bodies));
        CHECK(results.ok()) << results.status();
      }
    }));
  }
  absl::Mutex mutex;
  std::set<std::string> received;
  std::atomic<bool> done{false};
  for (int c = 0; c < kConsumers; ++c) {
    threads.push_back(StartThread("consumer", [&] {
      while (!done) {
        auto result = Receive(store, "G", "T");
        CHECK(result.ok()) << result.status();
        std::vector<std::string> handles;
        for (const Delivery& delivery : result->deliveries) {
          handles.push_back(delivery.receipt_handle);
          absl::MutexLock lock(&mutex);
          const std::string body(ParseRecord(delivery.record)->body);
          CHECK(received.insert(body).second) << body << " came twice";
          if (received.size() == kTotal) done = true;
        }
        if (handles.empty()) continue;
        for (const absl::Status& status : Wait<std::vector<absl::Status>>(
                 [&](auto cb) { store.Ack("G", "T", std::move(handles), cb); })) {
          CHECK(status.ok()) << status;
        }
      }
    }));
  }
  // Readers, and an administrator, beside them.
  threads.push_back(StartThread("reader", [&] {
    while (!done) {
      for (int q = 0; q < 4; ++q) {
        const auto range = store.Range("T", QueueId(q));
        CHECK(range.ok());
        if (range->max == QueueOffset(0)) continue;
        CHECK(store.Pull("T", QueueId(q), range->max - 1, 1, 1 << 20).ok());
        CHECK(store.OffsetByTime("T", QueueId(q), range->last_store_ms).ok());
      }
      CHECK(store.QueryByKey("T", "key", 0, INT64_MAX, 5).ok());
      store.GroupProgress("G").status().IgnoreError();  // not there at first
      CHECK(store.DumpState().ok());
    }
  }));
  threads.push_back(StartThread("admin", [&] {
    for (int i = 0; !done; ++i) {
      const std::string name = StrCat("U", i % 3);
      MakeTopic(store, name, 2);
      CHECK(Send(store, name, {"x"}).ok());
      const auto deleted = Wait<absl::Status>([&](auto cb) { store.DeleteTopic(name, cb); });
      CHECK(deleted.ok()) << deleted;
    }
  }));
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(received.size(), kTotal);
  const auto progress = store.GroupProgress("G");
  ASSERT_TRUE(progress.ok());
  for (const QueueProgress& row : *progress) {
    EXPECT_EQ(row.next_offset, row.max_offset);
  }
}

}  // namespace
}  // namespace raftmq::store
