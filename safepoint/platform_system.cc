#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "safepoint/platform.h"

namespace Atoll {

void Fatal(const char* format, ...) {
  char message[1024];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  fprintf(stderr, "atoll: %s\n", message);
  fflush(stderr);
  abort();
}

namespace platform {

namespace {

/// The whole text of a small file; empty when it cannot be read.
std::string ReadSmallFile(const std::string& path) {
  std::string text;
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return text;
  char buffer[4096];
  ssize_t n;
  while ((n = read(file, buffer, sizeof buffer)) > 0) text.append(buffer, static_cast<size_t>(n));
  close(file);
  return text;
}

/// The number a limit file holds; SIZE_MAX for "max", nonsense, or no such file.
size_t ReadLimit(const std::string& path) {
  const std::string text = ReadSmallFile(path);
  if (text.empty() || text[0] < '0' || text[0] > '9') return SIZE_MAX;
  return strtoull(text.c_str(), nullptr, 10);
}

/// The least limit on the way from `group` up to the root of a hierarchy mounted at `mount`. A
/// group that is not visible here (in a container) leaves its visible ancestors and the root.
size_t LeastLimit(const std::string& mount, std::string group, const char* file) {
  size_t limit = SIZE_MAX;
  for (;;) {
    while (!group.empty() && group.back() == '/') group.pop_back();
    limit = std::min(limit, ReadLimit(mount + group + "/" + file));
    if (group.empty()) return limit;
    group.resize(group.rfind('/') == std::string::npos ? 0 : group.rfind('/'));
  }
}

/// A size like "1024K" or "32M".
size_t ParseSize(const std::string& text) {
  char* end = nullptr;
  size_t size = strtoull(text.c_str(), &end, 10);
  if (*end == 'K') size *= 1024;
  if (*end == 'M') size *= 1024 * 1024;
  return size;
}

}  // namespace

int ProcessorCount() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)));
}

size_t MemoryLimitBytes() {
  size_t limit =
      static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGESIZE));
  // Lines "number:controllers:group"; version 2 has number 0 and no controllers.
  const std::string groups = ReadSmallFile("/proc/self/cgroup");
  size_t start = 0;
  while (start < groups.size()) {
    size_t end = groups.find('\n', start);
    if (end == std::string::npos) end = groups.size();
    const std::string line = groups.substr(start, end - start);
    start = end + 1;
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const std::string group = line.substr(second + 1);
    if (controllers == ",,") {
      limit = std::min(limit, LeastLimit("/sys/fs/cgroup", group, "memory.max"));
    } else if (controllers.find(",memory,") != std::string::npos) {
      limit = std::min(limit, LeastLimit("/sys/fs/cgroup/memory", group, "memory.limit_in_bytes"));
    }
  }
  return limit;
}

size_t L2CacheBytes() {
  constexpr size_t kDefault = 1024 * 1024;
  const std::string directory = "/sys/devices/system/cpu/cpu0/cache/index";
  for (int index = 0; index < 8; ++index) {
    const std::string cache = directory + std::to_string(index);
    const std::string level = ReadSmallFile(cache + "/level");
    if (level.empty()) break;
    if (level[0] != '2') continue;
    const size_t size = ParseSize(ReadSmallFile(cache + "/size"));
    return size != 0 ? size : kDefault;
  }
  return kDefault;
}

}  // namespace platform
}  // namespace Atoll
