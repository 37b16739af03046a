#ifndef ATOLL_BENCHMARKS_WORKLOADS_CHILD_PROCESS_H_
#define ATOLL_BENCHMARKS_WORKLOADS_CHILD_PROCESS_H_

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

namespace bench {

/// How a child process ended, and what it used.
struct ChildResult {
  int status = 0;  ///< its exit status; 128 + the signal that ended it; 127: could not be started
  double peak_rss_mib = 0;
  double processor_seconds = 0;
};

/// Runs a program to its end. Its standard error is ours; of its standard output each line goes to
/// on_line(line); idle() is called about ten times a second meanwhile.
template <typename OnLine, typename Idle>
ChildResult RunChild(const std::string& program, const std::vector<std::string>& arguments,
                     OnLine on_line, Idle idle, bool quiet = false) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return {127, 0, 0};
  std::vector<char*> words{const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments)
    words.push_back(const_cast<char*>(argument.c_str()));
  words.push_back(nullptr);

  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDOUT_FILENO);
    if (quiet) dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
    execv(program.c_str(), words.data());
    _exit(127);
  }
  close(ends[1]);
  if (child < 0) {
    close(ends[0]);
    return {127, 0, 0};
  }

  std::string pending;
  for (;;) {
    pollfd readable{ends[0], POLLIN, 0};
    const int ready = ::poll(&readable, 1, 100);
    idle();
    if (ready == 0 || (ready < 0 && errno == EINTR)) continue;
    char buffer[4096];
    const ssize_t count = read(ends[0], buffer, sizeof buffer);
    if (count <= 0) break;
    pending.append(buffer, static_cast<size_t>(count));
    for (size_t end; (end = pending.find('\n')) != std::string::npos; pending.erase(0, end + 1)) {
      on_line(pending.substr(0, end));
    }
  }
  close(ends[0]);

  int status = 0;
  rusage usage{};
  while (wait4(child, &status, 0, &usage) < 0 && errno == EINTR) {
  }
  ChildResult result;
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  result.peak_rss_mib = static_cast<double>(usage.ru_maxrss) / 1024;
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  result.processor_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  return result;
}

}  // namespace bench

#endif  // ATOLL_BENCHMARKS_WORKLOADS_CHILD_PROCESS_H_
