#include <utility>

#include "client/grpc_standing_streams.h"

namespace raftmq::client {
namespace {

constexpr int64_t kLookNanos = 300'000'000;
constexpr int64_t kStreamMs = 24 * 3'600'000;

}  // namespace

StandingStreams::StandingStreams(ClientInstance* instance, Open open)
    : instance_(instance), open_(std::move(open)) {}

StandingStreams::~StandingStreams() { Close(); }

void StandingStreams::Add(const std::string& topic) {
  bool first = false;
  {
    absl::MutexLock lock(&mu_);
    first = topics_.empty();
    if (closed_ || !topics_.insert(topic).second) return;
  }
  if (first) {
    LookEvery();
  } else {
    Look();
  }
}

void StandingStreams::Reopen() {
  absl::MutexLock lock(&mu_);
  for (const auto& [address, context] : streams_) context->TryCancel();
}

void StandingStreams::Close() {
  absl::MutexLock lock(&mu_);
  closed_ = true;
  for (const auto& [address, context] : streams_) context->TryCancel();
  const auto over = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return streams_.empty(); };
  mu_.Await(absl::Condition(&over));
}

void StandingStreams::LookEvery() {
  {
    absl::MutexLock lock(&mu_);
    if (closed_) return;
  }
  Look();
  instance_->timers()->RunAfter(kLookNanos, [this] { LookEvery(); });
}

void StandingStreams::Look() {
  std::set<std::string> topics;
  {
    absl::MutexLock lock(&mu_);
    if (closed_) return;
    topics = topics_;
  }
  for (const std::string& topic : topics) {
    instance_->routes()->Find(topic, [this](const absl::StatusOr<RouteCache::Route>& route) {
      if (!route.ok()) return;  // asked again at the next look
      for (const BrokerRoute& broker : (*route)->brokers) {
        for (const std::string& address : broker.addresses) OpenAt(address);
      }
    });
  }
}

void StandingStreams::OpenAt(const std::string& address) {
  std::shared_ptr<grpc::ClientContext> context;
  {
    absl::MutexLock lock(&mu_);
    auto& stream = streams_[address];
    if (closed_ || stream != nullptr) {
      if (stream == nullptr) streams_.erase(address);
      return;
    }
    stream = context = std::make_shared<grpc::ClientContext>();
    instance_->Prepare(context.get(), kStreamMs);
  }
  open_(address, context.get(), [this, address, context](const grpc::Status&) {
    absl::MutexLock lock(&mu_);
    streams_.erase(address);
  });
}

}  // namespace raftmq::client
