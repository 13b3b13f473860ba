#!/bin/sh
# Make the SQLite database read-only, or writable again:  read-only-sqlite.sh inject|heal
# Connections that are open could still write, so the server processes are replaced.
database=$STAGE/data/jobs.sqlite3
case $1 in
inject)
    chmod 0444 "$database"*
    server=$(cat "$STAGE/serve.pid")
    for process in $(pgrep -P "$server"); do
        kill -KILL "$process"
        while [ -e "/proc/$process" ]; do sleep 0.02; done
    done
    ;;
heal) chmod 0644 "$database"* ;;
esac
