package main

// agent_remote.go: `peer agent`: an agent in a process (so in a network namespace) of its
// own. It joins its deployment's coordinator at workspaceagents/me/rpc, of which only the
// tailnet service is there; the agent is named by its id, without a token.

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"
	"github.com/hashicorp/yamux"
	"tailscale.com/envknob"

	"peer/pb"
)

// serveAgentRPC is the deployment's end; the agent is ready as long as it is connected.
func (d *deployment) serveAgentRPC(w http.ResponseWriter, r *http.Request) {
	a := d.findAgent(r.URL.Query().Get("agent"))
	if a == nil {
		writeJSON(w, 401, apiError{Message: "Workspace agent not authorized."})
		return
	}
	a.mu.Lock()
	a.connected, a.connectAt = true, time.Now()
	a.mu.Unlock()
	d.setLifecycle(a, "ready")
	d.serveCoordinate(w, r, streamID{peer: a.id, isAgent: true})
	a.mu.Lock()
	a.connected = false
	a.mu.Unlock()
}

func runAgent(args []string) error {
	fs := flag.NewFlagSet("agent", flag.ExitOnError)
	base := fs.String("url", "", "deployment URL")
	agentID := fs.String("id", "", "the agent's id")
	noDirect := fs.Bool("no-direct", false, "relay only")
	eps := fs.String("endpoints", "all", "loopback or all")
	ca := fs.String("ca", "", "CA file (PEM)")
	verbose := fs.Bool("v", false, "log to stderr")
	fs.Parse(args)

	u, err := url.Parse(*base)
	if err != nil {
		return err
	}
	if *ca != "" {
		os.Setenv("SSL_CERT_FILE", *ca)
	}
	if u.Scheme == "http" {
		envknob.Setenv("TS_DEBUG_USE_DERP_HTTP", "true")
	}
	if *noDirect {
		envknob.Setenv("TS_DEBUG_NEVER_DIRECT_UDP", "true")
	}
	d := newDeployment() // what the services of the agent ask for
	d.baseURL, d.opt.direct, d.opt.endpoints, d.opt.agentAddrs = u, !*noDirect, *eps, 2
	if *verbose {
		d.logf = func(f string, a ...any) { fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05.000 ")+f+"\n", a...) }
	}
	a := newAgent(d, "main")
	if a.id, err = uuid.Parse(*agentID); err != nil {
		return err
	}
	n, err := a.newNode()
	if err != nil {
		return err
	}
	defer n.Close()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	go func() { io.Copy(io.Discard, os.Stdin); stop() }()
	for ctx.Err() == nil {
		if err := a.coordinateRemotely(ctx, n); err != nil {
			d.logf("coordinate: %v", err)
			time.Sleep(100 * time.Millisecond)
		}
	}
	return nil
}

// coordinateRemotely lasts as long as the connection.
func (a *agent) coordinateRemotely(ctx context.Context, n *tnode) error {
	cfg := &clientConfig{base: a.dep.baseURL}
	ws, err := cfg.dialWS(ctx, "/api/v2/workspaceagents/me/rpc", url.Values{"version": {"2.0"}, "agent": {a.id.String()}})
	if err != nil {
		return err
	}
	defer ws.CloseNow()
	yc := yamux.DefaultConfig()
	yc.LogOutput = io.Discard
	sess, err := yamux.Client(websocket.NetConn(ctx, ws, websocket.MessageBinary), yc)
	if err != nil {
		return err
	}
	defer sess.Close()
	cl := pb.NewDRPCTailnetClient(&muxConn{sess})
	derps, err := cl.StreamDERPMaps(ctx, &pb.StreamDERPMapsRequest{})
	if err != nil {
		return err
	}
	go func() {
		for {
			m, err := derps.Recv()
			if err != nil {
				return
			}
			rewriteEmbedded(m, a.dep.baseURL)
			n.SetDERPMap(m)
		}
	}()
	coord, err := cl.Coordinate(ctx)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	send := func(r *pbReq) {
		mu.Lock()
		defer mu.Unlock()
		coord.Send(r)
	}
	n.SetNodeCallback(func(m *pbNode) { send(&pbReq{UpdateSelf: &pbUpdateSelf{Node: m}}) })
	defer n.SetAllPeersLost()
	for {
		r, err := coord.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return err
		}
		for _, id := range n.UpdatePeers(r.PeerUpdates) {
			send(&pbReq{ReadyForHandshake: []*pbRFH{{Id: id}}})
		}
	}
}
