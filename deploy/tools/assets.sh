#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes what the portal wears of the npm package bootstrap-italia, the part of
# its style that our pages use and two fonts, in gateway/portal/static/vendor,
# which is embedded and never committed.
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

# The whole folder is replaced: nothing of an older release stays embedded.
package=$work/node_modules/bootstrap-italia
cp "$from/subset.mjs" "$work/"
(cd "$work" && node subset.mjs "$package" "$OLDPWD/gateway/portal" "$work/vendor" >"$work/log" 2>&1) || {
	tail -n 5 "$work/log" >&2
	without "the subset could not be made"
}
cp "$package/dist/fonts/Titillium_Web/OFL.txt" "$work/vendor/fonts/titillium-web.LICENSE.txt"
cp "$package/LICENSE" "$work/vendor/bootstrap-italia.LICENSE.txt"
# For the browser tests only: not below static/, so never embedded.
cp "$work/node_modules/axe-core/axe.min.js" "$from/"
mkdir -p "$from/vendor"
cp "$package/dist/css/bootstrap-italia.min.css" "$from/vendor/"
find "$work/vendor" -type f -exec chmod 644 {} +
rm -rf "$to"
mv "$work/vendor" "$to"
# Make takes the style as the sign that all is there, and made of these pages.
touch "$to/bootstrap-italia.min.css"
