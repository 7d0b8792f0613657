#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes gateway/places/places.txt anew: code;province;name, sorted. The facts are
# the Ministry of the Interior's, the Revenue Agency's (CC BY 4.0) and Istat's
# (CC BY 3.0), as the npm package named below collects them.
set -euo pipefail
out=$(cd "$(dirname "$0")/../../gateway/places" && pwd)/places.txt
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @marketto/belfiore-connector-embedded@1.2.1
node -e '
const { belfioreConnector: all } = require("@marketto/belfiore-connector-embedded");
Promise.resolve(all.toArray()).then(list => {
  const rows = new Set(list.map(p => [p.belfioreCode, p.province || "EE", p.name.trim()].join(";")));
  process.stdout.write([...rows].sort().join("\n") + "\n");
});' >"$out"
