# Configuring and building a preset.

all_presets=(release clang debug asan tsan)
jobs=${ATOLL_JOBS:-$(nproc 2>/dev/null || echo 2)}

# need_preset PRESET [GROUP...]: the packages to build this preset.
need_preset() {
  local preset=$1
  shift
  [[ " ${all_presets[*]} " == *" $preset "* ]] ||
    fail "no such preset: $preset (there are: ${all_presets[*]})"
  case $preset in
    clang | asan | tsan) need build test bench example clang "$@" ;;
    *) need build test bench example "$@" ;;
  esac
}

# configure PRESET FOLDER [CMAKE-ARGUMENT...]: into build/FOLDER.
configure() {
  local preset=$1 folder=build/$2
  shift 2
  mkdir -p "$folder"
  if ! cmake --preset "$preset" -B "$folder" "$@" >"$folder/build.log" 2>&1; then
    show_log "$folder/build.log"
    fail "configuring $folder failed"
  fi
}

# build PRESET FOLDER TARGET [CMAKE-ARGUMENT...]: configures and builds one target in build/FOLDER.
build() {
  local preset=$1 folder=$2 target=$3 begin=$SECONDS
  shift 3
  note "$folder: building $target (log: build/$folder/build.log)"
  configure "$preset" "$folder" "$@"
  if ! cmake --build "build/$folder" --parallel "$jobs" --target "$target" 2>&1 |
    tee -a "build/$folder/build.log" | show_progress "$folder: building"; then
    show_log "build/$folder/build.log"
    fail "building build/$folder failed"
  fi
  note "$folder: built in $((SECONDS - begin)) s"
}

# in_test_environment PRESET COMMAND...: runs a command as the programs of this preset need it.
in_test_environment() {
  local preset=$1
  shift
  # Clang 14's thread sanitizer cannot start where the kernel randomizes addresses by 32 bits.
  if [ "$preset" = tsan ] && setarch -R true 2>/dev/null; then
    setarch -R "$@"
  else
    "$@"
  fi
}
