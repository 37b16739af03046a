# ./run test [PRESET...] [-- CTEST-ARGUMENT...]

run_test() {
  local presets=() preset
  while [ $# -gt 0 ]; do
    if [ "$1" = -- ]; then
      shift
      break
    fi
    presets+=("$1")
    shift
  done
  [ ${#presets[@]} -gt 0 ] || presets=(release)
  for preset in "${presets[@]}"; do
    need_preset "$preset"
  done
  # The first preset that fails ends the run, so that what ctest says last is the verdict.
  for preset in "${presets[@]}"; do
    build "$preset" "$preset" all
    note "$preset: testing"
    in_test_environment "$preset" ctest --test-dir "build/$preset" --output-on-failure \
      --no-tests=error --parallel "$jobs" "$@"
  done
}
