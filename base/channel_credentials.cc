#include "base/channel_credentials.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <utility>
#include <vector>

#include "base/strings.h"

namespace raftmq {

absl::StatusOr<TlsClientOptions> ReadTlsClientOptions(FileSystem* fs, const std::string& trust_path,
                                                      const std::string& certificate_path,
                                                      const std::string& key_path) {
  if (certificate_path.empty() != key_path.empty()) {
    return absl::InvalidArgumentError(
        "a TLS client certificate and its key must be given together");
  }
  TlsClientOptions options;
  options.enable = true;
  if (!trust_path.empty()) {
    RAFTMQ_ASSIGN_OR_RETURN(options.trust_pem, ReadFile(fs, trust_path));
  }
  if (!key_path.empty()) {
    RAFTMQ_ASSIGN_OR_RETURN(options.certificate_pem, ReadFile(fs, certificate_path));
    RAFTMQ_ASSIGN_OR_RETURN(options.key_pem, ReadFile(fs, key_path));
  }
  return options;
}

std::shared_ptr<grpc::ChannelCredentials> MakeChannelCredentials(const TlsClientOptions& options) {
  namespace tls = grpc::experimental;
  if (!options.enable) return grpc::InsecureChannelCredentials();
  tls::TlsChannelCredentialsOptions credentials;
  const bool verify = !options.trust_pem.empty();
  std::vector<tls::IdentityKeyCertPair> identity;
  if (!options.key_pem.empty()) identity.push_back({options.key_pem, options.certificate_pem});
  if (verify || !identity.empty()) {
    credentials.set_certificate_provider(
        std::make_shared<tls::StaticDataCertificateProvider>(options.trust_pem, identity));
    if (verify) credentials.watch_root_certs();
    if (!identity.empty()) credentials.watch_identity_key_cert_pairs();
  }
  if (!verify) {
    credentials.set_verify_server_certs(false);
    credentials.set_check_call_host(false);
    credentials.set_certificate_verifier(std::make_shared<tls::NoOpCertificateVerifier>());
  }
  return tls::TlsCredentials(credentials);
}

}  // namespace raftmq
