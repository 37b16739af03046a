# ./run som [OPTION...] CLASS [ARGUMENT...]

run_som() {
  need_preset release
  # What it prints is the program's alone.
  build release release som >&2
  build/release/som "$@"
}
