#!/bin/sh
# Builds the Go peer and runs the interop suite against one tunnelhost binary.
# usage: run.sh TUNNELHOST SOURCE_DIRECTORY BUILD_DIRECTORY NETWORK_LINK
# Without a Go that can build the peer every test counts as skipped.
set -eu
tunnelhost=$1
source=$2
build=$3
link=$4

skip() {
	count=$(cat "$source"/tests/interop/suite/*_test.go |
		grep -c '^func Test')
	echo "skipped: $1"
	echo "0 passed, 0 failed, $count skipped"
	exit 0
}

command -v go >/dev/null || skip "no go in PATH; the peer needs Go 1.26"
have=$(go env GOVERSION | sed -E 's/^go([0-9]+)\.([0-9]+).*/\1 \2/')
set -- $have
[ "$1" -gt 1 ] || [ "$2" -ge 26 ] || skip "go $1.$2 is too old; the peer needs Go 1.26"

cd "$source/tests/interop"
mkdir -p "$build"
go build -tags ts_debug_websockets -o "$build/peer" . ||
	skip "the peer's Go modules cannot be had here"
go vet ./suite ./link
TUNNELHOST=$tunnelhost PEER=$build/peer SOURCE=$source LINK=$link \
	go test -count=1 -timeout 600s -v ./suite >"$build/interop.log" 2>&1 || true
grep -v '^=== ' "$build/interop.log" || true
awk '/^--- PASS/ { p++ } /^--- FAIL/ { f++ } /^--- SKIP/ { s++ }
     /^(panic|FAIL.*build failed|FAIL.*setup failed)/ { f++ }
     END { printf "%d passed, %d failed, %d skipped\n", p, f, s; exit f || !p }' \
	"$build/interop.log"
