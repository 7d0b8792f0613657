#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Writes deploy/secrets/ for compose.yaml, once: what is there is never
# replaced, for without its root secret a database cannot be read again.
# Needs root, to give the files to the container's user (65532) alone.
set -euo pipefail
umask 077
[ "$(id -u)" = 0 ] || { echo "secrets: run this with sudo" >&2; exit 1; }
dir=$(cd "$(dirname "$0")/.." && pwd)/secrets
install -d -m 0711 "$dir"
cd "$dir"

write() { # write FILE: standard input, unless the file exists
	if [ -e "$1" ]; then cat >/dev/null; else cat >"$1" && echo "wrote deploy/secrets/$1"; fi
}
openssl rand -base64 32 | write nodogate_secret
openssl rand -hex 24 | tr -d '\n' | write postgres_password
write nodogate.yaml <<YAML
NODOGATE_DATABASE_URL: postgres://nodogate:$(cat postgres_password)@postgres:5432/nodogate
# What the node sends us as Ocp-Apim-Subscription-Key.
NODOGATE_PEER_KEY: $(openssl rand -hex 32)
YAML
write psps.env <<'ENV'
# One line per secret_env of psps.yaml.
CHECKOUT_SUBSCRIPTION_KEY=
ENV
chown 65532:65532 nodogate_secret nodogate.yaml
chmod 0600 nodogate_secret nodogate.yaml
# Docker itself reads this one, as whoever calls it.
chown "${SUDO_UID:-0}:${SUDO_GID:-0}" psps.env
echo "Keep a copy of deploy/secrets/nodogate_secret away from this machine and from the database's backup."
