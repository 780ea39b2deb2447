package suite

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

const loadFor = 10 * time.Second

// endless gives random bytes until a time: as many as go.
type endless struct{ until time.Time }

func (e endless) Read(b []byte) (int, error) {
	if time.Now().After(e.until) {
		return 0, io.EOF
	}
	return rand.Read(b)
}

// load sends through an echo as fast as it goes and compares what comes back.
// down counts what has come back so far.
func load(t *testing.T, address string, down *counter) {
	t.Helper()
	c, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(loadFor + 60*time.Second))
	sent, got, up := sha256.New(), sha256.New(), &counter{}
	go func() {
		io.Copy(io.MultiWriter(c, sent, up), endless{time.Now().Add(loadFor)})
		c.(*net.TCPConn).CloseWrite()
	}()
	if _, err := io.Copy(io.MultiWriter(got, down), c); err != nil {
		t.Fatalf("after %d of %d bytes: %v", down.load(), up.load(), err)
	}
	if down.load() != up.load() || !bytes.Equal(sent.Sum(nil), got.Sum(nil)) {
		t.Fatalf("%d of %d bytes came back, or others", down.load(), up.load())
	}
}

// watcher looks each 250 ms at the bytes and at the agent's handshakes.
type watcher struct {
	intervals  []int64
	handshakes map[time.Time]bool
	stop, done chan struct{}
}

func watch(d *deployment, load func() int64) *watcher {
	w := &watcher{handshakes: map[time.Time]bool{}, stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for last := load(); ; {
			select {
			case <-tick.C:
				now := load()
				w.intervals = append(w.intervals, now-last)
				last = now
				for _, p := range d.stats().Nodes[0].Peers {
					w.handshakes[p.LastHandshake] = true
				}
			case <-w.stop:
				return
			}
		}
	}()
	return w
}

// show prints the intervals, and the worst beside the mean: a figure, no verdict.
func (w *watcher) show(t *testing.T, what string) {
	t.Helper()
	// Without TCP's start, and what its buffers held at the end.
	samples := w.intervals[min(4, len(w.intervals)):]
	samples = samples[:min(len(samples), int(loadFor/(250*time.Millisecond))-8)]
	line, worst, sum := "", int64(1)<<62, int64(0)
	for _, n := range samples {
		line += fmt.Sprintf(" %d", n*8/250000)
		worst, sum = min(worst, n), sum+n
	}
	if sum == 0 {
		t.Logf("%s: nothing in %d intervals", what, len(samples))
		return
	}
	mean := sum / int64(len(samples))
	t.Logf("%s: %d handshakes; Mbit/s each 250 ms:%s; mean %d, worst %d (%+d %%)", what, len(w.handshakes), line,
		mean*8/250000, worst*8/250000, 100*(worst-mean)/mean)
}

func fullLoad(t *testing.T, d *deployment, what string, flags ...string) (handshakes int) {
	t.Helper()
	p, address := forward(t, d, echo(t), flags...)
	down := &counter{}
	w := watch(d, down.load)
	load(t, address, down)
	close(w.stop)
	<-w.done
	w.show(t, what)
	p.signal(syscall.SIGINT)
	if got := p.wait(5 * time.Second); got != 130 {
		t.Errorf("status %d after SIGINT", got)
	}
	return len(w.handshakes)
}

// TestRekeyEvery2s: full load both ways for 10 s, and no byte is lost.
func TestRekeyEvery2s(t *testing.T) {
	if n := fullLoad(t, servePeer(t, "--direct", "off"), "rekey each 2 s", "--test-rekey-after", "2"); n < 4 {
		t.Errorf("%d handshakes", n)
	}
}

// TestNoRekeyIn10s is the other for comparison: its figures without a rekey.
func TestNoRekeyIn10s(t *testing.T) {
	if n := fullLoad(t, servePeer(t, "--direct", "off"), "no rekey"); n > 2 {
		t.Errorf("%d handshakes", n)
	}
}
