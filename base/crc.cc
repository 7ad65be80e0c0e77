#include "base/crc.h"

#include <isa-l/crc.h>

namespace raftmq {

uint32_t Crc32c(std::string_view bytes, uint32_t crc) {
  // ISA-L's crc32_iscsi takes and returns the raw register, without the two inversions.
  auto* data = reinterpret_cast<unsigned char*>(const_cast<char*>(bytes.data()));
  return ~crc32_iscsi(data, static_cast<int>(bytes.size()), ~crc);
}

uint32_t Crc32(std::string_view bytes, uint32_t crc) {
  return crc32_gzip_refl(crc, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
}

}  // namespace raftmq
