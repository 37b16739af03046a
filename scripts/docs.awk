# Prints a document with each code block below an include comment replaced by what it includes.
# Errors go to standard error, as file:line, and make the exit status 1.

function complain(text) {
  print FILENAME ":" FNR ": " text > "/dev/stderr"
  failed = 1
}

# Prints region `name` of file `path`, or all of it when `name` is empty.
function include(path, name,    line, lines, count, inside, found, indent, least, i, status) {
  count = 0
  inside = (name == "")
  found = inside
  while ((status = (getline line < path)) > 0) {
    if (line ~ /^[ \t]*(\/\/|#) \[\/?[a-z0-9_-]+\][ \t]*$/) {
      if (name != "" && index(line, " [" name "]")) { inside = 1; found = 1 }
      if (name != "" && index(line, " [/" name "]")) inside = 0
      continue
    }
    if (inside) lines[++count] = line
  }
  close(path)
  if (status < 0) { complain("no such file: " path); return }
  if (!found) { complain("no region [" name "] in " path); return }
  if (name != "" && inside) { complain("region [" name "] of " path " has no end"); return }
  least = -1
  for (i = 1; i <= count; i++) {
    if (lines[i] ~ /^[ \t]*$/) continue
    match(lines[i], /^ */)
    if (least < 0 || RLENGTH < least) least = RLENGTH
  }
  for (i = 1; i <= count; i++) print substr(lines[i], least + 1)
}

{ previous = current; current = $0 }

# Inside a block that is replaced: nothing until its end.
replacing {
  if ($0 ~ /^```[ \t]*$/) { replacing = 0; print }
  next
}

in_code {
  if ($0 ~ /^```[ \t]*$/) in_code = 0
  print
  next
}

/^```/ {
  print
  if (previous ~ /^<!-- include: [^ ]+ -->$/) {
    target = previous
    sub(/^<!-- include: /, "", target)
    sub(/ -->$/, "", target)
    region = ""
    if (split(target, parts, "#") > 1) region = parts[2]
    if ($0 ~ /^```cpp/ &&
        parts[1] !~ /^(include|safepoint|heap|gc|isolate|messaging|tests|benchmarks|examples)\//)
      complain(parts[1] " is no file that the build compiles")
    include(parts[1], region)
    replacing = 1
  } else {
    if ($0 ~ /^```cpp/) complain("a cpp block needs an include comment on the line before it")
    in_code = 1
  }
  next
}

{ print }

END {
  if (replacing || in_code) complain("a code block has no end")
  exit failed
}
