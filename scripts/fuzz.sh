#!/usr/bin/env bash
# Runs every fuzz target of the module, one after the other, for the given time.
# What it finds is kept in testdata/fuzz of the package, as a test from then on.
set -euo pipefail
cd "$(dirname "$0")/.."
fuzztime=${1:-10s}

targets=0
for package in $(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./...); do
	listed=$(go test -run '^$' -list '^Fuzz' "$package")
	for target in $(grep '^Fuzz' <<<"$listed" || true); do
		echo "== $package $target ($fuzztime)"
		go test -run '^$' -fuzz "^${target}\$" -fuzztime "$fuzztime" "$package"
		targets=$((targets + 1))
	done
done
echo "$targets targets fuzzed, nothing found"
