#!/usr/bin/env bash
# From nothing to running, and again after every change: installs Docker where it is missing (Debian and Ubuntu), builds,
# starts what is new or has changed, waits until all is healthy, prints the addresses.
set -euo pipefail
cd "$(dirname "$0")/.."

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
give_up() { printf '%s\n' "$@" >&2 && exit 2; }
has_compose() { docker compose version >/dev/null 2>&1; }
is_known() { apt-cache show "$1" >/dev/null 2>&1; }
GUIDE="How to install it: https://docs.docker.com/engine/install/"

install_docker() {
  command -v apt-get >/dev/null || give_up "Docker with its command compose is missing." "$GUIDE"
  echo "Installing Docker …"
  as_root apt-get -qq update
  local packages=(docker.io)
  for one in docker-cli docker-buildx; do if is_known "$one"; then packages+=("$one"); fi; done
  if is_known docker-compose-v2; then packages+=(docker-compose-v2); else packages+=(docker-compose); fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "${packages[@]}"
  has_compose || give_up "The packages of this release are older than the command docker compose." "$GUIDE"
}

has_compose || install_docker
docker=(docker)
docker info >/dev/null 2>&1 || docker=(as_root docker)
"${docker[@]}" info >/dev/null 2>&1 || give_up "Docker is installed and does not answer. Start it: sudo systemctl start docker"

"${docker[@]}" compose build
"${docker[@]}" compose up --detach --wait
for port in 8080 8000; do
  echo "Messenger listens at http://localhost:$("${docker[@]}" compose port nginx "$port" | sed 's/.*://')"
done
