#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Copies what the portal wears out of the npm package bootstrap-italia into
# gateway/portal/static/vendor, which is embedded and never committed.
# Without npm, or without network, it says so and succeeds: the portal works
# without it.
set -euo pipefail
cd "$(dirname "$0")/../.."
from=gateway/portal/assets
to=gateway/portal/static/vendor

without() {
	echo "assets: $1; the portal wears its own small style" >&2
	exit 0
}
command -v npm >/dev/null || without "npm is not installed"

# Installed outside the tree, so that no Go pattern ever walks node_modules.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$from/package.json" "$from/package-lock.json" "$from/.npmrc" "$work/"
(cd "$work" && npm ci --loglevel=error >"$work/log" 2>&1) || {
	tail -n 5 "$work/log" >&2
	without "npm ci did not succeed"
}

# For the browser tests only: not below static/, so never embedded.
cp "$work/node_modules/axe-core/axe.min.js" "$from/axe.min.js"

# The whole folder is replaced: nothing of an older release stays embedded.
dist=$work/node_modules/bootstrap-italia/dist
mkdir -p "$work/vendor/fonts"
cp "$dist/svg/sprites.svg" "$work/vendor/"
cp "$dist"/fonts/Titillium_Web/titillium-web-*-{regular,600,700}.woff2 "$work/vendor/fonts/"
cp "$dist"/fonts/Roboto_Mono/roboto-mono-*-{regular,700}.woff2 "$work/vendor/fonts/"
cp "$dist/fonts/Titillium_Web/OFL.txt" "$work/vendor/fonts/titillium-web.LICENSE.txt"
cp "$dist/fonts/Roboto_Mono/LICENSE.txt" "$work/vendor/fonts/roboto-mono.LICENSE.txt"
cp "$work/node_modules/bootstrap-italia/LICENSE" "$work/vendor/bootstrap-italia.LICENSE.txt"
# Last, for make takes it as the sign that all is there. Its source map stays behind.
grep -v '^/\*# sourceMappingURL=' "$dist/css/bootstrap-italia.min.css" >"$work/vendor/bootstrap-italia.min.css"
find "$work/vendor" -type f -exec chmod 644 {} +
rm -rf "$to"
mv "$work/vendor" "$to"
