#!/usr/bin/env bash
# The parts of "make check" that are more than one command.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
format)
	unformatted=$(git ls-files -co --exclude-standard -- '*.go' | xargs -r gofmt -l)
	if [[ -n "$unformatted" ]]; then
		printf 'not formatted; run gofmt -w on:\n%s\n' "$unformatted" >&2
		exit 1
	fi
	;;
generated)
	# Compared with the work tree rather than the last commit, so that a change
	# and its regenerated file can be checked together before they are committed.
	file=httpapi/openapi.json
	if [[ ! -f "$file" ]]; then exit 0; fi
	before=$(mktemp)
	trap 'rm -f "$before"' EXIT
	cp "$file" "$before"
	go generate ./...
	if ! diff -u "$before" "$file" >&2; then
		echo "$file was out of date and has been regenerated: commit it" >&2
		exit 1
	fi
	;;
web)
	if [[ ! -f web/package.json ]]; then exit 0; fi
	cd web && npx --no-install biome ci .
	;;
*)
	echo "usage: scripts/check.sh format|generated|web" >&2
	exit 2
	;;
esac
