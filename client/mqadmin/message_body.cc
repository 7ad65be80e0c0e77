#include "client/mqadmin/message_body.h"

#include <cstdint>
#include <utility>

#include "base/gzip.h"
#include "store/message_record.h"

namespace raftmq::mqadmin {

std::string BodyOf(const raftmq::v1::StoredMessage& message) {
  constexpr int64_t kMaxBody = 64 << 20;
  if ((message.sys_flag() & store::sys_flag::kCompressed) == 0) return message.body();
  auto body = GzipDecompress(message.body(), kMaxBody);
  return body.ok() ? *std::move(body) : message.body();
}

}  // namespace raftmq::mqadmin
