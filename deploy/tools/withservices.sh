#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# withservices.sh COMMAND [ARG...]
#
# Runs COMMAND with a PostgreSQL and a Redis of its own and exits with its
# status. Both live in a new directory and listen on nothing but a socket in
# it, so no port is taken and no other server can be met by mistake. Exports
# NODOGATE_TEST_DATABASE_URL and NODOGATE_TEST_REDIS_URL; a service whose
# variable is already set is not started. What was started is stopped, and
# only that, however this ends: should this shell be killed outright, the
# kernel tells the servers (setpriv --pdeathsig).
set -euo pipefail
[ $# -gt 0 ] || { echo "usage: $0 COMMAND [ARG...]" >&2; exit 2; }

# Not under TMPDIR: a socket's path may have 107 bytes at most.
dir=$(mktemp -d /tmp/nodogate-services.XXXXXX)
postgres='' redis='' child=''

stop() {
	trap '' INT TERM
	# The child leads a process group: what it started ends with it.
	if [ -n "$child" ]; then kill -TERM -- "-$child" 2>/dev/null && wait "$child" || true; fi
	if [ -n "$redis" ]; then kill -TERM "$redis" 2>/dev/null && wait "$redis" || true; fi
	# SIGINT is PostgreSQL's fast shutdown: it does not wait for clients.
	if [ -n "$postgres" ]; then kill -INT "$postgres" 2>/dev/null && wait "$postgres" || true; fi
	rm -rf "$dir"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# wait_for NAME PID COMMAND...: until COMMAND succeeds, at most 60 s.
wait_for() {
	local name=$1 pid=$2 tries=600
	shift 2
	until "$@" >/dev/null 2>&1; do
		if ! kill -0 "$pid" 2>/dev/null || [ $((tries -= 1)) -le 0 ]; then
			echo "withservices: $name did not start:" >&2
			tail -n 20 "$dir/$name.log" >&2
			exit 1
		fi
		sleep 0.1
	done
}

if [ -z "${NODOGATE_TEST_DATABASE_URL:-}" ]; then
	bins=(/usr/lib/postgresql/*/bin)
	bin=${bins[-1]}
	[ -x "$bin/postgres" ] || { echo "withservices: no PostgreSQL: run make testdeps" >&2; exit 1; }
	# PostgreSQL refuses to run as root.
	as=()
	if [ "$(id -u)" = 0 ]; then
		as=(--reuid=postgres --regid=postgres --init-groups)
		chown postgres: "$dir"
	fi
	(cd "$dir" && setpriv "${as[@]}" "$bin/initdb" --pgdata="$dir/data" --username=nodogate \
		--auth=trust --encoding=UTF8 --no-locale --no-sync >"$dir/postgres.log" 2>&1) ||
		{ cat "$dir/postgres.log" >&2; exit 1; }
	# fsync stays on: tests that prove durability, and benchmarks, want the truth.
	(cd "$dir" && exec setpriv "${as[@]}" --pdeathsig=INT "$bin/postgres" -D "$dir/data" \
		-c listen_addresses= -c unix_socket_directories="$dir" -c max_connections=300 \
		>>"$dir/postgres.log" 2>&1) </dev/null &
	postgres=$!
	wait_for postgres "$postgres" "$bin/pg_isready" --quiet --host="$dir" --username=nodogate --dbname=postgres
	"$bin/createdb" --host="$dir" --username=nodogate nodogate
	export NODOGATE_TEST_DATABASE_URL="postgres:///nodogate?host=$dir&user=nodogate"
fi

if [ -z "${NODOGATE_TEST_REDIS_URL:-}" ]; then
	command -v redis-server >/dev/null || { echo "withservices: no Redis: run make testdeps" >&2; exit 1; }
	setpriv --pdeathsig=TERM redis-server --port 0 --unixsocket "$dir/redis.sock" --dir "$dir" \
		--save '' --appendonly no >"$dir/redis.log" 2>&1 </dev/null &
	redis=$!
	wait_for redis "$redis" redis-cli -s "$dir/redis.sock" ping
	export NODOGATE_TEST_REDIS_URL="unix://$dir/redis.sock"
fi

# In a process group of its own, so that a signal reaches all that it starts,
# and in the background, so that this shell hears the signal at once.
set -m
"$@" </dev/null &
child=$!
set +m
status=0
wait "$child" || status=$?
child=''
exit "$status"
