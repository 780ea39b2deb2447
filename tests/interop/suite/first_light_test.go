package suite

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hello runs the seed's integration test as a script in each kind of deployment.
func hello(t *testing.T, workspace string, serve ...string) {
	t.Helper()
	d := servePeer(t, serve...)
	p := d.spawn(nil, "run", "--workspace", workspace, example("hello.lua"))
	p.expect(0, "foo\n")
	await(t, "the coordinator's Disconnect", 5*time.Second, func() bool { return d.stats().Coordinator.Disconnect >= 1 })
}

func TestHelloRunning(t *testing.T)            { hello(t, "peerws") }
func TestHelloWithOwner(t *testing.T)          { hello(t, "peeruser/peerws.main") }
func TestHelloStopped(t *testing.T)            { hello(t, "peerws", "--workspace-state", "stopped") }
func TestHelloTLS(t *testing.T)                { hello(t, "peerws", "--tls") }
func TestHelloTLSWithHTTP2(t *testing.T)       { hello(t, "peerws", "--tls", "--h2") }
func TestHelloRelayWebSocketOnly(t *testing.T) { hello(t, "peerws", "--derp-websocket-only") }
func TestHelloForcedWebSocket(t *testing.T)    { hello(t, "peerws", "--derp-force-websockets", "--tls") }
func TestHelloNoDirect(t *testing.T)           { hello(t, "peerws", "--direct", "off") }
func TestHelloFarRelay(t *testing.T)           { hello(t, "peerws", "--far-relay") }
func TestHelloFarRelayTLS(t *testing.T)        { hello(t, "peerws", "--far-relay", "--tls") }
func TestHelloNamedAgent(t *testing.T)         { hello(t, "peerws.agent1", "--agents", "2") }

func TestHelloByUUID(t *testing.T) {
	d := servePeer(t)
	d.spawn(nil, "run", "--workspace", d.WorkspaceID, example("hello.lua")).expect(0, "foo\n")
}

func TestReadyForHandshakeMuted(t *testing.T) {
	d := servePeer(t)
	d.control(map[string]any{"op": "mute_rfh", "on": true})
	p := d.spawn(nil, "run", "--workspace", "peerws", example("hello.lua"))
	p.expect(0, "foo\n")
	if p.took < 4*time.Second {
		t.Errorf("took %v: the 5 s gate was not kept", p.took)
	}
}

// refusal: a clear message and its status within 5 s.
func refusal(t *testing.T, d *deployment, env []string, status int, args []string, stderr ...string) {
	t.Helper()
	p := d.spawn(env, append([]string{"run"}, append(args, example("hello.lua"))...)...)
	p.expect(status, "", append(stderr, "tunnelhost: ")...)
	if p.took > 5*time.Second {
		t.Errorf("took %v", p.took)
	}
}

func TestWrongName(t *testing.T) {
	refusal(t, servePeer(t), nil, 69, []string{"--workspace", "nosuch"}, "nosuch")
}

func TestTwoAgentsWithoutName(t *testing.T) {
	refusal(t, servePeer(t, "--agents", "2"), nil, 69, []string{"--workspace", "peerws"}, "more than one agent", "agent1")
}

func TestWrongAgentName(t *testing.T) {
	refusal(t, servePeer(t, "--agents", "2"), nil, 69, []string{"--workspace", "peerws.nosuch"}, "nosuch")
}

func TestBadToken(t *testing.T) {
	d := servePeer(t)
	d.Token = "wrong-token-marker"
	p := d.spawn(nil, "run", "--workspace", "peerws", example("hello.lua"))
	p.expect(77, "", "tunnelhost: ", "sign in")
	if strings.Contains(p.stderr.String(), "wrong-token-marker") {
		t.Error("the token was printed")
	}
}

func TestDeletedWorkspace(t *testing.T) {
	refusal(t, servePeer(t, "--workspace-state", "delete:running"), nil, 69, []string{"--workspace", "peerws"}, "delete")
}

func TestFailingBuild(t *testing.T) {
	d := servePeer(t, "--workspace-state", "stopped")
	d.control(map[string]any{"op": "build_clock", "pending_ms": 50, "running_ms": 50, "fail": true})
	refusal(t, d, nil, 69, []string{"--workspace", "peerws"}, "failed")
}

