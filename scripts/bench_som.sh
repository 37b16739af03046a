# The workloads of the virtual machine in examples/som: lines `atoll WORKLOAD METRIC VALUE UNIT`.

som_classes=examples/som/lib:examples/som/programs:benchmarks/som

# generate_classes COUNT FOLDER: a program of so many classes.
generate_classes() {
  local i
  for ((i = 1; i <= $1; ++i)); do
    cat >"$2/Generated$i.som" <<CLASS
Generated$i = (
    | a b |
    answer   = ( a := $i. b := [:x | x + a ]. ^b value: 1 )
    other: x = ( x > 0 ifTrue: [ ^self answer + x ] ifFalse: [ ^#none ] )
    ----
    | made |
    make     = ( made isNil ifTrue: [ made := self new ]. ^made )
)
CLASS
  done
}

# Spawning and keeping an isolate, by the size of the program that they share: the medians of five
# rounds, each with all sizes, since what memory costs to touch first changes from minute to minute.
bench_som_spawn() {
  local folder count round rounds=5
  folder=$(mktemp -d)
  generate_classes 10000 "$folder"
  for ((round = 0; round < rounds; ++round)); do
    for count in 10 100 1000 10000; do
      build/release/som -cp "$som_classes:$folder" SomSpawn "$count" 100000
    done
  done | sort -k3,3V -k4,4g | awk -v rounds="$rounds" 'NR % rounds == int(rounds / 2) + 1'
  rm -rf "$folder"
}

bench_som_parallel() {
  build/release/som -cp "$som_classes" SomParallel 12
}

# From the isolate that made a tree to the one that gets it; and what of that exit:to: takes itself.
bench_som_exit() {
  local depth
  for depth in 8 15 18 21; do
    build/release/som --vm-stats -cp "$som_classes" SomExit "$depth" 2>&1 |
      awk '
        /^atoll/ { print; split($3, metric, "."); bytes = metric[2] }
        / times exit:to:/ {
          print "atoll som_exit exit_p50." bytes, $9, "us"
          print "atoll som_exit exit_max." bytes, $13, "us"
        }'
  done
}

# What the collector takes of the programs' time, and its pauses.
bench_som_gc_share() {
  local program
  for program in "BinaryTrees 16" "NQueens 12" "Json 20000" "Scheduling 500000" \
    "Constraints 100000" "WordCount 150" "TreePool 5000" "Ring 100000" "Farm 11"; do
    # shellcheck disable=SC2086 # a name and a size
    build/release/som --gc-stats -cp "$som_classes" $program 2>&1 >/dev/null |
      awk -v program="${program% *}" '
        function figure(metric, value, unit) {
          print "atoll som_gc_share " metric "." program, value, unit
        }
        / collections, / {
          figure($3 "_collections", $2, "")
          figure($3 "_time", $5, "ms")
          figure($3 "_pause_p50", $13, "ms")
          figure($3 "_pause_max", $17, "ms")
        }
        / promoted$/ { figure("promoted", $(NF - 2), "MiB") }
        / % of / {
          figure("gc_share", $2, "%")
          figure("processor_time", $5, "ms")
        }'
  done | awk '
    { print }
    $3 ~ /^(minor|major)_time\./ { collecting += $4 }
    $3 ~ /^processor_time\./ { all += $4 }
    END { if (all > 0) printf "atoll som_gc_share gc_share %.1f %%\n", 100 * collecting / all }'
}
