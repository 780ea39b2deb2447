package main

// client_speed.go: the client's bulk transfer, with round trips measured beside it.

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"tailscale.com/tailcfg"
)

// speedtestClient speaks tailscale's speedtest protocol, version 2: one JSON line
// {"version":2,"time":ns,"direction":0|1}, one JSON line {"error"?}, then blocks of 2 MiB
// (0: the server sends, 1: the client sends) until the sender's time is over and it closes.
func speedtestClient(ctx context.Context, t *tunnel, d time.Duration, up, drain bool, streams int, mark func()) (map[string]any, error) {
	var wg sync.WaitGroup
	var total atomic.Int64
	var once sync.Once
	errs := make([]error, streams)
	pctx, stop := context.WithCancel(ctx)
	pings := make(chan []float64, 1)
	go func() { pings <- pingUnderLoad(pctx, t) }()
	t0 := time.Now()
	for i := range streams {
		wg.Add(1)
		go func() {
			defer wg.Done()
			n, err := speedStream(ctx, t, d, up, drain, func() { once.Do(mark) })
			total.Add(n)
			errs[i] = err
		}()
	}
	wg.Wait()
	el := time.Since(t0).Seconds()
	stop()
	ps := <-pings
	r := map[string]any{"bytes": total.Load(), "seconds": el, "mbit_s": float64(total.Load()) * 8 / 1e6 / el, "direction": map[bool]string{true: "up", false: "down"}[up]}
	if len(ps) > 0 {
		slices.Sort(ps)
		r["ping_ms"] = ps[len(ps)/2]
	}
	return r, errors.Join(errs...)
}

func pingUnderLoad(ctx context.Context, t *tunnel) (ms []float64) {
	for {
		select {
		case <-ctx.Done():
			return ms
		case <-time.After(100 * time.Millisecond):
		}
		c, cancel := context.WithTimeout(ctx, 2*time.Second)
		began := time.Now()
		if _, err := t.node.ping(c, t.ip, tailcfg.PingTSMP); err == nil {
			ms = append(ms, since(began))
		}
		cancel()
	}
}

// speedStream moves data for d. A download is cut off then; an upload counts what the agent
// says has arrived by then (portSink), or with drain is waited for to its end.
func speedStream(ctx context.Context, t *tunnel, d time.Duration, up, drain bool, mark func()) (int64, error) {
	port := uint16(portSpeedtest)
	if up && !drain {
		port = portSink
	}
	c, err := t.node.dialTCP(ctx, netip.AddrPortFrom(t.ip, port))
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if port == portSink {
		mark()
		return upIntoSink(c, d)
	}
	if err := speedRequest(c, d, up); err != nil {
		return 0, err
	}
	mark()
	if !up {
		c.SetReadDeadline(time.Now().Add(d))
		n, _ := io.Copy(io.Discard, c)
		return n, nil
	}
	n, err := blast(c, d)
	c.CloseWrite()
	io.Copy(io.Discard, c)
	return n, err
}

func speedRequest(c net.Conn, d time.Duration, up bool) error {
	dir := 0
	if up {
		dir = 1
	}
	json.NewEncoder(c).Encode(map[string]any{"version": 2, "time": int64(d), "direction": dir})
	var line []byte
	one := make([]byte, 1)
	for len(line) == 0 || line[len(line)-1] != '\n' { // byte-wise: data follows at once
		if _, err := io.ReadFull(c, one); err != nil {
			return err
		}
		line = append(line, one[0])
	}
	var resp struct {
		Error string `json:"error"`
	}
	json.Unmarshal(line, &resp)
	if resp.Error != "" {
		return errors.New(resp.Error)
	}
	return nil
}

func blast(c net.Conn, d time.Duration) (total int64, err error) {
	buf := make([]byte, 1<<17)
	c.SetWriteDeadline(time.Now().Add(d))
	for t0 := time.Now(); time.Since(t0) < d; {
		n, err := c.Write(buf)
		total += int64(n)
		if t, ok := err.(net.Error); err != nil && !(ok && t.Timeout()) {
			return total, err
		}
	}
	return total, nil
}

func upIntoSink(c net.Conn, d time.Duration) (arrived int64, err error) {
	c.SetReadDeadline(time.Now().Add(d))
	done := make(chan error, 1)
	go func() { _, err := blast(c, d); done <- err }()
	lines := bufio.NewScanner(c)
	for lines.Scan() {
		arrived, _ = strconv.ParseInt(lines.Text(), 10, 64)
	}
	return arrived, <-done
}
