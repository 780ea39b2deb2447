#!/bin/bash
# The real binary, as a person and a shell meet it (docs/cli.md).
# usage: run.sh TUNNELHOST SOURCE_DIRECTORY WORK_DIRECTORY [TEST…]
# Each test is a function t_NAME, run by itself with a time limit. Tests wait
# for lines of output, never for time.
set -u
tunnelhost=$1
source=$2
work=$3
shift 3

export HOME=$work/home TERM=dumb LC_ALL=C.UTF-8
for name in $(compgen -e | grep -E '^(CODER_|XDG_|NO_COLOR|CREDENTIALS_)'); do
	unset "$name"
done
mkdir -p "$HOME"

skip() { echo "skipped: $*"; exit 77; }
fail() { echo "failed: $*"; for f in out err; do echo "--- $f"; tail -20 "$f"; done; exit 1; }
has() { grep -qF -- "$2" "$1" || fail "'$2' is not in $1"; }
lacks() { ! grep -qF -- "$2" "$1" || fail "'$2' is in $1"; }
is() { [ "$(cat "$1")" = "$2" ] || fail "$1 is not '$2'"; }

# expect STATUS ARGS…: runs to the end.
expect() {
	local want=$1 got=0; shift
	"$tunnelhost" "$@" >out 2>err </dev/null || got=$?
	[ "$got" = "$want" ] || fail "status $got, not $want: $*"
}

# begin ARGS…: runs on, stdout line by line on descriptor 3, stdin open.
begin() {
	rm -f pipe input; mkfifo pipe input
	exec 4<>input
	"$tunnelhost" "$@" >pipe 2>err <input 4>&- 7>&- &
	pid=$!
	exec 3<pipe
}
line() { IFS= read -r -t 30 -u 3 got || fail "no line; '$1' was expected"; [ "$got" = "$1" ] || fail "'$got' is not '$1'"; }
ends() { local got=0; wait "$pid" || got=$?; : >out; [ "$got" = "$1" ] || fail "status $got, not $1"; }

service='local up = require "tunnel"
return { start = function() print("up") end,
  close = function(r) print("close " .. r.kind) end }'
stubborn='return { start = function() print("up") end,
  close = function(r) print("closing") require("tunnel").sleep(math.huge) end }'

