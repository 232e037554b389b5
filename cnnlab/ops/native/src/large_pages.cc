#include "large_pages.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace cnnlab {
namespace {

constexpr size_t kLargeResult = size_t{2} << 20;

// Of linux/fs.h, which may be older than the system: PROCMAP_QUERY.
struct MappingQuery {
  uint64_t size, flags, address;
  uint64_t begin, end, found_flags, page_size, offset, inode;
  uint32_t major, minor;
  uint32_t name_size, build_id_size;
  uint64_t name, build_id;
};
constexpr unsigned long kQuery = _IOWR('f', 17, MappingQuery);
constexpr uint64_t kWritable = 0x02, kShared = 0x08;

// The mapping of a process's own memory that holds an address, or none.
bool Find(const void* address, MappingQuery* found) {
  const int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  if (maps < 0) return false;
  *found = {};
  found->size = sizeof(MappingQuery);
  found->address = reinterpret_cast<uintptr_t>(address);
  const bool known = ioctl(maps, kQuery, found) == 0;
  close(maps);
  return known && (found->found_flags & (kWritable | kShared)) == kWritable && found->inode == 0;
}

}  // namespace

void UseLargePagesAround(void* result, size_t bytes) {
  MappingQuery piece;
  if (bytes >= kLargeResult && Find(result, &piece)) {
    UseLargePages(reinterpret_cast<void*>(piece.begin), piece.end - piece.begin);
  } else {
    UseLargePages(result, bytes);
  }
}

}  // namespace cnnlab
