#!/bin/sh
# Fill the file system of the SQLite database, or make room again:  full-sqlite.sh inject|heal
if [ "$1" = inject ]; then
    # Otherwise new transactions find room in the write-ahead log, where old ones were.
    python3 - "$STAGE/data/jobs.sqlite3" <<'EMPTY_LOG' || exit 1
import sqlite3, sys
sqlite3.connect(sys.argv[1], timeout=10).execute("PRAGMA wal_checkpoint(TRUNCATE)")
EMPTY_LOG
fi
"$(dirname "$0")/full-disk.sh" "$1" "$STAGE/data"
