#include "base/gzip.h"

#include <zlib.h>

#include <algorithm>
#include <limits>

#include "base/strings.h"
#include "glog/logging.h"

namespace raftmq {
namespace {

// Added to zlib's window bits: write gzip; read gzip or zlib, whichever it is.
constexpr int kGzip = 16;
constexpr int kGzipOrZlib = 32;
constexpr int kMemoryLevel = 8;  // zlib's default
constexpr size_t kFirstRoom = 16 << 10;

void SetInput(std::string_view bytes, z_stream* stream) {
  CHECK_LE(bytes.size(), std::numeric_limits<uInt>::max());
  // zlib's API is older than const.
  stream->next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream->avail_in = static_cast<uInt>(bytes.size());
}

void SetRoom(std::string* out, size_t used, z_stream* stream) {
  stream->next_out = reinterpret_cast<Bytef*>(out->data() + used);
  stream->avail_out = static_cast<uInt>(out->size() - used);
}

}  // namespace

std::string GzipCompress(std::string_view body, int level) {
  z_stream stream{};
  CHECK_EQ(deflateInit2(&stream, std::clamp(level, 1, 9), Z_DEFLATED, MAX_WBITS + kGzip,
                        kMemoryLevel, Z_DEFAULT_STRATEGY),
           Z_OK);
  std::string out(deflateBound(&stream, body.size()), '\0');
  SetInput(body, &stream);
  SetRoom(&out, 0, &stream);
  CHECK_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

absl::StatusOr<std::string> GzipDecompress(std::string_view compressed, int64_t max_bytes) {
  z_stream stream{};
  CHECK_EQ(inflateInit2(&stream, MAX_WBITS + kGzipOrZlib), Z_OK);
  SetInput(compressed, &stream);
  std::string out;
  int result = Z_OK;
  while (result == Z_OK && static_cast<int64_t>(stream.total_out) <= max_bytes) {
    const size_t used = stream.total_out;
    out.resize(std::max(kFirstRoom, used * 2));
    SetRoom(&out, used, &stream);
    result = inflate(&stream, Z_NO_FLUSH);
  }
  const auto size = static_cast<int64_t>(stream.total_out);
  inflateEnd(&stream);
  if (size > max_bytes) {
    return absl::InvalidArgumentError(StrCat("a compressed body of ", compressed.size(),
                                             " bytes becomes more than ", max_bytes, " bytes"));
  }
  if (result != Z_STREAM_END) {
    return absl::InvalidArgumentError(StrCat("a body of ", compressed.size(),
                                             " bytes is marked as compressed, but is not gzip or "
                                             "zlib data, or not all of it"));
  }
  out.resize(static_cast<size_t>(size));
  return out;
}

}  // namespace raftmq
