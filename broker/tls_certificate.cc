#include "broker/tls_certificate.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>

#include "base/strings.h"

namespace raftmq::broker {
namespace {

template <auto Free>
struct Freer {
  template <typename T>
  void operator()(T* p) const {
    Free(p);
  }
};
using KeyPtr = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;
using CertPtr = std::unique_ptr<X509, Freer<X509_free>>;
using BioPtr = std::unique_ptr<BIO, Freer<BIO_free_all>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, Freer<X509_EXTENSION_free>>;

absl::Status OpenSslError(std::string_view what) {
  char text[256];
  ERR_error_string_n(ERR_get_error(), text, sizeof(text));
  return absl::InternalError(StrCat("OpenSSL: ", what, ": ", text));
}

std::string AlternativeNames(const std::string& host) {
  std::string names = "DNS:localhost,IP:127.0.0.1";
  unsigned char binary[sizeof(in6_addr)];
  const bool numeric = inet_pton(AF_INET, host.c_str(), binary) == 1 ||
                       inet_pton(AF_INET6, host.c_str(), binary) == 1;
  // Nothing but a host name may get into OpenSSL's extension syntax.
  const bool plain =
      host.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:") ==
      std::string::npos;
  if (host.empty() || !plain) return names;
  return StrCat(names, numeric ? ",IP:" : ",DNS:", host);
}

absl::Status FillCertificate(const std::string& host, EVP_PKEY* key, X509* cert) {
  constexpr long kTenYears = 10L * 365 * 86'400;
  unsigned char serial[16];
  if (RAND_bytes(serial, sizeof(serial)) != 1) return OpenSslError("serial number");
  serial[0] &= 0x7f;
  const std::unique_ptr<BIGNUM, Freer<BN_free>> number(BN_bin2bn(serial, sizeof(serial), nullptr));
  if (number == nullptr ||
      BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(cert)) == nullptr) {
    return OpenSslError("serial number");
  }
  X509_set_version(cert, 2);
  X509_gmtime_adj(X509_getm_notBefore(cert), -86'400);
  X509_gmtime_adj(X509_getm_notAfter(cert), kTenYears);
  X509_set_pubkey(cert, key);
  X509_NAME* name = X509_get_subject_name(cert);
  X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("RaftMQ self-signed"), -1, -1,
                             0);
  X509_set_issuer_name(cert, name);
  const ExtensionPtr names(
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, AlternativeNames(host).c_str()));
  if (names == nullptr || X509_add_ext(cert, names.get(), -1) != 1) {
    return OpenSslError("subject names");
  }
  if (X509_sign(cert, key, EVP_sha256()) == 0) return OpenSslError("signing");
  return absl::OkStatus();
}

std::string Text(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<size_t>(size));
}

}  // namespace

absl::StatusOr<TlsCertificate> MakeSelfSignedCertificate(const std::string& host) {
  const KeyPtr key(EVP_EC_gen("P-256"));
  const CertPtr cert(X509_new());
  if (key == nullptr || cert == nullptr) return OpenSslError("making a key");
  RAFTMQ_RETURN_IF_ERROR(FillCertificate(host, key.get(), cert.get()));
  const BioPtr key_text(BIO_new(BIO_s_mem()));
  const BioPtr cert_text(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_PrivateKey(key_text.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) !=
          1 ||
      PEM_write_bio_X509(cert_text.get(), cert.get()) != 1) {
    return OpenSslError("writing PEM");
  }
  return TlsCertificate{Text(key_text.get()), Text(cert_text.get())};
}

}  // namespace raftmq::broker
