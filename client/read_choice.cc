#include "client/read_choice.h"

namespace raftmq::client {

bool ReadChoice::Avoided(const std::string& address) const {
  const auto it = avoid_until_ms_.find(address);
  return it != avoid_until_ms_.end() && clock_->MonotonicMillis() < it->second;
}

std::string ReadChoice::FirstOfPull(ReadFrom from, const MessageQueue& queue,
                                    const std::vector<std::string>& addresses) const {
  {
    absl::MutexLock lock(&mu_);
    const auto it = suggested_.find(KeyOf(queue));
    if (it != suggested_.end() && !Avoided(it->second)) return it->second;
  }
  return First(from, queue.queue, addresses);
}

void ReadChoice::Suggest(const MessageQueue& queue, const std::string& address) {
  absl::MutexLock lock(&mu_);
  if (address.empty()) {
    suggested_.erase(KeyOf(queue));
  } else {
    suggested_[KeyOf(queue)] = address;
  }
}

std::string ReadChoice::First(ReadFrom from, QueueId queue,
                              const std::vector<std::string>& addresses) const {
  if (from == ReadFrom::kLeader) return addresses[0];
  absl::MutexLock lock(&mu_);
  const size_t left_out = from == ReadFrom::kFollower ? 1 : 0;
  const size_t count = addresses.size() - left_out;
  for (size_t i = 0; i < count; ++i) {
    const uint64_t turn = first_ + static_cast<uint64_t>(queue.value()) + i;
    const std::string& address = addresses[left_out + turn % count];
    if (!Avoided(address)) return address;
  }
  return addresses[0];
}

void ReadChoice::Avoid(const std::string& address) {
  absl::MutexLock lock(&mu_);
  const int64_t now_ms = clock_->MonotonicMillis();
  std::erase_if(avoid_until_ms_, [&](const auto& entry) { return entry.second <= now_ms; });
  avoid_until_ms_[address] = now_ms + kAvoidMs;
}

}  // namespace raftmq::client
