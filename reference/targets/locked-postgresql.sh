#!/bin/sh
# Let another session lock a table:  locked-postgresql.sh inject [TABLE] | wait | heal
# `wait` returns once somebody waits for the lock.
holder=lock-holder
ask() {
    psql --quiet --tuples-only --no-align --command "SELECT count($1) FROM $2" postgres
}
case $1 in
inject)
    # Its output goes elsewhere: whoever waits for ours would wait for it, too.
    PGAPPNAME=$holder psql --quiet --set=ON_ERROR_STOP=1 postgres >"$STAGE/$holder.log" 2>&1 <<EOF &
BEGIN;
LOCK TABLE ${2:-jobs} IN ACCESS EXCLUSIVE MODE;
SELECT pg_sleep(600);
EOF
    until [ "$(ask 1 "pg_stat_activity WHERE application_name = '$holder' AND wait_event = 'PgSleep'")" = 1 ]; do
        kill -0 $! || { cat "$STAGE/$holder.log"; exit 1; }
        sleep 0.05
    done
    ;;
wait) until [ "$(ask 1 "pg_locks WHERE NOT granted")" -gt 0 ]; do sleep 0.02; done ;;
heal) ask "pg_terminate_backend(pid)" "pg_stat_activity WHERE application_name = '$holder'" >/dev/null ;;
esac
