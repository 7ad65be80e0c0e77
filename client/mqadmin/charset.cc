#include "client/mqadmin/charset.h"

#include <iconv.h>

#include <cerrno>
#include <memory>

#include "base/strings.h"

namespace raftmq::mqadmin {

absl::StatusOr<std::string> ToUtf8(const std::string& bytes, const std::string& charset) {
  const iconv_t opened = ::iconv_open("UTF-8", charset.c_str());
  if (opened == reinterpret_cast<iconv_t>(-1)) {
    return absl::InvalidArgumentError(StrCat("charset '", charset,
                                             "' is not known on this machine: expected a name "
                                             "that `iconv -l` lists, like UTF-8 or GBK"));
  }
  const auto close = [](void* converter) { ::iconv_close(converter); };
  const std::unique_ptr<void, decltype(close)> converter(opened, close);
  std::string text;
  char* from = const_cast<char*>(bytes.data());  // iconv's signature; it only reads
  size_t left = bytes.size();
  while (left > 0) {
    char buffer[1024];
    char* to = buffer;
    size_t room = sizeof(buffer);
    const size_t done = ::iconv(converter.get(), &from, &left, &to, &room);
    const int error = errno;
    text.append(buffer, to);
    if (done != static_cast<size_t>(-1) || error == E2BIG) continue;
    text += "\xEF\xBF\xBD";  // one byte that begins no character, or a character cut off
    ++from;
    --left;
  }
  return text;
}

}  // namespace raftmq::mqadmin
