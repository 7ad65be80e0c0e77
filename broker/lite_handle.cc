#include "broker/lite_handle.h"

#include "base/strings.h"
#include "store/names.h"

namespace raftmq::broker {

std::string LiteHandle(std::string_view store_handle, std::string_view lite_topic) {
  return StrCat(store_handle, "$", lite_topic);
}

std::string StoredHandle::ForClient(std::string_view store_handle) const {
  return lite_topic.empty() ? std::string(store_handle) : LiteHandle(store_handle, lite_topic);
}

StoredHandle StoredHandleOf(std::string_view topic, std::string_view handle) {
  const size_t dollar = handle.find('$');
  const std::string_view lite_topic =
      dollar == std::string_view::npos ? std::string_view() : handle.substr(dollar + 1);
  // One that no server made is left as it is: the store refuses it.
  if (!store::CheckLiteTopic(lite_topic).ok()) {
    return {std::string(topic), std::string(handle), ""};
  }
  return {store::LiteTopicName(topic, lite_topic), std::string(handle.substr(0, dollar)),
          std::string(lite_topic)};
}

}  // namespace raftmq::broker
