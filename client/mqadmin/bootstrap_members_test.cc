#include "client/mqadmin/bootstrap_members.h"

#include <grpcpp/grpcpp.h>

#include <memory>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/strings.h"
#include "gtest/gtest.h"
#include "raftmq/v1/admin.grpc.pb.h"

namespace raftmq::mqadmin {
namespace {

namespace pb = ::raftmq::v1;

// Members that answer only when all of them were asked.
struct Meeting {
  const int wanted;
  absl::Mutex mutex;
  int came = 0;

  bool Wait() {
    absl::MutexLock lock(&mutex);
    ++came;
    const auto all = [this] { return came == wanted; };
    return mutex.AwaitWithTimeout(absl::Condition(&all), absl::Seconds(10));
  }
};

class Member final : public pb::Admin::Service {
 public:
  Member(Meeting* meeting, grpc::Status answer) : meeting_(meeting), answer_(std::move(answer)) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }

  grpc::Status Bootstrap(grpc::ServerContext*, const pb::BootstrapRequest* request,
                         pb::BootstrapResponse* response) override {
    if (!meeting_->Wait()) return {grpc::StatusCode::ABORTED, "the others were not asked"};
    asked_ = *request;
    response->set_already_bootstrapped(true);
    return answer_;
  }

  std::string address() const { return StrCat("127.0.0.1:", port_); }
  const pb::BootstrapRequest& asked() const { return asked_; }

 private:
  Meeting* const meeting_;
  const grpc::Status answer_;
  int port_ = 0;
  pb::BootstrapRequest asked_;
  std::unique_ptr<grpc::Server> server_;
};

TEST(BootstrapMembers, AllAreGivenTheEntryAtTheSameTime) {
  Meeting meeting{3};
  Member members[] = {{&meeting, grpc::Status::OK},
                      {&meeting, {grpc::StatusCode::FAILED_PRECONDITION, "another group"}},
                      {&meeting, grpc::Status::OK}};
  std::vector<std::string> addresses;
  for (const Member& member : members) addresses.push_back(member.address());
  pb::BootstrapRequest request;
  request.set_group("broker-a");
  const auto outcomes = BootstrapMembers(addresses, request, 20'000, {});
  ASSERT_EQ(outcomes.size(), 3u);
  EXPECT_TRUE(outcomes[0].status.ok()) << outcomes[0].status;
  EXPECT_TRUE(outcomes[0].already);
  EXPECT_EQ(outcomes[1].status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(outcomes[2].status.ok()) << outcomes[2].status;
  for (const Member& member : members) EXPECT_EQ(member.asked().group(), "broker-a");
}

}  // namespace
}  // namespace raftmq::mqadmin
