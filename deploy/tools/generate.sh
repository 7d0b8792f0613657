#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Writes the Go code that gateway/httpapi takes from its OpenAPI description.
# With --check it writes nothing and fails when the committed file differs.
set -euo pipefail
cd "$(dirname "$0")/../.."
api=gateway/httpapi
target=$(sed -n 's/^output:[[:space:]]*//p' "$api/oapi.yaml")
[ -n "$target" ] || { echo "generate: $api/oapi.yaml names no output" >&2; exit 1; }
target=$api/$(basename "$target")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The configuration decides the output and no flag overrides it.
sed "s|^output:.*|output: $work/code|" "$api/oapi.yaml" >"$work/oapi.yaml"
go tool -modfile=deploy/tools/oapi-codegen/go.mod oapi-codegen -config "$work/oapi.yaml" "$api/openapi.yaml"
{
	printf '// SPDX-License-Identifier: Apache-2.0\n\n'
	cat "$work/code"
} >"$work/out.go"

if [ "${1:-}" = --check ]; then
	diff -u "$target" "$work/out.go" >&2 || { echo "generate: $target is not what $api/openapi.yaml makes: run make generate" >&2; exit 1; }
else
	cat "$work/out.go" >"$target"
fi
