// Package suite runs tunnelhost against the Go peer, as a user would: a
// deployment in one process, tunnelhost in another, events awaited, nothing
// slept for. Every process is stopped by its id when its test ends.
package suite

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"peer/link"
)

func source(parts ...string) string {
	return filepath.Join(append([]string{os.Getenv("SOURCE")}, parts...)...)
}

func example(name string) string { return source("examples", name) }

// deployment is what `peer serve` and `tunnelhost simulate --json` print.
type deployment struct {
	URL           string `json:"url"`
	Token         string `json:"token"`
	WorkspaceID   string `json:"workspace_id"`
	WorkspaceName string `json:"workspace_name"`
	ControlURL    string `json:"control_url"`
	CAFile        string `json:"ca_file"`
	Agents        []struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"agents"`
	PID   int `json:"pid"`
	trace string
	t     *testing.T
	world *link.World // if not nil, tunnelhost is its client
}

// start runs a server that prints one JSON line when it is ready.
func start(t *testing.T, program string, args ...string) *deployment {
	t.Helper()
	cmd := exec.Command(program, args...)
	stdin, err := cmd.StdinPipe() // both servers end when it closes
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		cmd.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
		cmd.Wait()
		timer.Stop()
	})
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", program, args, err, stderr.String())
	}
	go io.Copy(io.Discard, stdout)
	d := &deployment{t: t}
	if err := json.Unmarshal(line, d); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return d
}

func (d *deployment) pid() int { return d.PID }

func servePeer(t *testing.T, args ...string) *deployment {
	t.Helper()
	trace := filepath.Join(t.TempDir(), "trace")
	d := start(t, os.Getenv("PEER"), append([]string{"serve", "--max-seconds", "300", "--trace", trace}, args...)...)
	d.trace = trace
	return d
}

func (d *deployment) control(op map[string]any) map[string]any {
	d.t.Helper()
	body, _ := json.Marshal(op)
	res, err := http.Post(d.ControlURL+"/control", "application/json", bytes.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	defer res.Body.Close()
	var out map[string]any
	json.NewDecoder(res.Body).Decode(&out)
	if res.StatusCode != 200 {
		d.t.Fatalf("control %v: %v", op, out)
	}
	return out
}

type stats struct {
	Coordinator struct {
		Disconnect int      `json:"disconnect"`
		Clients    []string `json:"clients"`
	} `json:"coordinator"`
	WatchOpen      int `json:"watch_open"`
	CoordinateOpen int `json:"coordinate_open"`
	Nodes          []struct {
		TCPFlows int `json:"tcp_flows"`
		Peers    []struct {
			LastHandshake time.Time `json:"last_handshake"`
		} `json:"peers"`
	} `json:"nodes"`
	Paths map[string]struct {
		Conns int `json:"conns"`
		Open  int `json:"open"`
	} `json:"paths"`
}

func (d *deployment) stats() (s stats) {
	d.t.Helper()
	res, err := http.Get(d.ControlURL + "/stats")
	if err != nil {
		d.t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&s); err != nil {
		d.t.Fatal(err)
	}
	return s
}

// await polls a condition that only the other process can report.
func await(t *testing.T, what string, within time.Duration, done func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(within)
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within %v", what, within)
		}
	}
}

// output collects a stream and lets a test wait for a text in it.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

type process struct {
	t              *testing.T
	cmd            *exec.Cmd
	stdout, stderr *output
	began          time.Time
	done           chan struct{}
	status         int
	took           time.Duration
}

func (d *deployment) environment(extra ...string) []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + d.t.TempDir(), "CODER_URL=" + d.URL, "CODER_SESSION_TOKEN=" + d.Token}
	if d.CAFile != "" {
		env = append(env, "CODER_CLIENT_TLS_CA_FILE="+d.CAFile)
	}
	return append(env, extra...)
}

func (d *deployment) command(program string, args ...string) *exec.Cmd {
	if d.world != nil {
		return d.world.Command("client", program, args...)
	}
	return exec.Command(program, args...)
}

// spawn starts tunnelhost against the deployment.
func (d *deployment) spawn(env []string, args ...string) *process {
	d.t.Helper()
	p := &process{t: d.t, cmd: d.command(os.Getenv("TUNNELHOST"), args...), stdout: &output{}, stderr: &output{}, began: time.Now(), done: make(chan struct{})}
	p.cmd.Env = d.environment(env...)
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	if err := p.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	go func() {
		err := p.cmd.Wait()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			p.status = exit.ExitCode()
			if ws := exit.Sys().(syscall.WaitStatus); ws.Signaled() {
				p.status = -int(ws.Signal())
			}
		}
		p.took = time.Since(p.began)
		close(p.done)
	}()
	d.t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.done
		if d.t.Failed() {
			d.t.Logf("%v: status %d after %v\nstdout: %s\nstderr: %s", args, p.status, p.took, p.stdout, p.stderr)
		}
	})
	return p
}

func (p *process) wait(within time.Duration) int {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	select {
	case <-p.done:
		return p.status
	case <-ctx.Done():
		p.t.Fatalf("still running after %v", within)
		return -1
	}
}

func (p *process) signal(s syscall.Signal) { p.cmd.Process.Signal(s) }

func (p *process) awaitOutput(text string, within time.Duration) {
	p.t.Helper()
	await(p.t, "output "+text, within, func() bool {
		select {
		case <-p.done:
			return strings.Contains(p.stdout.String()+p.stderr.String(), text) || p.exited(text)
		default:
			return strings.Contains(p.stdout.String()+p.stderr.String(), text)
		}
	})
}

func (p *process) exited(text string) bool {
	p.t.Fatalf("ended with status %d before it printed %q", p.status, text)
	return true
}

// expect runs to the end and compares status and stdout; stderr must hold all of the texts.
func (p *process) expect(status int, stdout string, stderr ...string) {
	p.t.Helper()
	if got := p.wait(30 * time.Second); got != status {
		p.t.Errorf("status %d, want %d", got, status)
	}
	if got := p.stdout.String(); got != stdout {
		p.t.Errorf("stdout %q, want %q", got, stdout)
	}
	for _, text := range stderr {
		if !strings.Contains(p.stderr.String(), text) {
			p.t.Errorf("stderr lacks %q", text)
		}
	}
}

// counter counts the bytes written through it.
type counter struct {
	mu sync.Mutex
	n  int64
}

func (c *counter) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n += int64(len(p))
	return len(p), nil
}

func (c *counter) load() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}
