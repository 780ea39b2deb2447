package suite

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"peer/link"
)

func newWorld(t *testing.T, clientNAT, agentNAT string) *link.World {
	t.Helper()
	w, err := link.NewWorld(os.Getenv("LINK"), os.Getenv("PEER"), clientNAT, agentNAT)
	if errors.Is(err, link.ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

// goClientDirect says whether the Go client finds a direct path.
func goClientDirect(t *testing.T, w *link.World) bool {
	t.Helper()
	cmd := w.Command("client", os.Getenv("PEER"), "client", "--url", w.URL, "--token", w.Token, "--ca", w.CAFile, "--workspace-id", w.WorkspaceID,
		"--endpoints", "all", "--wait-direct", "4s", "ping", "-n", "1")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var answer struct{ Path struct{ Direct bool } }
	if err != nil || json.Unmarshal(out, &answer) != nil {
		t.Fatalf("peer client: %v\n%s%s", err, out, stderr.String())
	}
	return answer.Path.Direct
}

// oursDirect says whether one of tunnelhost's pings within 4 s went directly.
func oursDirect(t *testing.T, w *link.World) bool {
	t.Helper()
	cmd := w.Command("client", os.Getenv("TUNNELHOST"), "ping", w.WorkspaceID, "--output", "json", "--num", "20", "--interval", "0.2")
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "CODER_URL="+w.URL, "CODER_SESSION_TOKEN="+w.Token, "CODER_CLIENT_TLS_CA_FILE="+w.CAFile)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tunnelhost ping: %v\n%s%s", err, out, stderr.String())
	}
	return strings.Contains(string(out), `"direct":true`)
}

// TestNAT: a direct path where the Go client gets one, the relay where it
// does not. Kinds: tests/link/nat.h.
func TestNAT(t *testing.T) {
	for _, c := range []struct {
		client, agent string
		direct        bool
	}{
		{"none", "easy", true},
		{"easy", "easy", true},
		{"port", "port", true},
		{"easy", "hard", true},
		{"hard", "easy", true},
		{"address", "hard", true},
		{"port", "hard", false},
		{"hard", "hard", false},
	} {
		t.Run(c.client+"_"+c.agent, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.client, c.agent)
			if got := goClientDirect(t, w); got != c.direct {
				t.Errorf("the Go client: direct %v, want %v", got, c.direct)
			}
			if got := oursDirect(t, w); got != c.direct {
				t.Errorf("tunnelhost: direct %v, want %v", got, c.direct)
			}
		})
	}
}
