// What this project's gRPC clients show and expect when they connect: the broker to its group's
// other members, the client library and the tools to brokers. One function, so that they agree.
//
// Plain values and pure functions; any thread. gRPC stays out of this header.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/file_system.h"

namespace grpc {
class ChannelCredentials;
}

namespace raftmq {

struct TlsClientOptions {
  bool enable = false;  // false: plaintext
  // PEM: certificates that the server's must be signed by, and the host name must be in it then.
  // Empty: the server's certificate is not checked, since a broker's own default is self-signed;
  // the connection is encrypted, but whoever can redirect it can read it.
  std::string trust_pem;
  // PEM: shown to servers that ask for one (mutual TLS). Both or neither.
  std::string certificate_pem;
  std::string key_pem;

  bool operator==(const TlsClientOptions&) const = default;
};

// The options of files; an empty path leaves its field empty. Errors name the file;
// InvalidArgument: a certificate without its key, or the other way round.
absl::StatusOr<TlsClientOptions> ReadTlsClientOptions(FileSystem* fs, const std::string& trust_path,
                                                      const std::string& certificate_path,
                                                      const std::string& key_path);

std::shared_ptr<grpc::ChannelCredentials> MakeChannelCredentials(const TlsClientOptions& options);

}  // namespace raftmq
