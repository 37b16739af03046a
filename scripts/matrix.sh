# ./run matrix [PRESET...]: the tests under every combination of preset, allocator and stress knob.
# The table in docs/results.md is the record: a run of some presets keeps the others' rows.

# LABEL|VARIABLE=VALUE ...[|TESTS]: what the tests run under, one column of the table each.
# TESTS: the labels of those that run, where the knob takes from the others what they are about.
knobs=(
  "no knob|"
  "collect often|ATOLL_STRESS_EVERY=7"
  "slow allocation|ATOLL_STRESS_ALLOC=1"
  "move everything|ATOLL_STRESS_MOVE=1"
  "poison|ATOLL_STRESS_POISON=1"
  "verify|ATOLL_VERIFY=1"
  "born old|ATOLL_STRESS_OLD=1|stress fuzz som"
  "1 worker|ATOLL_WORKERS=1"
  "2 workers|ATOLL_WORKERS=2 ATOLL_STRESS_PARALLEL=1"
  "all of them|ATOLL_STRESS_EVERY=97 ATOLL_STRESS_MOVE=1 ATOLL_STRESS_POISON=1 ATOLL_VERIFY=1 ATOLL_WORKERS=2"
)
# Holds for every cell: the stress suite with fewer operations than `./run test` gives it.
cell_environment="ATOLL_SEED=${ATOLL_SEED:-1} ATOLL_STRESS_OPS=${ATOLL_STRESS_OPS:-100000}"
# PRESET|ALLOCATOR: the rows. Under the sanitizers jemalloc is never used.
rows=("release|jemalloc" "release|malloc" "clang|jemalloc" "clang|malloc" "debug|jemalloc"
  "debug|malloc" "asan|malloc" "tsan|malloc")

run_cell() { # FOLDER PRESET ENVIRONMENT TESTS RESULT-FILE
  local folder=$1 preset=$2 environment=$3 tests=$4 result=$5 log=${5%.result}.log summary
  # shellcheck disable=SC2086 # the environment is a list of assignments
  in_test_environment "$preset" env $cell_environment $environment ctest --test-dir "build/$folder" \
    --output-on-failure --no-tests=error --parallel "$jobs" -L "^(${tests// /|})\$" \
    -LE '^(package|layering|models|full_size|knob)$' \
    >"$log" 2>&1 </dev/null || true
  summary=$(sed -nE 's/^[0-9]+% tests passed, ([0-9]+) tests? failed out of ([0-9]+)$/\1 \2/p' "$log")
  case $summary in
    "") echo "**did not run**" ;;
    "0 "*) echo "${summary#0 } passed" ;;
    *) echo "**${summary% *} of ${summary#* } failed**" ;;
  esac >"$result"
}

# What each column's tests run under. Results under other columns than these count for nothing.
list_columns() {
  local knob label environment tests
  for knob in "${knobs[@]}"; do
    IFS='|' read -r label environment tests <<<"$knob"
    [ -z "$environment" ] || printf '%s\n' "- $label: \`$environment\`${tests:+, the tests of $tests}"
  done
}

# One row of the table, from the results in build/matrix; nothing if there is none.
row_of() { # ROW
  local prefix=build/matrix/${1%|*}-${1#*|} knob label cell cells=() line
  for knob in "${knobs[@]}"; do
    label=${knob%%|*}
    cell=$prefix-${label// /_}.result
    [ ! -e "$cell" ] || cells+=("$cell")
    line+=" $([ -e "$cell" ] && cat "$cell" || echo not run) |"
  done
  [ ${#cells[@]} -eq 0 ] || echo "| ${1%|*} | ${1#*|} | $(date -r "${cells[-1]}" +%F) |$line"
}

write_table() { # FILE
  local file=$1 row line knob columns begin='<!-- matrix:begin -->' end='<!-- matrix:end -->' fresh earlier
  fresh=$(mktemp)
  mkdir -p "$(dirname "$file")"
  [ -e "$file" ] || printf '# Results\n' >"$file"
  columns=$(list_columns)
  earlier=$(sed -n "/^$begin\$/,/^$end\$/p" "$file")
  [ "$(grep '^- ' <<<"$earlier")" = "$columns" ] || earlier=
  {
    printf '%s\n\n' "$begin"
    printf '%s\n' "Written by \`./run matrix\`; each cell is one run of the tests, those of installing, layers and" \
      "models of protocols left out, with" \
      "\`$cell_environment\`." "The columns:" ""
    printf '%s\n' "$columns"
    printf '\n| preset | off-heap memory | run on |'
    for knob in "${knobs[@]}"; do printf ' %s |' "${knob%%|*}"; done
    printf '\n|---|---|---|'
    for knob in "${knobs[@]}"; do printf -- '---|'; done
    printf '\n'
    for row in "${rows[@]}"; do
      # A row that was not run now is an earlier run's, unless the columns have changed since.
      line=$(row_of "$row")
      [ -n "$line" ] || line=$(grep -F "| ${row%|*} | ${row#*|} |" <<<"$earlier") ||
        line="| ${row%|*} | ${row#*|} | not run |$(printf ' |%.0s' "${knobs[@]}")"
      printf '%s\n' "$line"
    done
    printf '\n%s\n' "$end"
  } >"$fresh"

  if grep -qxF -- "$begin" "$file" && grep -qxF -- "$end" "$file"; then
    awk -v table="$fresh" -v begin="$begin" -v end="$end" '
      $0 == begin { while ((getline line < table) > 0) print line; skipping = 1 }
      !skipping { print }
      $0 == end { skipping = 0 }' "$file" >"$fresh.all"
  else
    { cat "$file"; printf '\n'; cat "$fresh"; } >"$fresh.all"
  fi
  cat "$fresh.all" >"$file"
  rm -f "$fresh" "$fresh.all"
}

run_matrix() {
  local row preset allocator folder knob label environment tests result bad=0 arguments
  local presets=("$@")
  [ ${#presets[@]} -gt 0 ] || presets=("${all_presets[@]}")
  for preset in "${presets[@]}"; do
    need_preset "$preset"
  done
  mkdir -p build/matrix
  if [ "$(list_columns)" != "$(cat build/matrix/columns 2>/dev/null)" ]; then
    rm -f build/matrix/*.result
    list_columns >build/matrix/columns
  fi
  for row in "${rows[@]}"; do
    preset=${row%|*}
    allocator=${row#*|}
    [[ " ${presets[*]} " == *" $preset "* ]] || continue
    folder=$preset
    arguments=()
    if [ "$allocator" = malloc ] && [[ $preset != *san ]]; then
      folder=$preset-malloc
      arguments=(-DATOLL_JEMALLOC=OFF -DATOLL_BUILD_BENCHMARKS=OFF)
    fi
    rm -f "build/matrix/$preset-$allocator"-*.result
    build "$preset" "$folder" all "${arguments[@]}"
    for knob in "${knobs[@]}"; do
      IFS='|' read -r label environment tests <<<"$knob"
      result=build/matrix/$preset-$allocator-${label// /_}.result
      run_cell "$folder" "$preset" "$environment" "${tests:-.*}" "$result"
      note "matrix: $preset, $allocator, $label: $(<"$result")"
      [[ $(<"$result") == *passed ]] || bad=$((bad + 1))
      write_table docs/results.md
    done
  done
  [ "$bad" -eq 0 ] || fail "matrix: $bad cells failed; their logs lie in build/matrix/"
  note "matrix: all passed; the table stands in docs/results.md"
}
