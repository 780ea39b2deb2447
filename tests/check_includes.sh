#!/bin/sh
# Holds docs/design.md's table: which room may include which.
# usage: check_includes.sh SOURCE_DIRECTORY
set -eu
cd "$1"
bad=0

# check ROOM ALLOWED…: includes of "core/X/…" in core/ROOM, X in ALLOWED.
check() {
	room=$1; shift
	found=$(grep -rnoE '^#include "core/[a-z_/]+/' "core/$room" --include='*.[ch]' || true)
	[ -n "$found" ] || [ -z "$(ls core/"$room"/*.c 2>/dev/null)" ] || { echo "no includes found in core/$room"; bad=1; }
	for use in $(echo "$found" | sed -E 's/^([^:]*:[0-9]+):#include "core\/(.*)\/$/\1=\2/'); do
		where=${use%%=*}; what=${use#*=}
		ok=0
		for allowed in "$room" "$@"; do
			case $what in "$allowed"|"$allowed"/*) ok=1 ;; esac
		done
		[ "$ok" = 1 ] || { echo "$where: core/$room may not include core/$what"; bad=1; }
	done
}

check base
check fsm base
check watch base fsm
check rest base
for protocol in coordinate derp disco stun wireguard path; do
	check "tailnet/$protocol" base
done
check netstack base
check tunnel base tailnet netstack
check conn base netstack tunnel
check io base
check script base fsm rest conn netstack tunnel io
check simulate base rest watch tailnet netstack tunnel conn io

only_in() {
	pattern=$1; shift
	found=$(grep -rlE "#include <($pattern)" core --include='*.[ch]' || true)
	for file in $found; do
		ok=0
		for room in "$@"; do
			case $file in "core/$room/"*) ok=1 ;; esac
		done
		[ "$ok" = 1 ] || { echo "$file: includes <$pattern>, which belongs to: $*"; bad=1; }
	done
}
only_in 'uv\.h|libwebsockets\.h' io
only_in 'lua\.h|lauxlib\.h|lualib\.h' script host
only_in 'libssh/' conn simulate
exit "$bad"
