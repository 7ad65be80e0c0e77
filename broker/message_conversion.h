// Messages between the protocol's form and the store's.
//
// Pure functions; any thread. ToMessage hashes the body (MD5): not for the replica thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "apache/rocketmq/v2/service.pb.h"
#include "broker/call.h"
#include "broker/client_language.h"
#include "store/message_record.h"
#include "store/model.h"

namespace raftmq::broker {

namespace v2 = ::apache::rocketmq::v2;

// REQUIRES: CheckSend passed. Missing born time and host are taken from `now_ms` and the caller.
store::NewMessage ToNewMessage(const v2::Message& message, const CallContext& context,
                               int64_t now_ms);

// A delivered message with all that the official clients need: digest over the body as transmitted
// in upper-case hexadecimal, encoding, born time, receipt handle, attempt. DataLoss: the record is
// damaged.
absl::Status ToMessage(const store::Delivery& delivery, v2::Message* message);

// The same without a lease: for pulls, and for producers that are asked about a half message, which
// is shown as one of its real topic.
absl::Status ToMessage(std::string_view record, v2::Message* message);

// For a client that does not decompress (docs/clients.md: Rust's): a body that travels as gzip
// comes as it was sent, with a digest of that. A body that cannot be read, or of more than
// kMaxDecompressedBody, stays as it is and says so (`body_encoding`).
inline constexpr int64_t kMaxDecompressedBody = (4 << 20) - (64 << 10);  // tonic takes 4 MiB in all
void DecompressFor(ClientLanguage language, v2::Message* message);

// MD5 in upper-case hexadecimal.
std::string Md5UpperHex(std::string_view bytes);

v2::MessageType ToMessageType(store::TopicType type);

}  // namespace raftmq::broker
