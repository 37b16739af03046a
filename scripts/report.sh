# What `./run` says while it works. All of it goes to standard error: standard output is for results.

note() { printf '%s\n' "== $*" >&2; }

fail() {
  printf '%s\n' "run: $*" >&2
  exit 1
}

# show_log FILE: the end of a log, after a failure.
show_log() {
  printf '%s\n' "---- end of $1 ----" >&2
  tail -n 60 "$1" >&2
  printf '%s\n' "---- the whole of it: $1 ----" >&2
}

# show_progress LABEL: reads a build's output and shows ninja's counter in place, on a terminal.
show_progress() {
  local line
  if [ -t 2 ]; then
    while IFS= read -r line; do
      if [[ $line =~ ^\[[0-9]+/[0-9]+\] ]]; then
        printf '\r== %s %s ' "$1" "${BASH_REMATCH[0]}" >&2
      fi
    done
    printf '\r\033[K' >&2
  else
    cat >/dev/null
  fi
}
