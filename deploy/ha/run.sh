#!/bin/sh
# Starts Patroni with the passwords of a file of assignments; what else it needs is in the environment already.
set -eu
set -a
. "${SECRETS:-/run/secrets/environment}"
set +a
exec patroni patroni.yml
