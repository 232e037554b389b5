// What oneDNN was made ready for, kept for the next call.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>

namespace cnnlab {

// Bounded: what is unused for longest goes first. The lock is held for a look-up, never while a
// value is made or used; two threads that miss at once both make it, and one of the two is kept.
template <typename Value>
class LruCache {
 public:
  static constexpr size_t kLimit = 512;

  std::shared_ptr<const Value> Get(const std::string& key, const std::function<Value()>& make) {
    if (auto found = Find(key)) return found;
    auto made = std::make_shared<const Value>(make());
    std::lock_guard lock(mutex_);
    if (auto at = places_.find(key); at != places_.end()) return at->second->second;
    entries_.emplace_front(key, made);
    places_[key] = entries_.begin();
    if (entries_.size() > kLimit) {
      places_.erase(entries_.back().first);
      entries_.pop_back();
    }
    return made;
  }

  size_t Size() {
    std::lock_guard lock(mutex_);
    return entries_.size();
  }

 private:
  using Entry = std::pair<std::string, std::shared_ptr<const Value>>;

  std::shared_ptr<const Value> Find(const std::string& key) {
    std::lock_guard lock(mutex_);
    auto at = places_.find(key);
    if (at == places_.end()) return nullptr;
    entries_.splice(entries_.begin(), entries_, at->second);
    return at->second->second;
  }

  std::mutex mutex_;
  std::list<Entry> entries_;
  std::unordered_map<std::string, typename std::list<Entry>::iterator> places_;
};

}  // namespace cnnlab
