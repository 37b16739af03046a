# ./run check [PART...] and ./run format
source scripts/docs.sh

layer_folders=(safepoint heap gc isolate messaging)

# list_files FOLDERS... -- PATTERN...: the files below those folders that exist.
list_files() {
  local folders=() tests=()
  while [ "$1" != -- ]; do
    [ ! -d "$1" ] || folders+=("$1")
    shift
  done
  shift
  while [ $# -gt 0 ]; do
    tests+=(-o -name "$1")
    shift
  done
  [ ${#folders[@]} -eq 0 ] || find "${folders[@]}" -type f \( "${tests[@]:1}" \) | sort
}

all_sources() {
  list_files include "${layer_folders[@]}" tests benchmarks examples cmake -- '*.h' '*.cc'
}

check_format() {
  need check
  all_sources | xargs -r clang-format --dry-run -Werror
}

run_format() {
  need check
  all_sources | xargs -r clang-format -i
}

# One batch of sources for clang-tidy; passed over while nothing has changed since it was found clean.
tidy_one() {
  local stamp=build/tidy/clean/${1//\//_} output
  if [ -e "$stamp" ] &&
    [ -z "$(find .clang-tidy include "${@:2}" -type f -newer "$stamp" -print -quit)" ]; then
    return
  fi
  if ! output=$(clang-tidy --quiet -p build/tidy "$1" 2>&1); then
    grep -vE '^[0-9]+ warnings? (generated|treated)' <<<"$output" || true
    return 1
  fi
  mkdir -p "$(dirname "$stamp")"
  touch "$stamp"
}

check_tidy() {
  need_preset clang check
  # For its list of what is compiled, in batches: most of the time goes into the headers that all include.
  configure clang tidy -DCMAKE_UNITY_BUILD_BATCH_SIZE=20 -DATOLL_BUILD_TESTS=OFF -DATOLL_BUILD_BENCHMARKS=OFF \
    -DATOLL_BUILD_EXAMPLES=OFF
  export -f tidy_one
  # The collectors for the encodings are one template: one of them is enough.
  jq -r '.[].file | select(test("gc/cycle_(?!plain)") | not)' build/tidy/compile_commands.json |
    xargs -r -P "$jobs" -I '{}' bash -c 'tidy_one "$@"' tidy '{}' "${layer_folders[@]}"
}

check_layers() {
  need build
  cmake -DROOT="$PWD" -P cmake/check_layers.cmake
}

check_docs() {
  check_documents
}

run_check() {
  local parts=(format layers docs tidy) part failed=()
  [ $# -eq 0 ] || parts=("$@")
  for part in "${parts[@]}"; do
    [ "$(type -t "check_$part")" = function ] || fail "no such check: $part"
  done
  for part in "${parts[@]}"; do
    note "check: $part"
    # A subshell of its own, so that errors inside it end the part and not the run.
    if ! (set -e; "check_$part"); then
      failed+=("$part")
    fi
  done
  [ ${#failed[@]} -eq 0 ] || fail "check failed: ${failed[*]}"
  note "check: all clean"
}
