#include "client/consume_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"

namespace raftmq::client {
namespace {

TEST(ConsumePoolTest, WhatWaitsIsDoneByThreadsThatAreAdded) {
  ConsumePool pool(1);
  absl::Notification let_go;
  absl::BlockingCounter in_hand(3);
  for (int i = 0; i < 3; ++i) {
    pool.Submit([&] {
      in_hand.DecrementCount();
      let_go.WaitForNotification();
    });
  }
  pool.Resize(3);
  in_hand.Wait();  // all at once
  let_go.Notify();
}

TEST(ConsumePoolTest, ThreadsThatAreTooManyGoAndNothingThatWaitsIsLost) {
  std::atomic<int> done{0};
  {
    ConsumePool pool(4);
    absl::Notification let_go;
    absl::BlockingCounter in_hand(4);
    for (int i = 0; i < 4; ++i) {
      pool.Submit([&] {
        in_hand.DecrementCount();
        let_go.WaitForNotification();
        ++done;
      });
    }
    in_hand.Wait();
    for (int i = 0; i < 20; ++i) pool.Submit([&] { ++done; });
    pool.Resize(1);
    let_go.Notify();
    while (pool.running() > 1) std::this_thread::yield();
    // The one that is left takes all of these.
    absl::Mutex mu;
    std::set<std::thread::id> threads;
    absl::BlockingCounter ran(10);
    for (int i = 0; i < 10; ++i) {
      pool.Submit([&] {
        absl::MutexLock lock(&mu);
        threads.insert(std::this_thread::get_id());
        ran.DecrementCount();
      });
    }
    ran.Wait();
    EXPECT_EQ(threads.size(), 1u);
    pool.Resize(2);
  }
  EXPECT_EQ(done, 24);
}

}  // namespace
}  // namespace raftmq::client
