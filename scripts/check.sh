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
	files=(httpapi/openapi.json catalog/shipped.json)
	before=$(mktemp -d)
	trap 'rm -rf "$before"' EXIT
	cp --parents "${files[@]}" "$before"
	go generate ./...
	for file in "${files[@]}"; do
		if ! diff -u "$before/$file" "$file" >&2; then
			echo "$file was out of date and has been regenerated: commit it" >&2
			exit 1
		fi
	done
	;;
web)
	if [[ ! -f web/package.json ]]; then exit 0; fi
	cd web
	# The scripts of the live view and the page of the demo are no part of the workspace: Biome looks at copies.
	before=$(mktemp -d) pages=$(mktemp -d -p . pages.XXXXXX)
	trap 'rm -rf "$before" "$pages"' EXIT
	cp ../pages/assets/{liveview,browser}.js ../examples/demo/page/*.{ts,tsx,css,html} "$pages"
	npx --no-install biome ci --colors=off --max-diagnostics=5 .
	npx --no-install tsc --build
	cp -r packages/client/src/generated "$before"
	npm run --silent generate
	if ! diff -ur "$before/generated" packages/client/src/generated >&2; then
		echo "the API types were out of date and have been regenerated: commit them" >&2
		exit 1
	fi
	;;
*)
	echo "usage: scripts/check.sh format|generated|web" >&2
	exit 2
	;;
esac
