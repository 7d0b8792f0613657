#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what the tests need and this Debian or Ubuntu lacks, with apt.
# When nothing is missing it touches nothing and needs no right.
set -euo pipefail

missing=()
need() { # need PACKAGE COMMAND...: any one of the commands will do
	local package=$1 command
	shift
	for command; do
		if command -v "$command" >/dev/null; then return; fi
	done
	missing+=("$package")
}
need chromium chromium chromium-browser google-chrome
need redis-server redis-server
need postgresql /usr/lib/postgresql/*/bin/postgres
need libxml2-utils xmllint
need poppler-utils pdftotext
need zbar-tools zbarimg
need dmtx-utils dmtxread
need prometheus promtool
need gcc gcc # the race detector links with it
# Debian's own interpreter, whatever stands before it in the path.
/usr/bin/python3 -c 'import zeep' 2>/dev/null || missing+=(python3-zeep)
[ -e /usr/include/stdlib.h ] || missing+=(libc6-dev)
[ ${#missing[@]} -gt 0 ] || exit 0

echo "testdeps: installing ${missing[*]}" >&2
as_root=()
if [ "$(id -u)" != 0 ]; then
	as_root=(sudo)
	[ -t 0 ] || as_root+=(-n)
	command -v sudo >/dev/null || {
		echo "testdeps: neither root nor sudo; as root run: apt-get install ${missing[*]}" >&2
		exit 1
	}
fi

# Debian's packages start their services when they are installed. The tests
# start their own, so ask invoke-rc.d not to, unless someone already decides.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	trap '"${as_root[@]}" rm -f "$policy"' EXIT
	printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
	"${as_root[@]}" chmod 755 "$policy"
fi
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null