func TestNoAutostart(t *testing.T) {
	refusal(t, servePeer(t, "--workspace-state", "stopped"), nil, 69, []string{"--disable-autostart", "--workspace", "peerws"}, "stopped")
}

func TestUntrustedCertificate(t *testing.T) {
	d := servePeer(t, "--tls")
	d.CAFile = ""
	refusal(t, d, nil, 69, []string{"--workspace", "peerws"}, "certificate", "CODER_CLIENT_TLS_CA_FILE")
}

// echo is a TCP service beside the agent that sends back what it gets.
func echo(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(c, c)
				c.(*net.TCPConn).CloseWrite()
				c.Close()
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// forward starts examples/port_forward.lua and gives the local address.
func forward(t *testing.T, d *deployment, port int, flags ...string) (*process, string) {
	t.Helper()
	args := append([]string{"run", "--workspace", "peerws"}, flags...)
	p := d.spawn(nil, append(args, example("port_forward.lua"), "--", fmt.Sprintf("127.0.0.1:0=%d", port))...)
	p.awaitOutput("forwarding ", 20*time.Second)
	line := p.stdout.String()
	at := strings.Index(line, "forwarding ") + len("forwarding ")
	return p, strings.Fields(line[at:])[0]
}

// roundTrip sends n random bytes through address and compares the hash of what comes back.
func roundTrip(t *testing.T, address string, n int64, during func(sent func() int64)) {
	t.Helper()
	c, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(120 * time.Second))
	up, down := sha256.New(), sha256.New()
	count := &counter{}
	go func() {
		io.Copy(io.MultiWriter(c, up, count), io.LimitReader(rand.Reader, n))
		c.(*net.TCPConn).CloseWrite()
	}()
	if during != nil {
		go during(count.load)
	}
	got, err := io.Copy(down, c)
	if err != nil || got != n {
		t.Fatalf("%d of %d bytes came back: %v", got, n, err)
	}
	if string(up.Sum(nil)) != string(down.Sum(nil)) {
		t.Fatal("what came back differs")
	}
}

func Test100MiBEachWayByRelay(t *testing.T) {
	d := servePeer(t, "--direct", "off")
	p, address := forward(t, d, echo(t))
	began := time.Now()
	roundTrip(t, address, 100<<20, nil)
	t.Logf("100 MiB up and down in %v", time.Since(began))
	p.signal(syscall.SIGINT)
	if got := p.wait(5 * time.Second); got != 130 {
		t.Errorf("status %d after SIGINT", got)
	}
}

func TestSocketsDroppedWhileDataFlows(t *testing.T) {
	d := servePeer(t, "--direct", "off")
	_, address := forward(t, d, echo(t))
	before := d.stats().Paths
	roundTrip(t, address, 30<<20, func(sent func() int64) {
		await(t, "some data", 20*time.Second, func() bool { return sent() > 5<<20 })
		d.control(map[string]any{"op": "drop", "what": "watch"})
		d.control(map[string]any{"op": "drop", "what": "coordinate", "rst": true})
	})
	await(t, "both sockets back", 30*time.Second, func() bool {
		s := d.stats()
		return s.WatchOpen == 1 && s.CoordinateOpen == 1 && s.Paths["watch"].Conns > before["watch"].Conns && s.Paths["coordinate"].Conns > before["coordinate"].Conns
	})
	roundTrip(t, address, 1<<20, nil)
}

func TestCtrlCRunsCloseAndDisconnects(t *testing.T) {
	d := servePeer(t)
	script := filepath.Join(t.TempDir(), "held.lua")
	os.WriteFile(script, []byte(`
local tunnel = require "tunnel"
local app = {}
function app.start(conn)
  app.stream = assert(conn:dial("tcp", 1))
  assert(app.stream:receive("l"))
  print("up")
end
function app.close(reason)
  tunnel.sleep(0.2)
  app.stream:close()
  print("closed " .. reason.kind)
end
return app
`), 0o644)
	p := d.spawn(nil, "run", "--workspace", "peerws", script)
	p.awaitOutput("up", 20*time.Second)
	if n := d.stats().Nodes[0].TCPFlows; n != 1 {
		t.Errorf("%d flows", n)
	}
	p.signal(syscall.SIGINT)
	began := time.Now()
	p.expect(130, "up\nclosed signal\n")
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	await(t, "no flows", 5*time.Second, func() bool { return d.stats().Nodes[0].TCPFlows == 0 })
	trace, _ := os.ReadFile(d.trace)
	if !strings.Contains(string(trace), "disconnect") && !strings.Contains(string(trace), "Disconnect") {
		t.Error("no Disconnect in the trace")
	}
}

