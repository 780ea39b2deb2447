package suite

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// within runs a transfer that something happens to, and holds it to a time: what is
// lost must be found and mended, not waited out.
func within(t *testing.T, most time.Duration, address string, n int64, then func()) {
	t.Helper()
	var happened time.Time
	done := make(chan bool)
	roundTrip(t, address, n, func(sent func() int64) {
		defer close(done)
		await(t, "some data", 20*time.Second, func() bool { return sent() > n/6 })
		happened = time.Now()
		then()
		if sent() == n {
			t.Error("all had been sent before it happened")
		}
	})
	<-done
	took := time.Since(happened)
	t.Logf("%d bytes, done %v after", n, took)
	if took > most {
		t.Errorf("%v after it, more than %v", took, most)
	}
}

func relayDropped(t *testing.T, what string, serve ...string) {
	t.Helper()
	d := servePeer(t, append(serve, "--direct", "off")...)
	_, address := forward(t, d, echo(t))
	before := d.stats().Paths[what].Conns
	within(t, 20*time.Second, address, 60<<20, func() {
		if n := d.control(map[string]any{"op": "drop", "what": what, "rst": true}); n["result"].(map[string]any)["dropped"].(float64) == 0 {
			t.Error("nothing was dropped")
		}
	})
	if after := d.stats().Paths[what].Conns; after <= before {
		t.Errorf("%d connections before, %d after", before, after)
	}
}

func TestRelayDroppedUpgrade(t *testing.T)   { relayDropped(t, "derp", "--tls") }
func TestRelayDroppedWebSocket(t *testing.T) { relayDropped(t, "derp-ws", "--derp-force-websockets") }

// A relay that refuses the upgrade is asked for it once, not again after each loss.
func TestRelayFallbackIsRemembered(t *testing.T) {
	d := servePeer(t, "--direct", "off", "--derp-websocket-only")
	_, address := forward(t, d, echo(t))
	before := d.stats().Paths
	within(t, 20*time.Second, address, 30<<20, func() {
		d.control(map[string]any{"op": "drop", "what": "derp-ws", "rst": true})
	})
	after := d.stats().Paths
	if after["derp"].Conns != before["derp"].Conns || after["derp-ws"].Conns <= before["derp-ws"].Conns {
		t.Errorf("before %v, after %v", before, after)
	}
}

func TestAgentMovesToAnotherRegion(t *testing.T) {
	d := servePeer(t, "--direct", "off", "--far-relay")
	p, address := forward(t, d, echo(t), "-v")
	within(t, 30*time.Second, address, 60<<20, func() {
		d.control(map[string]any{"op": "agent_home", "region": 999})
	})
	roundTrip(t, address, 1<<20, nil)
	d.control(map[string]any{"op": "agent_home", "region": 1001})
	roundTrip(t, address, 30<<20, nil)
	if text := p.stderr.String(); strings.Contains(text, "lost:") {
		t.Error("a connection was lost")
	}
}

// Our own home region leaves the map: another is taken while data flows.
func TestHomeLeavesTheMap(t *testing.T) {
	d := servePeer(t, "--direct", "off", "--far-relay", "--derp-map-every", "100ms")
	p, address := forward(t, d, echo(t), "-v")
	within(t, 30*time.Second, address, 60<<20, func() {
		d.control(map[string]any{"op": "home_relay", "on": false})
	})
	p.awaitOutput("home is now region 1001, was 999", 5*time.Second)
	roundTrip(t, address, 1<<20, nil)
	d.control(map[string]any{"op": "home_relay", "on": true})
	roundTrip(t, address, 1<<20, nil)
}

func TestDERPMapBumpBreaksNothing(t *testing.T) {
	d := servePeer(t, "--direct", "off", "--far-relay", "--derp-map-every", "100ms")
	p, address := forward(t, d, echo(t), "-v")
	before := d.stats().Paths["derp"].Conns
	within(t, 30*time.Second, address, 60<<20, func() {
		for range 3 {
			d.control(map[string]any{"op": "derp_map_bump"})
			time.Sleep(120 * time.Millisecond)
		}
	})
	if after := d.stats().Paths["derp"].Conns; after != before {
		t.Errorf("%d relay connections, %d before the bumps", after, before)
	}
	if strings.Contains(p.stderr.String(), "dialled anew") {
		t.Error("a relay was dialled anew")
	}
}

// The agents of a far relay need 3 s themselves.
func firstNodeDead(t *testing.T, how string, most time.Duration) {
	t.Helper()
	d := servePeer(t, "--far-relay", "--direct", "off", "--far-dead", how)
	p := d.spawn(nil, "run", "-v", "--workspace", "peerws", example("hello.lua"))
	p.expect(0, "foo\n", "relay 1001 lost", "relay 1001 is up")
	if p.took > most {
		t.Errorf("took %v", p.took)
	}
}

func TestFirstNodeRefuses(t *testing.T)  { firstNodeDead(t, "refuses", 5*time.Second) }
func TestFirstNodeIsSilent(t *testing.T) { firstNodeDead(t, "silent", 8*time.Second) }

// held opens a connection through the tunnel and proves that it works.
func held(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	return c
}

// Whoever only waits for data hears that the agent is another one; new connections work.
func agentRestarted(t *testing.T, graceful bool, serve ...string) {
	t.Helper()
	d := servePeer(t, serve...)
	p, address := forward(t, d, echo(t), "-v")
	c := held(t, address)
	began := time.Now()
	d.control(map[string]any{"op": "restart_agent", "graceful": graceful})
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) || err == nil {
		t.Errorf("the old connection: %v", err)
	}
	t.Logf("the old connection ended after %v", time.Since(began))
	held(t, address)
	roundTrip(t, address, 1<<20, nil)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("new connections after %v", took)
	}
	if !strings.Contains(p.stderr.String(), "the agent has restarted") {
		t.Error("the log does not say it")
	}
}

func TestAgentRestarted(t *testing.T)        { agentRestarted(t, false) }
func TestAgentRestartedInOrder(t *testing.T) { agentRestarted(t, true) }
func TestAgentRestartedByRelay(t *testing.T) { agentRestarted(t, false, "--direct", "off") }
func TestAgentRestartedByFarRelay(t *testing.T) {
	agentRestarted(t, false, "--direct", "off", "--far-relay")
}

// An agent that vanishes is missed at its relay; the tunnel waits for it.
func TestAgentStoppedForAWhile(t *testing.T) {
	d := servePeer(t, "--direct", "off")
	p, address := forward(t, d, echo(t), "-v")
	c := held(t, address)
	d.control(map[string]any{"op": "stop_agent"})
	p.awaitOutput("is not connected to it", 10*time.Second)
	d.control(map[string]any{"op": "start_agent"})
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) || err == nil {
		t.Errorf("the old connection: %v", err)
	}
	roundTrip(t, address, 1<<20, nil)
}
