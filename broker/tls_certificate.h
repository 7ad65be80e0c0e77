// The certificate of the client port. Official Java, Go, C++ and C# clients default to TLS without
// verification, so there is always one: made at start unless files are configured.
//
// Pure but for randomness (OpenSSL's own: keys must not come from a seed); any thread.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace raftmq::broker {

struct TlsCertificate {
  std::string private_key_pem;
  std::string certificate_pem;  // with its chain
};

// ECDSA P-256, valid for ten years, for `host` and "localhost".
absl::StatusOr<TlsCertificate> MakeSelfSignedCertificate(const std::string& host);

}  // namespace raftmq::broker
