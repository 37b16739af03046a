// Reading whole files.
#ifndef SOM_FILES_H_
#define SOM_FILES_H_

#include <cstdint>
#include <string>

namespace som {

enum class FileRead : uint8_t {
  kDone,
  kMissing,  ///< there is no such file
  kRefused,  ///< there is, and it cannot be read
};
/// `why` is set if it is refused.
FileRead ReadFile(const std::string& path, std::string* text, std::string* why);

/// Why classes cannot be looked for in a folder; empty: they can.
std::string WhyNoFolder(const std::string& path);

}  // namespace som

#endif  // SOM_FILES_H_
