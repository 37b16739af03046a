#include "files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <system_error>

namespace som {
namespace {

std::string Words(int error) { return std::generic_category().message(error); }

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

}  // namespace

FileRead ReadFile(const std::string& path, std::string* text, std::string* why) {
  text->clear();
  const std::unique_ptr<std::FILE, CloseFile> file(std::fopen(path.c_str(), "rbe"));
  if (file == nullptr) {
    if (errno == ENOENT || errno == ENOTDIR) return FileRead::kMissing;
    *why = Words(errno);
    return FileRead::kRefused;
  }
  char buffer[16384];
  while (const size_t count = std::fread(buffer, 1, sizeof(buffer), file.get())) {
    text->append(buffer, count);
  }
  if (std::ferror(file.get()) == 0) return FileRead::kDone;
  *why = Words(errno);
  return FileRead::kRefused;
}

std::string WhyNoFolder(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return Words(errno);
  if (!S_ISDIR(info.st_mode)) return Words(ENOTDIR);
  return access(path.c_str(), X_OK) == 0 ? "" : Words(errno);
}

}  // namespace som
