#!/bin/sh
# interrupt.sh SIGNAL STATUS COMMAND...: the signal, when the command has printed its first error line,
# ends it with this status.
signal=$1
status=$2
shift 2
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
mkfifo "$folder/said" || exit 1
"$@" 2>"$folder/said" &
program=$!
exec 3<"$folder/said"
read -r first <&3
echo "interrupt.sh: it has said: $first"
kill -"$signal" "$program"
wait "$program"
ended=$?
echo "interrupt.sh: it ended with status $ended"
[ "$ended" -eq "$status" ]
