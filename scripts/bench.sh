# ./run bench [WORKLOAD...]
source scripts/bench_som.sh

workloads=(alloc-1 alloc-2 binary_trees-1 binary_trees-2 binary_trees-2m gcbench-1 gcbench-2
  gcbench-2m lru_latency lru_latency-by safepoint
  ping_pong ping_pong-1cpu ring ring-1cpu send_throughput-1 send_throughput-8 spawn spawn_program idle
  skynet churn-1 churn-2 churn-4 churn-8 transfer_tree transfer_tree-exit transfer_tree-adopt
  transfer_shared exit_matrix exit_matrix-scattered bystander-17 bystander-67 bystander-268
  call_sites installation som_spawn som_parallel som_exit som_gc_share)

run_bench() {
  local workload
  need_preset release
  build release release bench_programs
  [ $# -gt 0 ] || set -- "${workloads[@]}"
  for workload in "$@"; do
    if [ "$workload" = micro ]; then
      build/release/atoll-micro
    elif [ "$(type -t "bench_$workload")" = function ]; then
      "bench_$workload"
    elif [[ $workload == *-1cpu ]]; then # confined to one processor
      taskset -c 0 build/release/atoll-bench "${workload%-1cpu}" | sed "s/ ${workload%-1cpu} / $workload /"
    else
      build/release/atoll-bench "$workload"
    fi
  done
}
