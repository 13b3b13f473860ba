#!/bin/sh
# Let PostgreSQL take no writes, or take them again:  read-only-postgresql.sh inject|heal
case $1 in
inject) read_only=on ;;
heal) read_only=off ;;
esac
# The server tells its sessions a moment later than us: wait until a session has noticed.
psql --quiet --set=ON_ERROR_STOP=1 postgres >/dev/null <<EOF
ALTER SYSTEM SET default_transaction_read_only = $read_only;
SELECT pg_reload_conf();
EOF
until [ "$(psql --tuples-only --no-align --command 'SHOW default_transaction_read_only' postgres)" = $read_only ]; do
    sleep 0.05
done
