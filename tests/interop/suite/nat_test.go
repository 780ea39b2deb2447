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
	cmd := w.Command("client", os.Getenv("PEER"), "client", "--url", w.URL, "--token", w.Token, "--workspace-id", w.WorkspaceID,
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
		})
	}
}
