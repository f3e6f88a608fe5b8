#!/usr/bin/env bash
# Installs what the tests and the demo miss, and nothing that is there already:
# a C compiler (race detector), Node, the Node packages of e2e and web, Chromium, Firefox, and a
# PostgreSQL server and PgBouncer (their binaries: tests run their own).
# Works on Debian and its relatives, as root or with sudo.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly node_least=22.13   # what Mastra and the browser rig need
readonly node_package=node@22
readonly node_home=.cache/node

say()  { printf 'deps: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# at_least HAVE WANT: is version HAVE at least WANT?
at_least() { [[ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" == "$2" ]]; }

# apt PACKAGE…: install Debian packages; refresh the lists only if that is needed.
apt() {
	local -a as_root=()
	have apt-get || fail "install these yourself, there is no apt-get here: $*"
	if [[ "$(id -u)" != 0 ]]; then
		have sudo || fail "root is needed: run 'apt-get install $*' as root, then try again"
		as_root=(sudo)
		sudo -n true 2>/dev/null || [[ -t 0 ]] || fail "sudo asks for a password: run 'sudo apt-get install $*', then try again"
	fi
	say "installing $*"
	local -a install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@")
	if ! "${install[@]}" >/dev/null 2>&1; then
		"${as_root[@]}" apt-get update -q >/dev/null || fail "apt-get update failed: is the network up?"
		"${install[@]}" >/dev/null || fail "apt-get cannot install $*"
	fi
}

go_toolchain() {
	have go || fail "Go is missing: install the version that go.mod names, or a newer one"
	local want found
	want=$(sed -n 's/^go //p' go.mod)
	found=$(go env GOVERSION)
	at_least "${found#go}" "$want" || fail "$found is too old: go.mod needs Go $want"
}

compiler() {
	have "$(go env CC)" || apt gcc libc6-dev
}

node_runtime() {
	export PATH="$PWD/$node_home/node_modules/node/bin:$PATH"
	have npm || apt nodejs npm
	if have node && at_least "$(node --version | tr -d v)" "$node_least"; then
		return
	fi
	say "installing $node_package from npm: the system's Node is older than $node_least"
	mkdir -p "$node_home"
	npm install --silent --no-save --no-audit --no-fund --prefix "$node_home" "$node_package" \
		|| fail "npm cannot install $node_package: install Node $node_least or newer yourself"
	hash -r
	at_least "$(node --version | tr -d v)" "$node_least" || fail "Node is still older than $node_least: install a newer one yourself"
}

# node_packages FOLDER: npm ci, unless the lock file is the one installed last.
node_packages() {
	local lock="$1/package-lock.json" stamp="$1/node_modules/.lock-installed"
	[[ -f "$lock" ]] || fail "$lock is missing: commit it, so that all machines test the same versions"
	if cmp -s "$lock" "$stamp"; then
		return
	fi
	say "installing the Node packages of $1"
	(cd "$1" && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --silent --no-audit --no-fund) || fail "npm ci failed in $1"
	mkdir -p "$1/node_modules"
	cp "$lock" "$stamp"
}

go_toolchain
compiler
folders=()
for folder in e2e/providers e2e web; do
	if [[ -f "$folder/package.json" ]]; then folders+=("$folder"); fi
done
if ((${#folders[@]} > 0)); then
	node_runtime
	for folder in "${folders[@]}"; do node_packages "$folder"; done
fi
if ! have chromium; then
	apt chromium
fi
if ! have firefox-esr; then
	apt firefox-esr
fi
if ! have Xvfb; then # for browsers with a window
	apt xvfb
fi
if ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then
	apt postgresql
fi
if ! [[ -x /usr/sbin/pgbouncer ]]; then
	apt pgbouncer
fi
