# ./run demo

run_demo() {
  need_preset release
  build release release demo_programs atoll-bench minimal
  exec build/release/atoll-demo "$@"
}
