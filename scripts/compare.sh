# ./run compare [WORKLOAD...]: Atoll and others by turns, and the ratios of their medians.
#
# ATOLL_MEMORY says how each side finds the machine's memory, since first touches may cost more than all else:
#   at_hand     (default) a program that touched 1.5 GiB by huge pages has just ended
#   taken_away  nothing ran for 12 s: by then a virtual machine's host may have taken free memory away
#   touched     as at_hand, and Atoll and Java touch their heaps before their clocks start
#
# A processor may share its core with another machine's work, and is slower by half then. So all processors are
# probed: a run waits up to 20 s until they take no more than a sixth longer than the quickest probe of all, and is
# repeated, up to twice, where they do at its end. Both sides of a ratio are of undisturbed runs, or of all.

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

# prepare_memory MEMORY
prepare_memory() {
  case $1 in
    at_hand | touched) build/release/peer-bare touch ;;
    taken_away) sleep 12 ;;
  esac
}

# In whole microseconds.
probe() { build/release/peer-bare probe | awk '{ print int($4) }'; }

# is_quiet PROBE
quickest=1000000000 # of all probes, of earlier comparisons with this build, too
is_quiet() {
  if [ "$1" -lt "$quickest" ]; then
    quickest=$1
    echo "$quickest" >build/compare.quickest
  fi
  [ $((6 * $1)) -le $((7 * quickest)) ]
}

# measure SIDE WORKLOAD MEMORY: appends lines `SIDE WORKLOAD METRIC VALUE UNIT PROBE PROBE` to $figures.
measure() {
  local try wait before after lines log=build/compare.log
  for try in 1 2 3; do
    for ((wait = 20; wait > 0; --wait)); do
      ! is_quiet "$(probe)" || break
      sleep 1
    done
    prepare_memory "$3"
    before=$(probe)
    lines=$(run_side "$@" 2>"$log") || {
      show_log "$log"
      fail "compare: $1, $2 failed"
    }
    after=$(probe)
    awk -v probes="$before $after" '{ print $0, probes }' <<<"$lines" >>"$figures"
    if is_quiet "$after" && is_quiet "$before"; then return; fi
    note "compare: $1, $2, try $try was disturbed"
  done
}

# run_side SIDE WORKLOAD MEMORY: its figures, as lines `SIDE WORKLOAD METRIC VALUE UNIT`.
run_side() {
  local side=$1 workload=$2 mib=1024 of_atoll=() of_java=()
  # Two mutators in one region are to others what two are.
  [ "$side" = atoll ] || workload=${workload%m}
  [ "$workload" != lru_latency ] || mib=2048
  of_java=("-Xms${mib}m" "-Xmx${mib}m")
  if [ "$3" = touched ]; then
    of_java+=(-XX:+AlwaysPreTouch)
    of_atoll+=(--initial-mib "$((mib / 2))") # more than it has need of
  fi
  case $side in
    atoll) build/release/atoll-bench "$workload" "${of_atoll[@]}" ;;
    bare | boehm) GC_MARKERS=2 "build/release/peer-$side" "$workload" ;;
    java-serial) run_java "$workload" -XX:+UseSerialGC "${of_java[@]}" ;;
    java-parallel) run_java "$workload" -XX:+UseParallelGC "${of_java[@]}" ;;
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

# Lines `SIDE WORKLOAD METRIC VALUE UNIT PROBE PROBE`, as `SIDE WORKLOAD METRIC VALUE UNIT RUNS`: those of undisturbed
# runs for workloads of which each side has one, and all of the others; RUNS is `undisturbed` or `disturbed`.
without_disturbed() { # FILE
  awk -v quickest="$quickest" '
    FNR == 1 { ++pass }
    { quiet = ($6 > $7 ? $6 : $7) <= quickest * 7 / 6 }
    pass == 1 { sides[$2] = sides[$2] SUBSEP $1; if (quiet) quietly[$2, $1]; next }
    FNR == 1 {
      for (workload in sides) {
        count = split(substr(sides[workload], 2), side, SUBSEP)
        for (i = 1; i <= count; ++i) if (!((workload, side[i]) in quietly)) disturbed[workload]
      }
    }
    $2 in disturbed { print $1, $2, $3, $4, $5, "disturbed"; next }
    quiet { print $1, $2, $3, $4, $5, "undisturbed" }' "$1" "$1"
}

# From such lines: `SIDE WORKLOAD METRIC UNIT RUNS MEDIAN LEAST MOST COUNT`.
medians() {
  datamash -W -s -g 1,2,3,5,6 median 4 min 4 max 4 count 4
}

# Every figure of Atoll that another side has, too: both medians, and the first by the second.
show_ratios() {
  awk '
    {
      name = $2 " " $3
      median[$1, name] = $6
      unit[name] = $4
      range[$1, name] = sprintf("%.4g to %.4g, %d %s", $7, $8, $9, $5)
    }
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
  local comparison workload side sides round rounds=${ATOLL_ROUNDS:-3} memory=${ATOLL_MEMORY:-at_hand}
  local figures=build/compare-$memory.figures known=" "
  [[ $memory =~ ^(at_hand|taken_away|touched)$ ]] ||
    fail "compare: ATOLL_MEMORY=$memory is none of at_hand, taken_away and touched"
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
  [ ! -e build/compare.quickest ] || quickest=$(<build/compare.quickest)
  for ((round = 1; round <= 20; ++round)); do is_quiet "$(probe)" || true; done # a quickest to begin with
  for ((round = 1; round <= rounds; ++round)); do
    for comparison in "${comparisons[@]}"; do
      read -r workload sides <<<"$comparison"
      [ $# -eq 0 ] || [[ " $* " == *" $workload "* ]] || continue
      note "compare: round $round of $rounds, $workload"
      for side in atoll $sides; do measure "$side" "$workload" "$memory"; done
    done
  done
  note "compare: memory $memory, medians (least to most, runs), and Atoll's by the other's; all figures: $figures"
  without_disturbed "$figures" | medians | show_ratios
}
