#!/bin/sh
# Forbid the server processes to write to files, or allow it again:  file-limit.sh inject|heal
case $1 in
inject) limit=0: ;;
heal) limit=unlimited: ;;
esac
for process in $(pgrep -P "$(cat "$STAGE/serve.pid")"); do
    prlimit --pid "$process" --fsize=$limit || exit 1
done
