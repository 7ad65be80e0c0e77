#include "broker/renewals.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "base/testing/fake_clock.h"
#include "base/testing/manual_task_runner.h"
#include "store/reason.h"

namespace raftmq::broker {
namespace {

class RenewalsTest : public testing::Test {
 protected:
  void Add(const std::string& handle, const std::string& client = "c") {
    renewals_.Add(Renewals::Lease{client, "g", "orders", handle, "id"}, 60'000);
  }
  void RunForSeconds(int64_t seconds) { timer_.RunFor(seconds * 1'000'000'000); }

  FakeClock clock_;
  ManualTaskRunner timer_{&clock_};
  std::vector<std::string> extended_;
  absl::Status answer_;
  std::string next_handle_;  // what a renewal answers; "": the one it was asked with
  std::set<std::string> dead_;
  Renewals renewals_{Renewals::Options{.max_leases = 3}, &clock_, &timer_,
                     [this](const Renewals::Lease& lease, int64_t extend_ms, Renewals::Done done) {
                       EXPECT_EQ(extend_ms, 60'000);
                       extended_.push_back(lease.handle);
                       if (answer_.ok()) {
                         done(next_handle_.empty() ? lease.handle : next_handle_);
                       } else {
                         done(answer_);
                       }
                     },
                     [this](const std::string& client) { return dead_.count(client) == 0; }};
};

TEST_F(RenewalsTest, ALeaseIsRenewedBeforeItEndsAndAgain) {
  Add("h");
  RunForSeconds(39);
  EXPECT_TRUE(extended_.empty());
  RunForSeconds(3);
  EXPECT_EQ(extended_.size(), 1);
  RunForSeconds(120);
  EXPECT_EQ(extended_.size(), 3 + 1) << "every 40 to 41 seconds";
}

TEST_F(RenewalsTest, ShorterLeasesAreRenewedMoreOftenAndForAsLongAsTheyWereGranted) {
  std::vector<int64_t> extended_by;
  bool alive = true;
  Renewals renewals(
      Renewals::Options::ForLeasesOf(12'000), &clock_, &timer_,
      [&](const Renewals::Lease& lease, int64_t extend_ms, Renewals::Done done) {
        extended_by.push_back(extend_ms);
        done(lease.handle);
      },
      [&](const std::string&) { return alive; });
  renewals.Add(Renewals::Lease{"c", "g", "orders", "h", "id"}, 12'000);
  RunForSeconds(7);
  EXPECT_TRUE(extended_by.empty());
  RunForSeconds(20);
  EXPECT_EQ(extended_by, (std::vector<int64_t>{12'000, 12'000, 12'000})) << "every 8 to 9 seconds";
  alive = false;
  RunForSeconds(9);
  EXPECT_EQ(extended_by.size(), 3);
  EXPECT_EQ(renewals.size(), 0);
}

TEST_F(RenewalsTest, AnAckedMessageIsNotRenewed) {
  Add("h");
  renewals_.Remove("h");
  RunForSeconds(100);
  EXPECT_TRUE(extended_.empty());
  EXPECT_EQ(renewals_.size(), 0);
}

TEST_F(RenewalsTest, EachRenewalUsesTheHandleOfTheLastAndTheFirstOneStillEndsThem) {
  next_handle_ = "h2";
  Add("h1");
  RunForSeconds(42);
  RunForSeconds(42);
  EXPECT_EQ(extended_, (std::vector<std::string>{"h1", "h2"}));
  renewals_.Remove("h1");
  EXPECT_EQ(renewals_.size(), 0);
}

TEST_F(RenewalsTest, ARefusedHandleEndsTheRenewals) {
  answer_ = store::Refuse(store::Reason::kInvalidReceiptHandle, "acked elsewhere");
  Add("h");
  RunForSeconds(100);
  EXPECT_EQ(extended_.size(), 1);
  EXPECT_EQ(renewals_.size(), 0);
}

TEST_F(RenewalsTest, AFailedRenewalIsTriedAgainUntilTheLeaseIsOver) {
  answer_ = absl::UnavailableError("no leader");
  Add("h");
  RunForSeconds(45);
  EXPECT_GE(extended_.size(), 4);
  answer_ = absl::OkStatus();
  RunForSeconds(2);
  const size_t before = extended_.size();
  RunForSeconds(30);
  EXPECT_EQ(extended_.size(), before) << "renewed once, it rests";
  answer_ = absl::UnavailableError("no leader");
  RunForSeconds(200);
  EXPECT_EQ(renewals_.size(), 0) << "its time is over: it is given out again";
}

TEST_F(RenewalsTest, ASilentClientsMessagesAreNotRenewed) {
  Add("h", "dead");
  Add("i", "alive");
  dead_.insert("dead");
  RunForSeconds(45);
  EXPECT_EQ(extended_, std::vector<std::string>{"i"});
  EXPECT_EQ(renewals_.size(), 1);
}

TEST_F(RenewalsTest, AClientThatSaysGoodbyeTakesItsRenewalsAlong) {
  Add("h", "a");
  Add("i", "b");
  renewals_.RemoveClient("a");
  EXPECT_EQ(renewals_.size(), 1);
}

TEST_F(RenewalsTest, AMessagesFirstHandleIsFoundByItsNames) {
  next_handle_ = "h2";
  Add("h1", "a");
  RunForSeconds(42);
  EXPECT_EQ(renewals_.FindHandle("a", "g", "orders", "id"), "h1");
  EXPECT_EQ(renewals_.FindHandle("b", "g", "orders", "id"), "");
  EXPECT_EQ(renewals_.FindHandle("a", "g", "orders", "other"), "");
  renewals_.Remove("h1");
  EXPECT_EQ(renewals_.FindHandle("a", "g", "orders", "id"), "");
}

TEST_F(RenewalsTest, ThreeHoursAreTheEnd) {
  Add("h");
  RunForSeconds(3 * 3600 + 60);
  EXPECT_EQ(renewals_.size(), 0);
}

TEST_F(RenewalsTest, OverTheBoundNothingIsRenewed) {
  for (const char* handle : {"a", "b", "c", "d"}) Add(handle);
  EXPECT_EQ(renewals_.size(), 3);
}

}  // namespace
}  // namespace raftmq::broker
