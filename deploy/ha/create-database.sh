#!/bin/sh
# Run by Patroni once, on the machine that makes the cluster; $1 is the address of its superuser.
set -eu
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --dbname "$1" <<'SQL'
\getenv password MESSENGER_PASSWORD
create role messenger login password :'password';
create database messenger owner messenger;
grant pg_monitor to messenger; -- what messenger-admin doctor looks at
SQL
