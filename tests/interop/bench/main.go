// Command bench runs tunnelhost and the Go client in turn against one agent
// and prints both sides' figures: JSON lines to a file, a table on stdout. It
// asserts nothing. Started by tests/bench/run.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"

	"peer/link"
)

// group is what runs against one place.
type group struct {
	name  string
	open  func() (*place, error)
	flags []string // of the Go client
	jobs  []job
}

func main() {
	only := flag.String("only", ".", "regular expression of the rows wanted, as `GROUP: JOB`")
	runs := flag.Int("runs", 3, "of each transfer; its median is taken")
	connects := flag.Int("connects", 9, "of each connect")
	seconds := flag.Float64("seconds", 3, "of each transfer")
	output := flag.String("output", "build/bench/bench.jsonl", "for the JSON lines; begun anew")
	list := flag.Bool("list", false, "name the rows and end")
	flag.Parse()
	wanted, err := regexp.Compile(*only)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: --only:", err)
		os.Exit(64)
	}
	if *list {
		for _, g := range groups() {
			for _, j := range g.jobs {
				fmt.Println(g.name + ": " + j.name())
			}
		}
		return
	}
	out, err := newReport(*output)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	for _, g := range groups() {
		var jobs []job
		for _, j := range g.jobs {
			j.seconds, j.runs = *seconds, *runs
			if j.direction == "" {
				j.runs = *connects
			}
			if wanted.MatchString(g.name + ": " + j.name()) {
				jobs = append(jobs, j)
			}
		}
		if len(jobs) > 0 {
			run(g, jobs, out)
		}
	}
}

func run(g group, jobs []job, out *report) {
	p, err := g.open()
	if errors.Is(err, link.ErrUnavailable) {
		fmt.Fprintf(os.Stderr, "bench: %s: skipped: %v\n", g.name, err)
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %s: %v\n", g.name, err)
		os.Exit(1)
	}
	defer p.close()
	for _, j := range jobs {
		var us, them []sample
		for range j.runs {
			us, them = append(us, ours(p, j)), append(them, theirs(p, j, g.flags))
		}
		out.row(g.name, j.name(), us, them)
	}
}

// groups is every row there is.
func groups() []group {
	connect := job{}
	down, up := job{direction: "down", streams: 1}, job{direction: "up", streams: 1}
	many := []job{{direction: "down", streams: 8}, {direction: "up", streams: 8}, {direction: "down", streams: 64}, {direction: "up", streams: 64}}
	all := append([]job{connect, down, up}, many...)
	relay := []string{"--no-direct"}
	gs := []group{
		{name: "direct, TLS", open: loopback("--tls"), jobs: all},
		{name: "direct, plain", open: loopback(), jobs: []job{connect, down, up}},
		{name: "relay, TLS", open: loopback("--tls", "--direct", "off"), flags: relay, jobs: all},
		{name: "relay, plain", open: loopback("--direct", "off"), flags: relay, jobs: []job{connect, down, up}},
		{name: "relay by WebSocket, TLS", open: loopback("--tls", "--direct", "off", "--derp-websocket-only"),
			flags: append(relay, "--derp-websocket"), jobs: []job{connect, down, up}},
		{name: "direct, both ends", open: bothEnds(nil, nil), jobs: []job{down, up}},
		{name: "relay, both ends", open: bothEnds([]string{"--disable-direct-connections"}, []string{"--direct", "off"}), flags: relay, jobs: []job{down, up}},
	}
	for _, l := range []struct {
		rtt  int
		loss float64
	}{{20, 0}, {20, 0.1}, {20, 1}, {20, 5}, {100, 0}, {100, 1}} {
		gs = append(gs, group{name: fmt.Sprintf("%d ms, %g %% loss", l.rtt, l.loss), open: overLink(l.rtt, l.loss),
			flags: []string{"--endpoints", "all"}, jobs: []job{down, up}})
	}
	return gs
}