t_streams_apart() {
	expect 0 run --simulate "$source/examples/hello.lua"
	is out foo
	lacks err foo
	expect 0 run -e 'return { run = function() io.stderr:write("aside\n") print("said") end }'
	is out said
	is err aside
}
t_status_of_the_job() {
	expect 7 run -e 'return { run = function() return 7 end }'
	expect 0 run -e 'return { run = function() return true end }'
	expect 9 run --simulate -e 'return { run = function(conn) assert(conn:ping()) return 9 end }'
	is out ''
}
t_64_usage() {
	expect 64 run --nonsense x.lua; has err "tunnelhost: wrong usage: unknown option '--nonsense'"
	expect 64 frobnicate; has err 'there is no such command'
	expect 64 run; has err 'run needs an application'
	expect 64 run -e 'return { run = print }' --timeout soon; has err "--timeout: 'soon'"
	expect 64 run "$source/examples/hello.lua" -- a b c; has err 'tunnelhost: wrong usage'
	expect 64; has out 'usage: tunnelhost'
}
t_65_replay() {
	printf '{"shutdown_signal":{}}\nnonsense\n' >events
	expect 65 replay events
	has out '"to":"exit"'
	has err 2
	"$tunnelhost" replay - <events >out 2>err; [ $? = 65 ] || fail 'replay -'
	has out '"to":"exit"'
	expect 66 replay missing
}
t_69_unreachable() {
	export CODER_SESSION_TOKEN=x
	expect 69 run --url http://127.0.0.1:1 -e 'return { run = print }' W
	has err "tunnelhost: workspace 'W' cannot be found: "
}
t_70_traceback() {
	expect 70 run --simulate -e 'return { run = function() error("oops") end }'
	has err 'stack traceback:'
	[ "$(tail -1 err)" = 'tunnelhost: the script failed: (-e):1: oops' ] || fail 'the error is not last'
	is out ''
	expect 70 run -e 'return { run = function() error("oops") end }'
	has err 'stack traceback:'
}
t_78_configuration() {
	expect 78 run missing.lua; has err 'missing.lua'
	echo 'return {' >bad.lua
	expect 78 run bad.lua; has err 'bad.lua:2'; lacks err traceback
	expect 78 run -e 'return { run = print }' W; has err 'no deployment is known'
	expect 78 run --client-tls-ca-file missing.pem -e 'return { run = print }'
}
t_77_not_signed_in() {
	expect 77 run --url http://127.0.0.1:1 -e 'return { run = print }' W
	has err 'tunnelhost: not signed in: '
	has err 'CODER_SESSION_TOKEN'
	simulated
	CODER_SESSION_TOKEN=wrong expect 77 run -e 'return { run = print }' workspace
	has err "workspace 'workspace' cannot be found"
	has err 'sign in'
}
t_124_timeout() {
	expect 124 run --simulate --timeout 0.3 --starter "$source/lua/starters/none.lua" -e 'return { run = print }'
	has err 'tunnelhost: a deadline ran out: gave up while starting the workspace'
}
t_signals() {
	local signal status
	for signal in INT:130 TERM:143 HUP:143; do
		begin run --simulate -e "$service"
		line up
		kill -"${signal%:*}" "$pid"
		line 'close signal'
		ends "${signal#*:}"
		lacks err 'tunnelhost: '
		begin run -e "$service"
		line up
		kill -"${signal%:*}" "$pid"
		line 'close signal'
		ends "${signal#*:}"
	done
}
t_second_signal() {
	local where before
	for where in --simulate --quiet; do
		begin run $where -e "$stubborn"
		line up
		kill -INT "$pid"
		line closing
		before=$SECONDS
		kill -INT "$pid"
		ends 130
		[ $((SECONDS - before)) -le 2 ] || fail 'not at once'
	done
}
t_shutdown_budget() {
	local where
	for where in --simulate --quiet; do
		begin run $where --shutdown-timeout 0.5 -e "$stubborn"
		line up
		kill -TERM "$pid"
		line closing
		ends 124
		has err 'the shutdown budget was spent while closing the application'
	done
}
t_usr2_is_ignored() {
	begin run -e 'return { start = function() print("up")
	  require("tunnel").spawn(function() print(io.read("l")) end) end }'
	line up
	kill -USR2 "$pid"
	echo alive >&4
	line alive
	kill -INT "$pid"
	ends 130
}
t_closes_what_tasks_hold() {
	begin run -e 'local tunnel = require "tunnel"
	return { run = function() local x <close> = setmetatable({}, { __close = function()
	  tunnel.sleep(0.01) print("let go") end }) print("up") tunnel.sleep(math.huge) end }'
	line up
	kill -INT "$pid"
	line 'let go'
	ends 130
}
t_help_of_the_app() {
	expect 0 run "$source/examples/hello.lua" --help
	has out 'what to run in the workspace'
	is err ''
}
t_arguments() {
	echo 'return { run = function(conn, args) print(conn, #args, args[1], args[2]) end }' >app.lua
	expect 0 run app.lua -- a '-b c'
	is out $'nil\t2\ta\t-b c'
}
t_shebang() {
	mkdir -p bin; ln -sf "$tunnelhost" bin/tunnelhost
	printf '#!/usr/bin/env -S tunnelhost run\nreturn { run = function() print("ran") end }\n' >app
	chmod +x app
	PATH=$PWD/bin:$PATH ./app >out 2>err </dev/null || fail "status $?"
	is out ran
}
t_module_beside() {
	mkdir -p there
	echo 'return { word = "beside" }' >there/mine.lua
	echo 'local m = require "mine" return { run = function() print(m.word) end }' >there/app.lua
	expect 0 run there/app.lua
	is out beside
}
t_stdin() {
	begin run -e 'return { run = function() print("ask") print(io.read("l")) print(io.read("a")) end }'
	line ask
	printf 'one\ntwo' >&4
	line one
	exec 4>&-
	line two
	ends 0
	printf 'x' | "$tunnelhost" run --simulate -e 'return { run = function() io.write(io.read("a")) end }' >out 2>err
	is out x
}
t_stdout_closed_early() {
	[ "$("$tunnelhost" run -e 'return { run = function() for i = 1, math.huge do
	  if not io.write("line ", i, "\n") then return 3 end end end }' 2>err | head -1
	  echo "${PIPESTATUS[0]}")" = $'line 1\n3' ] || fail 'head -1'
}
t_stdout_never_read() {
	local before
	mkfifo full told
	exec 5<>full 6<>told
	"$tunnelhost" run --simulate -q -e 'local tunnel = require "tunnel"
	return { run = function() local n = 0
	  tunnel.spawn(function() local last repeat last = n tunnel.sleep(0.2) until n == last
	    io.stderr:write("stuck\n") end)
	  while true do io.write(("x"):rep(65536)) n = n + 1 end end }' >full 2>told </dev/null &
	pid=$!
	IFS= read -r -t 30 -u 6 got; [ "$got" = stuck ] || fail "'$got'"
	before=$SECONDS
	kill -INT "$pid"
	ends 130
	[ $((SECONDS - before)) -le 6 ] || fail 'longer than the budget'
}
t_progress() {
	local late=(run --simulate --timeout 1.5 --starter "$source/lua/starters/none.lua" -e 'return { run = print }')
	expect 124 "${late[@]}"
	has err 'tunnelhost: workspace: starting the workspace'
	lacks err $'\r'
	lacks err done
	expect 124 -q "${late[@]}"
	lacks err 'workspace: starting'
	expect 0 run --simulate -e 'return { run = function() end }'
	lacks err 'tunnelhost:'
}
on_terminal() { TERM=xterm script -qec "$*" /dev/null >out 2>&1 </dev/null || true; : >err; }
t_progress_on_a_terminal() {
	command -v script >/dev/null || skip 'no script(1)'
	on_terminal "'$tunnelhost' run --simulate --timeout 2 --starter '$source/lua/starters/none.lua' -e 'return { run = print }'"
	has out $'\r\e[Kworkspace: starting the workspace\u2026 (1 s)'
	has out $'\e[31mtunnelhost:\e[0m a deadline ran out'
	export NO_COLOR=1
	on_terminal "'$tunnelhost' run nothing.lua"
	has out 'tunnelhost: the script cannot be loaded'
	lacks out $'\e[31m'
}
t_logs() {
	expect 0 run --simulate -v --log-format json -e 'return { run = function() end }'
	has err '"room":"fsm","message":"handled event build_update, init -> '
	has err '"message":"connecting tailnet"'
	! grep -v '^{"time":[0-9.]*,"level":"' err | grep -v '^starter: ' || fail 'not all JSON'
	expect 0 run --simulate -v --log-file log -e 'return { run = function() end }'
	has log 'tunnelhost: debug: fsm: handled event'
	lacks err debug
	[ "$(stat -c %a log)" = 600 ] || fail 'mode of the log'
}
t_version_help_fsm() {
	expect 0 version; has out 'tunnelhost '
	expect 0 version -o json; has out '{"version":"'
	expect 0 help; has out 'commands:'
	expect 0 help run; has out '--shutdown-timeout'
	expect 0 --help; has out 'commands:'
	expect 64 help nonsense
	expect 0 fsm --dot; has out digraph
	expect 0 fsm --json; has out shutdownTailnet
	expect 64 fsm
}
# Begins a deployment; its exports are evaluated here.
simulated() {
	begin simulate "$@"
	IFS= read -r -t 30 -u 3 got || fail 'no exports'
	server=$pid
	exec 7>&4	# its stdin stays open when `begin` is used again
	eval "$got"
	[ -n "$CODER_URL$CODER_SESSION_TOKEN" ] || fail "'$got'"
}
t_simulate_exports() {
	simulated
	expect 0 run "$source/examples/hello.lua" workspace
	is out foo
	expect 0 run "$source/examples/hello.lua" simulated/workspace.main -- 'echo $HOME $CODER_SESSION_TOKEN.'
	lacks out "$CODER_SESSION_TOKEN"
	kill -TERM "$server"
	ends 0
}
t_simulate_ends_with_its_pipe() {
	simulated
	exec 4>&- 7>&-
	ends 0
}
t_simulate_tls() {
	simulated --tls
	[ -n "${CODER_CLIENT_TLS_CA_FILE:-}" ] || fail "'$got' names no CA"
	expect 0 run "$source/examples/hello.lua" workspace
	is out foo
	unset CODER_CLIENT_TLS_CA_FILE
	expect 69 run "$source/examples/hello.lua" workspace
	kill -TERM "$server"
	ends 0
	begin simulate --json --tls
	IFS= read -r -t 30 -u 3 got || fail 'no line'
	case $got in '{'*'"url"'*https://*'}') ;; *) fail "'$got'" ;; esac
	kill -TERM "$pid"
	ends 0
}
t_token_stays_secret() {
	simulated
	local token=$CODER_SESSION_TOKEN
	expect 0 run -v -e 'local tunnel = require "tunnel" return { run = function()
	  print(tunnel.env("CODER_SESSION_TOKEN"), tunnel.env("CODER_URL")) end }' workspace
	is out "nil	$CODER_URL"
	lacks err "$token"
	begin run -v -e "$service" workspace
	line up
	tr '\0' '\n' <"/proc/$pid/environ" >out
	lacks out "$token"
	tr '\0' '\n' <"/proc/$pid/cmdline" >out
	lacks out "$token"
	kill -INT "$pid"
	line 'close signal'
	ends 130
	lacks err "$token"
	begin run -e "$service"
	line up
	tr '\0' '\n' <"/proc/$pid/environ" >out
	lacks out "$token"
	kill -INT "$pid"
	line 'close signal'
	ends 130
	kill -TERM "$server"
}
t_stopped_and_not_to_be_started() {
	simulated --workspace-state stopped
	expect 69 run --disable-autostart "$source/examples/hello.lua" workspace
	has err 'tunnelhost: the workspace cannot be reached: workspace workspace is stopped'
	has err 'leave out --disable-autostart'
}

if [ "${1-}" = --one ]; then
	mkdir -p "$work/$2"; cd "$work/$2" || exit 1
	rm -rf ./*
	: >out; : >err
	trap 'for job in $(jobs -p); do kill "$job" 2>/dev/null; done' EXIT
	"t_$2"
	exit
fi

passed=0 failed=0 skipped=0
tests=${*:-$(compgen -A function | sed -n 's/^t_//p')}
for test in $tests; do
	begun=$EPOCHREALTIME
	timeout -k 5 60 bash "$0" "$tunnelhost" "$source" "$work" --one "$test" >"$work/log" 2>&1
	case $? in
	0) passed=$((passed + 1)); word=ok ;;
	77) skipped=$((skipped + 1)); word=skipped ;;
	124|137) failed=$((failed + 1)); word='TIMED OUT' ;;
	*) failed=$((failed + 1)); word=FAILED ;;
	esac
	echo "$word $test ($(( (${EPOCHREALTIME/./} - ${begun/./}) / 1000 )) ms)"
	[ "$word" = ok ] || cat "$work/log"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
