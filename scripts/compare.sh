# ./run compare [WORKLOAD...]: Atoll and others by turns, and the ratios of their medians.

# WORKLOAD SIDE...: whom Atoll is held against.
comparisons=(
  "alloc-1 bare java-serial"
  "alloc-2 bare java-serial"
  "binary_trees-1 java-parallel boehm"
  "binary_trees-2 java-parallel boehm"
  "binary_trees-2m java-parallel"
  "gcbench-1 java-parallel boehm"
  "gcbench-2 java-parallel boehm"
  "gcbench-2m java-parallel"
  "lru_latency java-parallel"
  "safepoint bare java-parallel"
)

# run_side SIDE WORKLOAD: its figures, as lines `SIDE WORKLOAD METRIC VALUE UNIT`.
run_side() {
  local side=$1 workload=$2 memory=1g
  # Two mutators in one region are to others what two are.
  [ "$side" = atoll ] || workload=${workload%m}
  [ "$workload" != lru_latency ] || memory=2g
  case $side in
    atoll) build/release/atoll-bench "$workload" ;;
    bare | boehm) GC_MARKERS=2 "build/release/peer-$side" "$workload" ;;
    java-serial) run_java "$workload" -XX:+UseSerialGC -Xms$memory -Xmx$memory ;;
    java-parallel) run_java "$workload" -XX:+UseParallelGC -Xms$memory -Xmx$memory ;;
  esac | sed "s/^[^ ]* [^ ]* /$side $2 /"
}

run_java() { # WORKLOAD OPTION...
  local workload=$1
  shift
  if [ "$workload" = safepoint ]; then
    java "$@" -Xlog:safepoint -cp build/release/java Bench safepoint |
      sed -nE 's/.*Reaching safepoint: ([0-9]+) ns.*/\1/p' |
      datamash median 1 | awk '{ print "java safepoint reach_p50", $1 / 1000, "us" }'
  else
    java "$@" -Xss16m -cp build/release/java Bench "$workload"
  fi
}

# From lines `SIDE WORKLOAD METRIC VALUE UNIT`, one for each: `SIDE WORKLOAD METRIC UNIT MEDIAN LEAST MOST`.
medians() {
  datamash -W -s -g 1,2,3,5 median 4 min 4 max 4
}

# Every figure of Atoll that another side has, too: both medians, and the first by the second.
show_ratios() {
  awk '
    { name = $2 " " $3; median[$1, name] = $5; unit[name] = $4; range[$1, name] = $6 " to " $7 }
    $1 == "atoll" { names[++count] = name; next }
    !($1 in seen) { seen[$1]; sides[++others] = $1 }
    END {
      for (i = 1; i <= count; ++i) for (j = 1; j <= others; ++j) {
        name = names[i]; side = sides[j]
        if (!((side, name) in median)) continue
        printf "%-16s %-18s atoll %.4g (%s), %s %.4g (%s) %s: %.3g\n", substr(name, 1, index(name, " ") - 1),
          substr(name, index(name, " ") + 1), median["atoll", name], range["atoll", name], side,
          median[side, name], range[side, name], unit[name], median["atoll", name] / median[side, name]
      }
    }'
}

run_compare() {
  local comparison workload side sides round rounds=${ATOLL_ROUNDS:-3} figures=build/compare.figures
  local log=build/compare.log known=" "
  for comparison in "${comparisons[@]}"; do known+="${comparison%% *} "; done
  for workload in "$@"; do
    [[ $known == *" $workload "* ]] || fail "compare: no such workload: $workload; there are$known"
  done
  need_preset release
  need compare
  build release release bench_programs
  mkdir -p build/release/java
  javac -d build/release/java benchmarks/peer_java/Bench.java || fail "compare: javac failed"
  : >"$figures"
  for ((round = 1; round <= rounds; ++round)); do
    for comparison in "${comparisons[@]}"; do
      read -r workload sides <<<"$comparison"
      [ $# -eq 0 ] || [[ " $* " == *" $workload "* ]] || continue
      note "compare: round $round of $rounds, $workload"
      for side in atoll $sides; do
        # Each comes after the same: what memory costs to touch first depends on what was in use before.
        build/release/peer-bare touch
        run_side "$side" "$workload" >>"$figures" 2>"$log" || {
          show_log "$log"
          fail "compare: $side, $workload failed"
        }
      done
    done
  done
  note "compare: medians of $rounds (least to most), and Atoll's by the other's; all figures: $figures"
  medians <"$figures" | show_ratios
}
