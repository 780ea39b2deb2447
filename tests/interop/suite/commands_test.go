package suite

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// The Go agent's own speed test, both ways at once.
func TestSpeedtestBothWays(t *testing.T) {
	d := servePeer(t)
	runs := map[string]*process{}
	for _, direction := range []string{"down", "up"} {
		runs[direction] = d.spawn(nil, "speedtest", "peerws", "--direction", direction, "-t", "5", "-o", "json")
	}
	for direction, p := range runs {
		var result struct {
			Overall struct {
				Mbits   float64 `json:"throughput_mbits"`
				Seconds float64 `json:"end_time_seconds"`
			}
			Intervals []any
			Bytes     int64
		}
		if status := p.wait(30 * time.Second); status != 0 {
			t.Fatalf("%s: status %d: %s", direction, status, p.stderr)
		}
		if err := json.Unmarshal([]byte(p.stdout.String()), &result); err != nil {
			t.Fatalf("%s: %v in %q", direction, err, p.stdout.String())
		}
		if result.Bytes < 1<<20 || len(result.Intervals) < 5 || result.Overall.Seconds < 5 {
			t.Errorf("%s: %+v", direction, result)
		}
	}
}

// report runs a command that prints one JSON object.
func report(t *testing.T, d *deployment, out any, args ...string) {
	t.Helper()
	p := d.spawn(nil, args...)
	if status := p.wait(30 * time.Second); status != 0 {
		t.Fatalf("%v: status %d: %s", args, status, p.stderr)
	}
	if err := json.Unmarshal([]byte(p.stdout.String()), out); err != nil {
		t.Fatalf("%v: %v in %q", args, err, p.stdout)
	}
}

type explanation struct {
	States []struct{ State string }
	Phases []struct {
		Phase string
		To    float64
	}
	FirstByte float64 `json:"first_byte"`
	Stats     struct {
		Path    struct{ Direct bool }
		Network struct{ UDP bool }
	}
}

func TestExplainDirect(t *testing.T) {
	var e explanation
	report(t, servePeer(t), &e, "explain", "peerws", "-o", "json")
	if !e.Stats.Path.Direct || !e.Stats.Network.UDP || len(e.Phases) != 6 || e.FirstByte <= 0 || e.States[0].State != "init" {
		t.Errorf("%+v", e)
	}
}

func TestExplainRelayed(t *testing.T) {
	d := servePeer(t)
	p := d.spawn(nil, "explain", "peerws", "--disable-direct-connections")
	if status := p.wait(30 * time.Second); status != 0 {
		t.Fatalf("status %d: %s", status, p.stderr)
	}
	for _, text := range []string{"path: relay ", "hint: direct connections are switched off"} {
		if !strings.Contains(p.stdout.String(), text) {
			t.Errorf("%q lacks %q", p.stdout, text)
		}
	}
}

// The first pong may still come by the relay; the last is direct.
func TestPingSaysThePath(t *testing.T) {
	d := servePeer(t)
	p := d.spawn(nil, "ping", "peerws", "-n", "5", "--interval", "0.3")
	if status := p.wait(30 * time.Second); status != 0 {
		t.Fatalf("status %d: %s", status, p.stderr)
	}
	lines := strings.Split(strings.TrimSpace(p.stdout.String()), "\n")
	if len(lines) < 5 || !strings.Contains(lines[4], " by direct ") {
		t.Errorf("%q", p.stdout)
	}
	if status := d.spawn(nil, "ping", "peerws", "-n", "1", "--disable-direct-connections").wait(30 * time.Second); status != 0 {
		t.Errorf("status %d", status)
	}
}

func TestNetcheck(t *testing.T) {
	var n struct {
		UDP     bool
		IPv4    string `json:"ipv4"`
		HomeUp  bool   `json:"home_up"`
		Regions []struct{ Latency float64 }
	}
	report(t, servePeer(t, "--tls"), &n, "netcheck", "-o", "json")
	if !n.UDP || !n.HomeUp || !strings.HasPrefix(n.IPv4, "127.0.0.1:") || len(n.Regions) == 0 || n.Regions[0].Latency <= 0 {
		t.Errorf("%+v", n)
	}
}

func TestNetcheckWithoutSTUN(t *testing.T) {
	d := servePeer(t, "--stun", "off")
	p := d.spawn(nil, "netcheck")
	if status := p.wait(30 * time.Second); status != 0 {
		t.Fatalf("status %d: %s", status, p.stderr)
	}
	if !strings.Contains(p.stdout.String(), "hint: no STUN server answers") {
		t.Errorf("%q", p.stdout)
	}
}
