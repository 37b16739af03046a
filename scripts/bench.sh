# ./run bench [WORKLOAD...]

workloads=(alloc-1 alloc-2 binary_trees-1 binary_trees-2 binary_trees-2m gcbench-1 gcbench-2
  gcbench-2m lru_latency lru_latency-by safepoint)

run_bench() {
  local workload
  need_preset release
  build release release bench_programs
  [ $# -gt 0 ] || set -- "${workloads[@]}"
  for workload in "$@"; do
    if [ "$workload" = micro ]; then
      build/release/atoll-micro
    else
      build/release/atoll-bench "$workload"
    fi
  done
}
