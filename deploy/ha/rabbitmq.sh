#!/bin/bash
# The nodes of a RabbitMQ know each other by a cookie that only their own account may read.
set -eu
install --owner=rabbitmq --mode=400 /run/secrets/cookie /var/lib/rabbitmq/.erlang.cookie
exec docker-entrypoint.sh rabbitmq-server
