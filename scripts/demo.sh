# ./run demo

run_demo() {
  need_preset release
  build release release demo_programs
  exec build/release/atoll-demo "$@"
}
