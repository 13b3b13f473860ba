#!/bin/sh
# Let another process lock the SQLite database, or let it go:  locked-sqlite.sh inject|heal
holder=$STAGE/lock-holder
case $1 in
inject)
    # Its output goes elsewhere: whoever waits for ours would wait for it, too.
    python3 - "$STAGE/data/jobs.sqlite3" "$holder" >"$holder.log" 2>&1 <<'HOLD' &
import pathlib, sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], timeout=10, isolation_level=None)
database.execute("BEGIN EXCLUSIVE")
pathlib.Path(sys.argv[2]).touch()
time.sleep(600)
HOLD
    echo $! >"$holder.pid"
    until [ -e "$holder" ]; do
        kill -0 "$(cat "$holder.pid")" || { cat "$holder.log"; exit 1; }
        sleep 0.05
    done
    ;;
heal)
    [ -e "$holder.pid" ] && kill "$(cat "$holder.pid")" 2>/dev/null
    rm -f "$holder" "$holder.pid"
    ;;
esac
