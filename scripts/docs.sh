# The documents' code blocks are the text of compiled files:
#
#   <!-- include: examples/minimal/minimal.cc#types -->
#   ```cpp
#   ...
#   ```
#
# holds the lines between `// [types]` and `// [/types]` of that file (without #types: all of it), less
# the markers themselves and the common indentation. `./run docs` writes them, `./run check` compares.

documents() {
  local document
  for document in README.md docs/*.md; do
    [ ! -e "$document" ] || printf '%s\n' "$document"
  done
}

rewrite_documents() {
  local document fresh status=0
  fresh=$(mktemp)
  while read -r document; do
    if ! awk -f scripts/docs.awk "$document" >"$fresh"; then
      status=1
    elif ! cmp -s "$fresh" "$document"; then
      cat "$fresh" >"$document"
      note "rewritten: $document"
    fi
  done < <(documents)
  rm -f "$fresh"
  return $status
}

check_documents() {
  local document fresh status=0
  fresh=$(mktemp)
  while read -r document; do
    if ! awk -f scripts/docs.awk "$document" >"$fresh"; then
      status=1
    elif ! diff -u "$document" "$fresh" >"$fresh.diff"; then
      status=1
      printf '%s\n' "$document: code blocks differ from their sources; ./run docs rewrites them:" >&2
      head -n 40 "$fresh.diff" >&2
    fi
    check_links "$document" || status=1
  done < <(documents)
  rm -f "$fresh" "$fresh.diff"
  return $status
}

# check_links DOCUMENT: files that it links to exist.
check_links() {
  local line target status=0
  while IFS=: read -r line target; do
    target=${target%%#*}
    if [ -n "$target" ] && [ ! -e "$(dirname "$1")/$target" ]; then
      printf '%s\n' "$1:$line: links to a file that does not exist: $target" >&2
      status=1
    fi
  done < <(awk '
    /^[ \t]*```/ { code = !code; next }
    code { next }
    {
      text = $0
      gsub(/`[^`]*`/, "", text)
      while (match(text, /\]\([^) ]+/)) {
        target = substr(text, RSTART + 2, RLENGTH - 2)
        text = substr(text, RSTART + RLENGTH)
        if (target !~ /^[a-z]+:/) print FNR ":" target
      }
    }' "$1")
  return $status
}