func TestCtrlCOnADeadNetwork(t *testing.T) {
	d := servePeer(t)
	p, _ := forward(t, d, echo(t))
	peer := d.pid()
	syscall.Kill(peer, syscall.SIGSTOP) // nothing answers any more
	defer syscall.Kill(peer, syscall.SIGCONT)
	began := time.Now()
	p.signal(syscall.SIGINT)
	if got := p.wait(8 * time.Second); got != 130 {
		t.Errorf("status %d", got)
	}
	if took := time.Since(began); took > 5500*time.Millisecond {
		t.Errorf("took %v", took)
	}
}

func TestSecondCtrlCEndsAtOnce(t *testing.T) {
	d := servePeer(t)
	script := filepath.Join(t.TempDir(), "stubborn.lua")
	os.WriteFile(script, []byte(`
local tunnel = require "tunnel"
return {
  start = function() print("up") end,
  close = function() print("closing") tunnel.sleep(60) end,
}
`), 0o644)
	p := d.spawn(nil, "run", "--workspace", "peerws", "--shutdown-timeout", "60", script)
	p.awaitOutput("up", 20*time.Second)
	p.signal(syscall.SIGINT)
	p.awaitOutput("closing", 5*time.Second)
	began := time.Now()
	p.signal(syscall.SIGINT)
	if got := p.wait(3 * time.Second); got != 130 {
		t.Errorf("status %d", got)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("took %v", took)
	}
}

func TestPing(t *testing.T) {
	d := servePeer(t)
	p := d.spawn(nil, "ping", "-n", "3", "peerws")
	if got := p.wait(20 * time.Second); got != 0 {
		t.Errorf("status %d", got)
	}
	if n := strings.Count(p.stdout.String(), "pong from"); n != 3 {
		t.Errorf("%d pongs", n)
	}
}

// The Go client against the embedded deployment.
func goClient(t *testing.T, d *deployment, args ...string) {
	t.Helper()
	client := exec.Command(os.Getenv("PEER"), append([]string{"client", "--url", d.URL, "--token", d.Token, "--workspace-id", d.WorkspaceID, "--max-seconds", "60"}, args...)...)
	if d.CAFile != "" {
		client.Args = append(client.Args[:2], append([]string{"--ca", d.CAFile}, client.Args[2:]...)...)
	}
	var stderr bytes.Buffer
	client.Stderr = &stderr
	out, err := client.Output()
	var answer struct {
		Result struct{ Stdout string }
	}
	json.Unmarshal(out, &answer)
	if err != nil || strings.TrimSpace(answer.Result.Stdout) != "foo" {
		t.Fatalf("peer client: %v: %s\n%s", err, out, stderr.String())
	}
}

func simulate(t *testing.T, args ...string) *deployment {
	t.Helper()
	return start(t, os.Getenv("TUNNELHOST"), append([]string{"simulate", "--json"}, args...)...)
}

func TestGoClientAgainstSimulateByUpgrade(t *testing.T) {
	goClient(t, simulate(t), "--no-direct", "exec", "echo foo")
}

func TestGoClientAgainstSimulateByWebSocket(t *testing.T) {
	goClient(t, simulate(t, "--websockets-only"), "--no-direct", "--derp-websocket", "exec", "echo foo")
}

func TestGoClientAgainstSimulateTLS(t *testing.T) {
	goClient(t, simulate(t, "--tls"), "--no-direct", "exec", "echo foo")
}

func TestGoClientAgainstSimulateStopped(t *testing.T) {
	goClient(t, simulate(t, "--workspace-state", "stopped"), "--no-direct", "exec", "echo foo")
}
