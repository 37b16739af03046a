# ./run demo [heap|transfers|vm]...

demo_heap() {
  build/release/atoll-demo heap
}

demo_transfers() {
  local folder=build/demo width
  mkdir -p "$folder"
  build/release/atoll-demo transfers --data "$folder/transfers.dat"
  type -P gnuplot >/dev/null ||
    fail "no plot: gnuplot is missing (Debian: gnuplot-nox). The figures: $folder/transfers.dat"
  width=$(tput cols 2>/dev/null || echo 80)
  gnuplot -e "data='$folder/transfers.dat'; svg='$folder/transfers.svg'" \
    -e "columns=$((width > 100 ? 100 : width)); lines=26" benchmarks/demo/transfers.gnuplot |
    tr -d '\f'
  printf '%s\n' "The same as a picture: $folder/transfers.svg"
}

demo_vm() {
  build/release/som --gc-stats Farm
}

run_demo() {
  local parts=(heap transfers vm) part groups=()
  [ $# -eq 0 ] || parts=("$@")
  for part in "${parts[@]}"; do
    [ "$(type -t "demo_$part")" = function ] || fail "no such demo: $part (there are: heap transfers vm)"
    [ "$part" != transfers ] || groups=(plot)
  done
  need_preset release "${groups[@]}"
  build release release demo_programs
  for part in "${parts[@]}"; do
    "demo_$part"
  done
}
