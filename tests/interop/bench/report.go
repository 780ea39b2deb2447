package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// report writes each row as it comes.
type report struct {
	lines *json.Encoder
}

// line is one figure of one row: medians.
type line struct {
	Group      string       `json:"group"`
	Job        string       `json:"job"`
	Figure     string       `json:"figure"`
	Tunnelhost float64      `json:"tunnelhost"`
	Go         float64      `json:"go"`
	Ratio      float64      `json:"ratio"`
	Runs       [2][]float64 `json:"runs"` // tunnelhost's, Go's
}

func newReport(path string) (*report, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	fmt.Printf("%-26s %-18s %-16s %12s %12s %8s\n", "group", "job", "figure", "tunnelhost", "go", "ratio")
	return &report{lines: json.NewEncoder(f)}, nil
}

func values(samples []sample, figure string) (out []float64) {
	for _, s := range samples {
		if v, ok := s[figure]; ok {
			out = append(out, v)
		}
	}
	slices.Sort(out)
	return out
}

func (r *report) row(group, job string, us, them []sample) {
	var figures []string
	for _, s := range append(slices.Clone(us), them...) {
		for name := range s {
			if !slices.Contains(figures, name) {
				figures = append(figures, name)
			}
		}
	}
	slices.Sort(figures)
	for _, figure := range figures {
		a, b := values(us, figure), values(them, figure)
		if len(a) == 0 || len(b) == 0 {
			continue
		}
		l := line{Group: group, Job: job, Figure: figure, Tunnelhost: a[len(a)/2], Go: b[len(b)/2], Runs: [2][]float64{a, b}}
		if l.Go != 0 {
			l.Ratio = l.Tunnelhost / l.Go
		}
		r.lines.Encode(l)
		fmt.Printf("%-26s %-18s %-16s %12.2f %12.2f %8.2f\n", group, job, figure, l.Tunnelhost, l.Go, l.Ratio)
	}
}
