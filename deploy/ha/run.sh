#!/bin/sh
# Starts Patroni, or the command in the arguments, with the passwords of a file of assignments. What else Patroni needs is
# in the environment already.
set -eu
set -a
. "${SECRETS:-/run/secrets/environment}"
set +a
[ $# -gt 0 ] || set -- patroni patroni.yml
exec "$@"
