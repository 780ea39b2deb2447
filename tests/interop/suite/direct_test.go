package suite

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// direct waits for a direct path and prints it; then says what the pings say.
const direct = `
local tunnel = require "tunnel"
return { run = function(conn)
  local ping
  local deadline = tunnel.now() + %s
  repeat
    ping = assert(conn:ping{ timeout = 5 })
    if not ping.direct then tunnel.sleep(0.05) end
  until ping.direct or tunnel.now() > deadline
  print(ping.direct and "direct " .. ping.endpoint or "relay " .. ping.derp_region)
end }
`

// path runs the script above and returns what it prints, and the log.
func path(t *testing.T, d *deployment, seconds string, flags ...string) (string, []logged) {
	t.Helper()
	script := filepath.Join(t.TempDir(), "direct.lua")
	os.WriteFile(script, []byte(fmt.Sprintf(direct, seconds)), 0o644)
	args := append([]string{"run", "--workspace", "peerws", "--log-level", "debug", "--log-format", "json"}, flags...)
	p := d.spawn(nil, append(args, script)...)
	if got := p.wait(30 * time.Second); got != 0 {
		t.Fatalf("status %d", got)
	}
	return strings.TrimSpace(p.stdout.String()), p.log()
}

type logged struct {
	Time          float64
	Room, Message string
}

func (p *process) log() (lines []logged) {
	scanner := bufio.NewScanner(strings.NewReader(p.stderr.String()))
	for scanner.Scan() {
		var line logged
		if json.Unmarshal(scanner.Bytes(), &line) == nil {
			lines = append(lines, line)
		}
	}
	return lines
}

func first(t *testing.T, lines []logged, room, pattern string) float64 {
	t.Helper()
	for _, line := range lines {
		if line.Room == room && regexp.MustCompile(pattern).MatchString(line.Message) {
			return line.Time
		}
	}
	t.Fatalf("no message of %s like %q", room, pattern)
	return 0
}

// withinASecond: from the relay's coming up to the first direct path.
func withinASecond(t *testing.T, serve ...string) {
	t.Helper()
	where, lines := path(t, servePeer(t, serve...), "5")
	if !strings.HasPrefix(where, "direct ") {
		t.Fatalf("the path is %q", where)
	}
	took := first(t, lines, "path", " directly at ") - first(t, lines, "derp", "^relay .* is up")
	t.Logf("%s, %.1f ms after the relay", where, took*1000)
	if took > 1 {
		t.Errorf("direct %.3f s after the relay came up", took)
	}
}

func TestDirectWithinASecond(t *testing.T)    { withinASecond(t) }
func TestDirectWithinASecondTLS(t *testing.T) { withinASecond(t, "--tls") }
func TestDirectWithinASecondAll(t *testing.T) { withinASecond(t, "--endpoints", "all") }

// The agent's own netcheck waits 3 s for a server that does not answer.
func TestDirectWithoutSTUN(t *testing.T)          { directInTheEnd(t, "--stun", "off") }
func TestDirectDual(t *testing.T)                 { directInTheEnd(t, "--stun", "dual") }
func TestDirectWithTheRelayFarAway(t *testing.T)  { directInTheEnd(t, "--far-relay") }
func TestDirectWithRelayByWebSocket(t *testing.T) { withinASecond(t, "--derp-websocket-only") }

func directInTheEnd(t *testing.T, serve ...string) {
	t.Helper()
	if where, _ := path(t, servePeer(t, serve...), "5"); !strings.HasPrefix(where, "direct ") {
		t.Errorf("the path is %q", where)
	}
}

// udpSockets counts those of a process.
func (p *process) udpSockets() int {
	inodes := map[string]bool{}
	for _, table := range []string{"udp", "udp6"} {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", p.cmd.Process.Pid, table))
		for _, line := range strings.Split(string(text), "\n") {
			if f := strings.Fields(line); len(f) > 9 {
				inodes["socket:["+f[9]+"]"] = true
			}
		}
	}
	n := 0
	fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.cmd.Process.Pid))
	for _, fd := range fds {
		if to, _ := os.Readlink(fd); inodes[to] {
			n++
		}
	}
	return n
}

func relayOnly(t *testing.T, d *deployment, sockets bool, flags ...string) {
	t.Helper()
	where, _ := path(t, d, "1", flags...)
	if !strings.HasPrefix(where, "relay ") {
		t.Errorf("the path is %q", where)
	}
	p, address := forward(t, d, echo(t), flags...)
	roundTrip(t, address, 1<<20, nil)
	if n := p.udpSockets(); (n > 0) != sockets {
		t.Errorf("%d UDP sockets", n)
	}
}

func TestAgentThatGoesByRelayAlone(t *testing.T) {
	relayOnly(t, servePeer(t, "--direct", "off"), false)
}

func TestDisableDirectConnections(t *testing.T) {
	relayOnly(t, servePeer(t), false, "--disable-direct-connections")
}

// The relay takes over while data flows, and gives back.
func TestUDPBlockedWhileDataFlows(t *testing.T) {
	d := servePeer(t)
	p, address := forward(t, d, echo(t), "--log-level", "info")
	p.awaitOutput(" directly at ", 5*time.Second)
	ways := func(text string) int { return strings.Count(p.stderr.String(), text) }
	roundTrip(t, address, 400<<20, func(sent func() int64) {
		await(t, "some data", 20*time.Second, func() bool { return sent() > 10<<20 })
		direct := ways(" directly at ")
		blocked := time.Now()
		d.control(map[string]any{"op": "block_udp", "on": true})
		await(t, "the relay", 15*time.Second, func() bool { return ways(" by relay ") > 0 })
		t.Logf("by relay %v after UDP was blocked", time.Since(blocked))
		passed := sent()
		await(t, "data by the relay", 20*time.Second, func() bool { return sent() > passed+10<<20 })
		d.control(map[string]any{"op": "block_udp", "on": false})
		back := time.Now()
		await(t, "the direct path", 70*time.Second, func() bool { return ways(" directly at ") > direct })
		t.Logf("direct again %v after UDP came back", time.Since(back))
	})
	if ways(" by relay ") == 0 {
		t.Error("UDP was never missed")
	}
}

func TestGoClientAgainstSimulateDirect(t *testing.T) {
	goClient(t, simulate(t), "--wait-direct", "10s", "exec", "echo foo")
}

func TestSimulateDirect(t *testing.T) {
	d := simulate(t)
	p := d.spawn(nil, "ping", "-n", "2", d.WorkspaceName)
	if got := p.wait(20 * time.Second); got != 0 {
		t.Errorf("status %d", got)
	}
	if !strings.Contains(p.stdout.String(), " by direct ") {
		t.Errorf("pings by relay: %s", p.stdout)
	}
}
