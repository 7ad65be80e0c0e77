#include "store/position.h"

#include "glog/logging.h"

namespace raftmq::store {

const Lease* Position::Find(QueueOffset offset) const {
  auto it = inflight_.find(offset);
  return it == inflight_.end() ? nullptr : &it->second;
}

void Position::PutLease(QueueOffset offset, Lease lease) {
  auto [it, fresh] = inflight_.try_emplace(offset);
  if (!fresh && expiry_.erase({it->second.until_ms, offset}) == 0) ready_.erase(offset);
  expiry_.insert({lease.until_ms, offset});
  lease.stored |= it->second.stored;
  it->second = std::move(lease);
}

void Position::MoveLeaseEnd(QueueOffset offset, int64_t until_ms) {
  auto it = inflight_.find(offset);
  CHECK(it != inflight_.end()) << "offset " << offset << " is not in flight";
  if (expiry_.erase({it->second.until_ms, offset}) == 0) ready_.erase(offset);
  it->second.until_ms = until_ms;
  expiry_.insert({until_ms, offset});
}

void Position::EraseLease(QueueOffset offset) {
  auto it = inflight_.find(offset);
  CHECK(it != inflight_.end()) << "offset " << offset << " is not in flight";
  if (expiry_.erase({it->second.until_ms, offset}) == 0) ready_.erase(offset);
  inflight_.erase(it);
}

void Position::MarkStored(QueueOffset offset) {
  auto it = inflight_.find(offset);
  CHECK(it != inflight_.end()) << "offset " << offset << " is not in flight";
  it->second.stored = true;
}

void Position::AdvanceNext(QueueOffset next) {
  CHECK_GE(next, next_);
  next_ = next;
}

void Position::Settle(int64_t lease_now_ms) {
  while (!expiry_.empty() && expiry_.begin()->first <= lease_now_ms) {
    ready_.insert(expiry_.begin()->second);
    expiry_.erase(expiry_.begin());
  }
}

std::optional<int64_t> Position::EarliestRunningEnd() const {
  if (expiry_.empty()) return std::nullopt;
  return expiry_.begin()->first;
}

}  // namespace raftmq::store
