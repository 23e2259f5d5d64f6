#!/bin/sh
# Runs nginx before the servers that API_SERVERS names: in a container of the official image (compose mounts this folder
# and makes this its command), or anywhere else where nginx 1.22 or later is. It needs no privileges, and writes only
# below NGINX_DIR.
#
#   API_SERVERS       host:port … of the api processes; a name may lead to several addresses, or for now to none
#   NGINX_THROTTLING  1: limits.conf is used, and the servers need not count (they read the same setting)
#   NGINX_TLS         1: tls.conf is used: 8443 with the certificate in NGINX_CERTS, fullchain.pem and privkey.pem
set -eu
here=$(cd "$(dirname "$0")" && pwd)
dir=${NGINX_DIR:-/tmp/nginx}
: "${API_SERVERS:?names no servers: host:port … is expected}"

is_on() {
  case $1 in 1 | true | yes | on) ;; '' | 0 | false | no | off) return 1 ;; *) echo "$2=$1 is not 0 or 1." >&2 && exit 2 ;; esac
}

# One attempt in a second finds out that a server is still away, and no more of them need to.
servers() {
  for one in $API_SERVERS; do
    getent ahostsv4 "${one%:*}" | while read -r address kind _; do
      [ "$kind" != STREAM ] || echo "server $address:${one##*:} max_fails=1 fail_timeout=1s;"
    done
  done | sort -u
}

# nginx forgives a failure when a later request has ended well, and sockets do not end: of them it counts none.
keep_servers() {
  [ -s "$dir/servers.found" ] || echo "server 0.0.0.0:1 down;" >"$dir/servers.found"
  mv "$dir/servers.found" "$dir/servers.conf"
  sed 's/ max_fails=.*/ max_fails=0;/' "$dir/servers.conf" >"$dir/servers_lasting.conf"
  sed 's/;$/ backup;/' "$dir/servers_lasting.conf" >"$dir/servers_last_resort.conf"
}

# Names are looked up here, since nginx does it only when it starts, and does not start without them. A container that is
# made anew may get another address; one that is only away keeps its place, so that nothing is read again for it.
follow() {
  while sleep 1 && kill -0 $$ 2>/dev/null; do
    servers >"$dir/servers.found"
    if [ -n "$(comm -13 "$dir/servers.conf" "$dir/servers.found")" ]; then
      keep_servers
      nginx -p "$dir" -c nginx.conf -e stderr -s reload
    fi
  done
}

mkdir -p "$dir"
rm -rf "$dir/http.d" "$dir/server.d"
mkdir "$dir/http.d" "$dir/server.d"
cp "$here"/*.conf "$dir"
if is_on "${NGINX_THROTTLING:-}" NGINX_THROTTLING; then mv "$dir/limits.conf" "$dir/http.d"; fi
if is_on "${NGINX_TLS:-}" NGINX_TLS; then mv "$dir/tls.conf" "$dir/server.d"; fi
ln -sfn "${NGINX_CERTS:-/etc/nginx/certs}" "$dir/certs"
servers >"$dir/servers.found"
keep_servers

ulimit -n "$(ulimit -Hn)"
follow &
exec nginx -p "$dir" -c nginx.conf -e stderr -g 'daemon off;'
