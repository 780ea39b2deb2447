package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// job is a connect (no direction) or a transfer.
type job struct {
	direction string
	streams   int
	seconds   float64
	runs      int
}

func (j job) name() string {
	switch {
	case j.direction == "":
		return "connect"
	case j.streams == 1:
		return j.direction
	}
	return fmt.Sprintf("%s, %d streams", j.direction, j.streams)
}

// sample is the figures of one run of one client.
type sample map[string]float64

const (
	waitDirect = 5 // seconds
	limit      = 60 * time.Second
)

// measured is a process that has ended.
type measured struct {
	stdout []byte
	cpu    float64
	rssMB  float64
}

// highWater is a process's peak resident memory so far. Not ru_maxrss: that
// begins at what this process had when it started the other.
func highWater(pid int) float64 {
	status, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kb, _ := strconv.ParseFloat(fields[0], 64)
	return kb / 1024
}

func measure(cmd *exec.Cmd, every time.Duration) measured {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		return measured{}
	}
	timer := time.AfterFunc(limit, func() { cmd.Process.Kill() })
	defer timer.Stop()
	ended, peak := make(chan struct{}), make(chan float64)
	go func() {
		rss := 0.0
		for tick := time.NewTicker(every); ; {
			select {
			case <-ended:
				peak <- rss
				return
			case <-tick.C:
				rss = math.Max(rss, highWater(cmd.Process.Pid))
			}
		}
	}()
	err := cmd.Wait()
	close(ended)
	m := measured{stdout: stdout.Bytes(), rssMB: <-peak}
	u := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	m.cpu = float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v: %v\n%s", cmd.Args, err, stderr.Bytes())
	}
	return m
}

func (j job) every() time.Duration {
	if j.direction == "" {
		return 2 * time.Millisecond
	}
	return 50 * time.Millisecond
}

// speedFigures is common to both clients' answers.
type speedFigures struct {
	Bytes  float64
	Mbit   float64  `json:"mbit_s"`
	PingMS *float64 `json:"ping_ms"`
}

func (f speedFigures) sample(m measured, direct bool) sample {
	s := sample{"mbit_s": f.Mbit, "peak_rss_mb": m.rssMB, "direct": 0}
	if f.Bytes > 0 {
		s["cpu_s_per_gb"] = m.cpu / (f.Bytes / 1e9)
	}
	if f.PingMS != nil {
		s["loaded_ping_ms"] = *f.PingMS
	}
	if direct {
		s["direct"] = 1
	}
	return s
}

func ours(p *place, j job) sample {
	args := []string{"run", "-q", "--workspace", p.ours.WorkspaceID}
	if j.direction == "" {
		var t unix.Timespec
		unix.ClockGettime(unix.CLOCK_BOOTTIME, &t)
		args = append(args, source+"/tests/bench/connect.lua", "--", "--began", fmt.Sprint(float64(t.Nano())/1e9))
	} else {
		args = append(args, source+"/tests/bench/speed.lua", "--", j.direction, "--seconds", fmt.Sprint(j.seconds), "--streams", strconv.Itoa(j.streams))
		if p.direct {
			args = append(args, "--wait-direct", strconv.Itoa(waitDirect))
		}
		if p.drain {
			args = append(args, "--drain")
		}
	}
	cmd := p.command(tunnelhost, args...)
	cmd.Env = append(os.Environ(), "CODER_URL="+p.ours.URL, "CODER_SESSION_TOKEN="+p.ours.Token, "CODER_CLIENT_TLS_CA_FILE="+p.ours.CAFile)
	m := measure(cmd, j.every())
	if j.direction == "" {
		s := sample{}
		json.Unmarshal(m.stdout, &s)
		s["peak_rss_mb"] = m.rssMB
		return s
	}
	var answer struct {
		speedFigures
		Direct bool
	}
	json.Unmarshal(m.stdout, &answer)
	return answer.sample(m, answer.Direct)
}

func theirs(p *place, j job, flags []string) sample {
	args := append([]string{"client", "--url", p.theirs.URL, "--token", p.theirs.Token, "--workspace-id", p.theirs.WorkspaceID}, flags...)
	if p.theirs.CAFile != "" {
		args = append(args, "--ca", p.theirs.CAFile)
	}
	if j.direction == "" {
		args = append(args, "exec", "echo foo")
	} else {
		if p.direct {
			args = append(args, "--wait-direct", fmt.Sprint(waitDirect, "s"))
		}
		args = append(args, "speedtest", "-d", fmt.Sprint(j.seconds), "-direction", j.direction, "-streams", strconv.Itoa(j.streams))
		if p.drain {
			args = append(args, "-drain")
		}
	}
	m := measure(p.command(peer, args...), j.every())
	var answer struct {
		Result  speedFigures
		Path    struct{ Direct bool }
		Timings map[string]float64
	}
	json.Unmarshal(m.stdout, &answer)
	if j.direction == "" {
		s := sample{"peak_rss_mb": m.rssMB}
		for _, name := range []string{"agent_ready_ms", "reachable_ms", "first_byte_ms"} {
			s[name] = answer.Timings[name]
		}
		return s
	}
	return answer.Result.sample(m, answer.Path.Direct)
}
