// What a run has cost, in words.
#ifndef SOM_VM_STATS_H_
#define SOM_VM_STATS_H_

#include <cstdio>

namespace som {

class Universe;

/// Collections, and their share of the processors' time of this process.
void PrintGcStats(const Universe& universe, std::FILE* to);
/// Classes, call sites, optimized code. Not from an isolate.
void PrintVmStats(const Universe& universe, std::FILE* to);

}  // namespace som

#endif  // SOM_VM_STATS_H_
