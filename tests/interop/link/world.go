package link

import (
	"bufio"
	"encoding/json"
	"io"
	"os/exec"
)

// Deployment is what `peer serve` prints.
type Deployment struct {
	URL           string `json:"url"`
	Token         string `json:"token"`
	WorkspaceID   string `json:"workspace_id"`
	WorkspaceName string `json:"workspace_name"`
	CAFile        string `json:"ca_file"`
	Agents        []struct {
		ID string `json:"id"`
	} `json:"agents"`
}

// World is a deployment with its relay and STUN in the "internet", an agent
// in "agent" and room for a client in "client".
type World struct {
	*Link
	Deployment
	stops []func()
}

// The NATs' public addresses, for Do("client nat KIND " + …).
const (
	ClientPublic = "203.0.113.1"
	AgentPublic  = "203.0.113.2"
)

// NewWorld starts all but the client. NATs are the kinds of nat.h.
func NewWorld(binary, peer, clientNAT, agentNAT string, serve ...string) (w *World, err error) {
	l, err := Start(binary)
	if err != nil {
		return nil, err
	}
	w = &World{Link: l}
	defer func() {
		if err != nil {
			w.Close()
		}
	}()
	for _, side := range [][2]string{{"client", "192.168.1.2/24"}, {"agent", "192.168.2.2/24"}, {"internet", "203.0.113.10/24"}} {
		if err = l.Side(side[0], side[1]); err != nil {
			return w, err
		}
	}
	if _, err = l.Do("client nat %s %s", clientNAT, ClientPublic); err != nil {
		return w, err
	}
	if _, err = l.Do("agent nat %s %s", agentNAT, AgentPublic); err != nil {
		return w, err
	}
	// tunnelhost takes plain http from loopback alone
	args := append([]string{"serve", "--tls", "--max-seconds", "900", "--listen", "203.0.113.10:8080", "--stun-listen", "203.0.113.10",
		"--endpoints", "all", "--remote-agents"}, serve...)
	stdout, err := w.start(l.Command("internet", peer, args...))
	if err != nil {
		return w, err
	}
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		return w, err
	}
	if err = json.Unmarshal(line, &w.Deployment); err != nil {
		return w, err
	}
	go io.Copy(io.Discard, stdout)
	_, err = w.start(l.Command("agent", peer, "agent", "--url", w.URL, "--ca", w.CAFile, "--id", w.Agents[0].ID))
	return w, err
}

// start runs a process until Close; it ends when its standard input does.
func (w *World) start(cmd *exec.Cmd) (io.Reader, error) {
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	w.stops = append(w.stops, func() { Stop(cmd, stdin) })
	return stdout, nil
}

func (w *World) Close() {
	for i := len(w.stops) - 1; i >= 0; i-- {
		w.stops[i]()
	}
	w.Link.Close()
}
