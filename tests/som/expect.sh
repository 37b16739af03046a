#!/bin/sh
# expect.sh STATUS TEXT COMMAND...: the command ends with this status, and what it prints, to both of
# its outputs, has this text.
status=$1
text=$2
shift 2
said=$("$@" 2>&1)
ended=$?
printf '%s\n' "$said"
if [ "$ended" -ne "$status" ]; then
  echo "expect.sh: it ended with status $ended, not $status"
  exit 1
fi
case $said in
  *"$text"*) ;;
  *)
    echo "expect.sh: it did not print: $text"
    exit 1
    ;;
esac
