// Command bench runs tunnelhost and the Go client in turn against one agent
// of the peer and prints both sides' figures, a JSON line each. It asserts
// nothing. Started by tests/bench/run.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

var tunnelhost, peer, source = os.Getenv("TUNNELHOST"), os.Getenv("PEER"), os.Getenv("SOURCE")

type deployment struct {
	URL         string `json:"url"`
	Token       string `json:"token"`
	WorkspaceID string `json:"workspace_id"`
	CAFile      string `json:"ca_file"`
}

// sample is one run of one client.
type sample struct {
	firstByteMS, mbit, cpuPerGB, rssMB float64
}

func serve(args ...string) (*deployment, func()) {
	cmd := exec.Command(peer, append([]string{"serve", "--max-seconds", "600"}, args...)...)
	stdin, _ := cmd.StdinPipe()
	stdout, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		panic(err)
	}
	go io.Copy(io.Discard, stdout)
	d := &deployment{}
	if err := json.Unmarshal(line, d); err != nil {
		panic(err)
	}
	return d, func() { stdin.Close(); cmd.Wait() }
}

// run gives stdout, the time of its first byte, and the process's usage.
func run(env []string, name string, args ...string) (string, time.Duration, *syscall.Rusage) {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	stdout, _ := cmd.StdoutPipe()
	began := time.Now()
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	reader := bufio.NewReader(stdout)
	reader.Peek(1)
	first := time.Since(began)
	out, _ := io.ReadAll(reader)
	if err := cmd.Wait(); err != nil {
		fmt.Fprintf(os.Stderr, "%s %v: %v\n", name, args, err)
	}
	return string(out), first, cmd.ProcessState.SysUsage().(*syscall.Rusage)
}

func cpuSeconds(u *syscall.Rusage) float64 {
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

func ours(d *deployment, app ...string) (string, time.Duration, *syscall.Rusage) {
	env := []string{"CODER_URL=" + d.URL, "CODER_SESSION_TOKEN=" + d.Token, "CODER_CLIENT_TLS_CA_FILE=" + d.CAFile}
	return run(env, tunnelhost, append([]string{"run", "-q", "--workspace", d.WorkspaceID}, app...)...)
}

func theirs(d *deployment, flags []string, app ...string) (string, time.Duration, *syscall.Rusage) {
	args := []string{"client", "--url", d.URL, "--token", d.Token, "--workspace-id", d.WorkspaceID}
	if d.CAFile != "" {
		args = append(args, "--ca", d.CAFile)
	}
	return run(nil, peer, append(append(args, flags...), app...)...)
}

func oursHello(d *deployment) sample {
	_, first, u := ours(d, source+"/examples/hello.lua")
	return sample{firstByteMS: first.Seconds() * 1000, rssMB: float64(u.Maxrss) / 1024}
}

func theirsHello(d *deployment, flags []string) sample {
	out, _, u := theirs(d, flags, "exec", "echo foo")
	var answer struct {
		Timings struct {
			FirstByteMS float64 `json:"first_byte_ms"`
		}
	}
	json.Unmarshal([]byte(out), &answer)
	return sample{firstByteMS: answer.Timings.FirstByteMS, rssMB: float64(u.Maxrss) / 1024}
}

func oursSpeed(d *deployment, direction string) sample {
	out, _, u := ours(d, source+"/tests/bench/speed.lua", "--", direction)
	var answer struct{ Bytes, Seconds float64 }
	json.Unmarshal([]byte(out), &answer)
	return sample{mbit: answer.Bytes * 8 / 1e6 / answer.Seconds, cpuPerGB: cpuSeconds(u) / (answer.Bytes / 1e9), rssMB: float64(u.Maxrss) / 1024}
}

func theirsSpeed(d *deployment, flags []string, direction string) sample {
	out, _, u := theirs(d, flags, "speedtest", "-d", "3", "-direction", direction)
	var answer struct {
		Result struct {
			Bytes float64
			Mbit  float64 `json:"mbit_s"`
		}
	}
	json.Unmarshal([]byte(out), &answer)
	return sample{mbit: answer.Result.Mbit, cpuPerGB: cpuSeconds(u) / (answer.Result.Bytes / 1e9), rssMB: float64(u.Maxrss) / 1024}
}

func median(samples []sample, field func(sample) float64) float64 {
	var values []float64
	for _, s := range samples {
		values = append(values, field(s))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func report(what string, us, them []sample, fields map[string]func(sample) float64) {
	for name, field := range fields {
		a, b := median(us, field), median(them, field)
		line, _ := json.Marshal(map[string]any{"what": what, "figure": name, "tunnelhost": a, "go": b, "ratio": a / b, "runs": len(us)})
		fmt.Println(string(line))
	}
}

func compare(name string, serveArgs, clientFlags []string) {
	d, stop := serve(serveArgs...)
	defer stop()
	rss := func(s sample) float64 { return s.rssMB }
	var us, them []sample
	for range 9 {
		us, them = append(us, oursHello(d)), append(them, theirsHello(d, clientFlags))
	}
	report(name+" hello", us, them, map[string]func(sample) float64{"first_byte_ms": func(s sample) float64 { return s.firstByteMS }, "peak_rss_mb": rss})
	for _, direction := range []string{"down", "up"} {
		us, them = nil, nil
		for range 3 {
			us, them = append(us, oursSpeed(d, direction)), append(them, theirsSpeed(d, clientFlags, direction))
		}
		report(name+" "+direction, us, them, map[string]func(sample) float64{
			"mbit_s": func(s sample) float64 { return s.mbit }, "cpu_s_per_gb": func(s sample) float64 { return s.cpuPerGB }, "peak_rss_mb": rss})
	}
}

func main() {
	only := strings.Join(os.Args[1:], " ")
	for _, c := range []struct {
		name                   string
		serveArgs, clientFlags []string
	}{
		{"relay, plain", []string{"--direct", "off"}, []string{"--no-direct"}},
		{"relay, TLS", []string{"--direct", "off", "--tls"}, []string{"--no-direct"}},
		{"relay by WebSocket, TLS", []string{"--direct", "off", "--tls", "--derp-websocket-only"}, []string{"--no-direct", "--derp-websocket"}},
	} {
		if strings.Contains(c.name, only) {
			compare(c.name, c.serveArgs, c.clientFlags)
		}
	}
}
