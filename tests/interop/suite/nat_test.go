package suite

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"peer/link"
)

// newWorld is a deployment, an agent and room for a client, each in a
// namespace of its own, with NATs of these kinds (tests/link/nat.h) before
// the client and the agent.
func newWorld(t *testing.T, clientNAT, agentNAT string) *deployment {
	t.Helper()
	w, err := link.NewWorld(os.Getenv("LINK"), os.Getenv("PEER"), clientNAT, agentNAT)
	if errors.Is(err, link.ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return &deployment{URL: w.URL, Token: w.Token, WorkspaceID: w.WorkspaceID, CAFile: w.CAFile, t: t, world: w}
}

func (d *deployment) line(format string, args ...any) {
	d.t.Helper()
	if _, err := d.world.Do(format, args...); err != nil {
		d.t.Fatal(err)
	}
}

// paths says all the time by which way a ping was answered.
const paths = `local tunnel = require "tunnel"
return { run = function(conn)
  while true do
    local ping = conn:ping{ timeout = 1 }
    print(not ping and "lost" or ping.direct and "direct" or "relay")
    tunnel.sleep(0.05)
  end
end }`

func (d *deployment) spawnPaths() *process {
	d.t.Helper()
	return d.spawn(nil, "run", "--workspace", d.WorkspaceID, "-e", paths)
}

// awaitPath waits for a way that is taken from now on.
func (p *process) awaitPath(way string, within time.Duration) {
	p.t.Helper()
	had := strings.Count(p.stdout.String(), way)
	await(p.t, "a ping by "+way, within, func() bool { return strings.Count(p.stdout.String(), way) > had+1 })
}

// goClientDirect says whether the Go client finds a direct path.
func goClientDirect(d *deployment) bool {
	d.t.Helper()
	cmd := d.command(os.Getenv("PEER"), "client", "--url", d.URL, "--token", d.Token, "--ca", d.CAFile, "--workspace-id", d.WorkspaceID,
		"--endpoints", "all", "--wait-direct", "4s", "ping", "-n", "1")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var answer struct{ Path struct{ Direct bool } }
	if err != nil || json.Unmarshal(out, &answer) != nil {
		d.t.Fatalf("peer client: %v\n%s%s", err, out, stderr.String())
	}
	return answer.Path.Direct
}

// TestNAT: a direct path where the Go client gets one, the relay where it
// does not.
func TestNAT(t *testing.T) {
	for _, c := range []struct {
		client, agent string
		blocked       bool // the client's UDP
		direct        bool
	}{
		{"none", "easy", false, true},
		{"easy", "easy", false, true},
		{"port", "port", false, true},
		{"easy", "hard", false, true},
		{"hard", "easy", false, true},
		{"address", "hard", false, true},
		{"port", "hard", false, false},
		{"hard", "port", false, false},
		{"hard", "hard", false, false},
		{"easy", "easy", true, false},
	} {
		name := c.client + "_" + c.agent
		if c.blocked {
			name += "_blocked"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newWorld(t, c.client, c.agent)
			if c.blocked {
				d.line("client block udp")
			}
			p := d.spawnPaths()
			if got := goClientDirect(d); got != c.direct {
				t.Errorf("the Go client: direct %v, want %v", got, c.direct)
			}
			if c.direct {
				p.awaitPath("direct", 10*time.Second)
				return
			}
			p.awaitPath("relay", 10*time.Second)
			if strings.Contains(p.stdout.String(), "direct") {
				t.Error("tunnelhost: direct, where nothing can be")
			}
		})
	}
}

// TestUDPBlockedBetween: to the relay and back, while the tunnel is up.
func TestUDPBlockedBetween(t *testing.T) {
	t.Parallel()
	d := newWorld(t, "easy", "easy")
	p := d.spawnPaths()
	p.awaitPath("direct", 10*time.Second)
	d.line("client block udp")
	p.awaitPath("relay", 20*time.Second)
	d.line("client unblock udp")
	p.awaitPath("direct", 40*time.Second)
}

// TestAddressChanged: another public address behind the NAT (so every
// mapping and every TCP connection is gone), then another one of our own.
func TestAddressChanged(t *testing.T) {
	t.Parallel()
	d := newWorld(t, "easy", "easy")
	p := d.spawnPaths()
	p.awaitPath("direct", 10*time.Second)
	d.line("client nat easy 203.0.113.7")
	p.awaitPath("direct", 20*time.Second)
	d.line("client address 192.168.1.77/24")
	p.awaitPath("direct", 20*time.Second)
}
