package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// summary is a contender's medians, each number's for itself.
type summary struct {
	contender contender
	measurement
	slowest, fastest float64 // commands a second, of all rounds
}

func summarise(o options, all []measurement) []summary {
	list := make([]summary, len(o.contenders))
	for i, c := range o.contenders {
		var own []measurement
		for _, m := range all {
			if m.Contender == c.name {
				own = append(own, m)
			}
		}
		of := func(number func(measurement) float64) float64 { return median(own, number) }
		s := summary{contender: c, measurement: measurement{
			Contender: c.name, Requests: map[string]float64{},
			Seconds:      of(func(m measurement) float64 { return m.Seconds }),
			Rate:         of(func(m measurement) float64 { return m.Rate }),
			CPU:          of(func(m measurement) float64 { return m.CPU }),
			SimulatorCPU: of(func(m measurement) float64 { return m.SimulatorCPU }),
			Empty:        of(func(m measurement) float64 { return m.Empty }),
			PeakRSS:      int64(of(func(m measurement) float64 { return float64(m.PeakRSS) })),
			PeakAnon:     int64(of(func(m measurement) float64 { return float64(m.PeakAnon) })),
		}}
		for name := range operations(own) {
			s.Requests[name] = of(func(m measurement) float64 { return m.Requests[name] })
		}
		s.slowest = s.Rate
		for _, m := range own {
			s.Repeated += m.Repeated
			s.slowest, s.fastest = min(s.slowest, m.Rate), max(s.fastest, m.Rate)
		}
		list[i] = s
	}
	return list
}

// median is the middle one, or the mean of the two in the middle.
func median(all []measurement, number func(measurement) float64) float64 {
	numbers := make([]float64, len(all))
	for i, m := range all {
		numbers[i] = number(m)
	}
	slices.Sort(numbers)
	n := len(numbers)
	return (numbers[(n-1)/2] + numbers[n/2]) / 2
}

// operations are those that any of the measurements counted.
func operations(all []measurement) map[string]bool {
	set := map[string]bool{}
	for _, m := range all {
		for name := range m.Requests {
			set[name] = true
		}
	}
	return set
}

func writeTables(out io.Writer, o options, all []measurement) error {
	list := summarise(o, all)
	base := slices.IndexFunc(list, func(s summary) bool { return s.Contender == baseline })
	ratio := func(of func(measurement) float64, s summary) string {
		if base < 0 || of(list[base].measurement) == 0 {
			return "–"
		}
		return fmt.Sprintf("%.2f×", of(s.measurement)/of(list[base].measurement))
	}
	rate := func(m measurement) float64 { return m.Rate }
	cpu := func(m measurement) float64 { return m.CPU }
	total := func(m measurement) (n float64) {
		for _, each := range m.Requests {
			n += each
		}
		return n
	}
	rows := [][]string{{"", "commands/s", "of all rounds", "ratio", "CPU µs/command", "ratio", "requests/1,000", "ratio", "peak anonymous MiB", "simulator CPU µs/command"}}
	for _, s := range list {
		memory := "–"
		if s.PeakAnon > 0 {
			memory = strconv.FormatInt(s.PeakAnon>>20, 10)
		}
		rows = append(rows, []string{
			s.contender.what, fmt.Sprintf("%.0f", s.Rate), fmt.Sprintf("%.0f–%.0f", s.slowest, s.fastest), ratio(rate, s), fmt.Sprintf("%.0f", s.CPU), ratio(cpu, s),
			fmt.Sprintf("%.0f", total(s.measurement)), ratio(total, s), memory, fmt.Sprintf("%.0f", s.SimulatorCPU),
		})
	}
	fmt.Fprintf(out, "%d commands, %s a request, %d rounds (medians), %d processors; ratios to %q.\n\n",
		o.Commands, o.Latency, o.rounds, runtime.NumCPU(), baseline)
	if err := writeTable(out, rows); err != nil {
		return err
	}
	fmt.Fprint(out, "\nRequests per 1,000 commands; empty receives are counted in their own row alone.\n\n")
	return writeTable(out, requestRows(list))
}

// requestRows have an operation each, and a column for each contender.
func requestRows(list []summary) [][]string {
	head := []string{""}
	empty := []string{"empty receives"}
	var all []measurement
	for _, s := range list {
		head = append(head, s.Contender)
		empty = append(empty, fmt.Sprintf("%.1f", s.Empty))
		all = append(all, s.measurement)
	}
	rows := [][]string{head}
	for _, name := range slices.Sorted(maps.Keys(operations(all))) {
		row := []string{name}
		for _, s := range list {
			row = append(row, fmt.Sprintf("%.1f", s.Requests[name]))
		}
		rows = append(rows, row)
	}
	return append(rows, empty)
}

// writeTable writes a Markdown table whose columns line up; the first row is its head.
func writeTable(out io.Writer, rows [][]string) error {
	rule := slices.Repeat([]string{"--:"}, len(rows[0])) // numbers stand right
	rule[0] = "---"
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	for _, row := range slices.Insert(slices.Clone(rows), 1, rule) {
		fmt.Fprintf(w, "| %s\t|\n", strings.Join(row, "\t| "))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	return nil
}

func writeJSON(out io.Writer, o options, all []measurement) error {
	medians := make([]measurement, 0, len(o.contenders))
	for _, s := range summarise(o, all) {
		medians = append(medians, s.measurement)
	}
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		load
		Processors int           `json:"processors"`
		Baseline   string        `json:"baseline"`
		Medians    []measurement `json:"medians"`
		Rounds     []measurement `json:"rounds"`
	}{o.load, runtime.NumCPU(), baseline, medians, all})
}
