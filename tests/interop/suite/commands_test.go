package suite

import (
	"encoding/json"
	"testing"
	"time"
)

// The Go agent's own speed test, both ways at once.
func TestSpeedtestBothWays(t *testing.T) {
	d := servePeer(t)
	runs := map[string]*process{}
	for _, direction := range []string{"down", "up"} {
		runs[direction] = d.spawn(nil, "speedtest", "peerws", "--direction", direction, "-t", "5", "-o", "json")
	}
	for direction, p := range runs {
		var result struct {
			Overall struct {
				Mbits   float64 `json:"throughput_mbits"`
				Seconds float64 `json:"end_time_seconds"`
			}
			Intervals []any
			Bytes     int64
		}
		if status := p.wait(30*time.Second); status != 0 {
			t.Fatalf("%s: status %d: %s", direction, status, p.stderr)
		}
		if err := json.Unmarshal([]byte(p.stdout.String()), &result); err != nil {
			t.Fatalf("%s: %v in %q", direction, err, p.stdout.String())
		}
		if result.Bytes < 1<<20 || len(result.Intervals) < 5 || result.Overall.Seconds < 5 {
			t.Errorf("%s: %+v", direction, result)
		}
	}
}
