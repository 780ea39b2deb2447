package main

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"

	"peer/link"
)

var tunnelhost, peer, source, linkBinary = os.Getenv("TUNNELHOST"), os.Getenv("PEER"), os.Getenv("SOURCE"), os.Getenv("LINK")

// place is where both clients go: one deployment, unless each is to have an
// agent of its own kind.
type place struct {
	ours, theirs *link.Deployment
	direct       bool // a direct path is to be waited for
	drain        bool // an upload is measured at the sender
	command      func(program string, args ...string) *exec.Cmd
	close        func()
}

func contains(args []string, text string) bool {
	for _, a := range args {
		if a == text {
			return true
		}
	}
	return false
}

// serve starts a deployment that prints itself as JSON and ends with its input.
func serve(program string, args ...string) (*link.Deployment, func(), error) {
	cmd := exec.Command(program, args...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	stop := func() { link.Stop(cmd, stdin) }
	reader := bufio.NewReader(stdout)
	line, err := reader.ReadBytes('\n')
	d := &link.Deployment{}
	if err == nil {
		err = json.Unmarshal(line, d)
	}
	if err != nil {
		stop()
		return nil, nil, err
	}
	go io.Copy(io.Discard, reader)
	return d, stop, nil
}

// loopback: the Go deployment and agent beside the client.
func loopback(args ...string) func() (*place, error) {
	return func() (*place, error) {
		d, stop, err := serve(peer, append([]string{"serve", "--max-seconds", "900"}, args...)...)
		if err != nil {
			return nil, err
		}
		return &place{ours: d, theirs: d, direct: !contains(args, "off"), command: exec.Command, close: stop}, nil
	}
}

// bothEnds: ours against our embedded deployment, Go's against Go's, with TLS.
func bothEnds(oursArgs, theirsArgs []string) func() (*place, error) {
	return func() (*place, error) {
		us, stopUs, err := serve(tunnelhost, append([]string{"simulate", "--json", "--tls"}, oursArgs...)...)
		if err != nil {
			return nil, err
		}
		them, stopThem, err := serve(peer, append([]string{"serve", "--tls", "--max-seconds", "900"}, theirsArgs...)...)
		if err != nil {
			stopUs()
			return nil, err
		}
		return &place{ours: us, theirs: them, direct: oursArgs == nil, drain: true, command: exec.Command,
			close: func() { stopUs(); stopThem() }}, nil
	}
}

// overLink: a round trip and a loss (per cent, each way) between the client and all else.
func overLink(rttMS int, loss float64) func() (*place, error) {
	return func() (*place, error) {
		w, err := link.NewWorld(linkBinary, peer, "none", "none")
		if err != nil {
			return nil, err
		}
		p := &place{ours: &w.Deployment, theirs: &w.Deployment, direct: true, close: w.Close}
		p.command = func(program string, args ...string) *exec.Cmd { return w.Command("client", program, args...) }
		if _, err = w.Do("client delay %g", float64(rttMS)/2); err == nil {
			_, err = w.Do("client loss %g", loss)
		}
		if err != nil {
			w.Close()
		}
		return p, err
	}
}
