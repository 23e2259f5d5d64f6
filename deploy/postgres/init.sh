# Once, when the volume is empty: who owns the database is no superuser.
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --set password="$(cat /run/secrets/password)" <<'SQL'
create role messenger login password :'password';
create database messenger owner messenger;
SQL
