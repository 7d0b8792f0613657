#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Writes the Go code that is made of the OpenAPI description: the server's types
# and routing, and the client that tests drive the API with.
# With --check it writes nothing and fails when a committed file differs.
set -euo pipefail
cd "$(dirname "$0")/../.."
document=gateway/httpapi/openapi.yaml

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0
for config in gateway/httpapi/oapi.yaml gateway/httpapi/apiclient/oapi.yaml; do
	target=$(sed -n 's/^output:[[:space:]]*//p' "$config")
	[ -n "$target" ] || { echo "generate: $config names no output" >&2; exit 1; }
	target=$(dirname "$config")/$(basename "$target")
	# The configuration decides the output and no flag overrides it.
	sed "s|^output:.*|output: $work/code|" "$config" >"$work/oapi.yaml"
	go tool -modfile=deploy/tools/oapi-codegen/go.mod oapi-codegen -config "$work/oapi.yaml" "$document"
	{
		printf '// SPDX-License-Identifier: Apache-2.0\n\n'
		cat "$work/code"
	} >"$work/out.go"
	if [ "${1:-}" != --check ]; then
		cat "$work/out.go" >"$target"
	elif ! diff -u "$target" "$work/out.go" >&2; then
		echo "generate: $target is not what $document makes: run make generate" >&2
		status=1
	fi
done
exit $status
