# Installs what a command needs from Debian.

# need GROUP...: the packages of these groups of cmake/debian-packages.txt are installed, or we stop.
need() {
  local group name wanted=() installed missing=()
  while read -r group name; do
    [[ " $* " == *" $group "* ]] && wanted+=("$name")
  done < <(grep -E '^[a-z]+ [^ ]+$' cmake/debian-packages.txt)

  if ! type -P dpkg-query >/dev/null || ! type -P apt-get >/dev/null; then
    note "no apt-get here: these must be installed by hand, by Debian's names: ${wanted[*]}"
    return
  fi
  # Exits non-zero when a package is unknown, and still lists the others.
  installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${wanted[@]}" 2>/dev/null || true)
  for name in "${wanted[@]}"; do
    grep -qxF "$name installed" <<<"$installed" || missing+=("$name")
  done
  [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
}

install_packages() {
  local as_root=() install=(apt-get install -y --no-install-recommends "$@")
  if [ "$(id -u)" -ne 0 ]; then
    if ! sudo -n true 2>/dev/null; then
      printf '%s\n' "run: packages are missing. As root:" \
        "  apt-get update && ${install[*]}" >&2
      exit 1
    fi
    as_root=(sudo -n)
  fi
  as_root+=(env DEBIAN_FRONTEND=noninteractive)

  mkdir -p build
  local log=build/packages.log name known=true
  note "installing from Debian: $*"
  : >"$log"
  for name in "$@"; do
    apt-cache show "$name" >/dev/null 2>&1 || known=false
  done
  if ! $known || ! "${as_root[@]}" "${install[@]}" >>"$log" 2>&1 </dev/null; then
    # The lists are missing or old.
    if ! "${as_root[@]}" apt-get update >>"$log" 2>&1 </dev/null ||
      ! "${as_root[@]}" "${install[@]}" >>"$log" 2>&1 </dev/null; then
      show_log "$log"
      fail "the packages could not be installed. The command was: ${install[*]}"
    fi
  fi
}
