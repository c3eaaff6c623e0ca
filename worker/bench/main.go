package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

func main() {
	if playedPart(os.Args) {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	load
	rounds     int
	contenders []contender
	json       bool
	profiles   string // directory; "" for none
	growth     bool   // -commands against 20,000 instead of contenders against each other
}

func parse(args []string, errs io.Writer) (options, error) {
	var o options
	var only string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(errs)
	flags.StringVar(&o.Fleet, "fleet", fleets[0].name, "what the commands cancel: batch, emr or iot")
	flags.IntVar(&o.Commands, "commands", 20_000, "commands that each contender drains in each round")
	flags.DurationVar(&o.Latency, "latency", 5*time.Millisecond, "how long the simulator takes over every request")
	flags.IntVar(&o.rounds, "rounds", 3, "rounds; medians are reported")
	flags.StringVar(&only, "only", "", "contenders to run, comma separated, of: "+strings.Join(names(contenders), ", "))
	flags.BoolVar(&o.json, "json", false, "print one JSON value, every round in it")
	flags.StringVar(&o.profiles, "profiles", "", "directory to write a CPU profile of each contender and round to")
	flags.BoolVar(&o.growth, "growth", false, "what a command costs Rescind at -commands and at 20,000, without a ledger and with bolt")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("%q is no flag: see -help", flags.Arg(0))
	}
	if o.Commands < 1 || o.rounds < 1 || o.Latency < 0 {
		return o, errors.New("-commands and -rounds must be at least 1, and -latency at least 0")
	}
	f, err := fleetOf(o.Fleet)
	if err != nil {
		return o, err
	}
	o.contenders = contenders
	if _, together := f.calls(aws.Config{}); together == nil {
		o.contenders = slices.DeleteFunc(slices.Clone(contenders), func(c contender) bool { return c.name == loopBulk })
	}
	if only != "" {
		o.contenders = nil
		for name := range strings.SplitSeq(only, ",") {
			c, ok := find(strings.TrimSpace(name))
			if !ok {
				return o, fmt.Errorf("-only names %q, which is none of %s", name, strings.Join(names(contenders), ", "))
			}
			o.contenders = append(o.contenders, c)
		}
	}
	return o, nil
}

// run is the bench: every contender in every round, in an order that moves on by one each round,
// so that none has always the same one before it.
func run(ctx context.Context, args []string, out, errs io.Writer) error {
	o, err := parse(args, errs)
	if err != nil {
		return err
	}
	if o.growth {
		return writeGrowth(ctx, o, out, errs)
	}
	all, err := measureAll(ctx, o, errs)
	if err != nil {
		return err
	}
	if o.json {
		return writeJSON(out, o, all)
	}
	return writeTables(out, o, all)
}

func measureAll(ctx context.Context, o options, progress io.Writer) (all []measurement, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // kills what is left after an error
	sim, err := start(ctx, simulatorPart)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, sim.end()) }()
	for round := range o.rounds {
		order := slices.Clone(o.contenders)
		first := round % len(order)
		for _, c := range slices.Concat(order[first:], order[:first]) {
			m, err := measure(ctx, sim, c, o, round)
			if err != nil {
				cancel()
				return nil, fmt.Errorf("round %d of %s: %w", round+1, c.name, err)
			}
			fmt.Fprintf(progress, "round %d  %-12s %8.0f commands/s  %6.0f µs CPU each\n", m.Round, m.Contender, m.Rate, m.CPU)
			all = append(all, m)
		}
	}
	return all, nil
}

func names(all []contender) []string {
	list := make([]string, len(all))
	for i, c := range all {
		list[i] = c.name
	}
	return list
}

func find(name string) (contender, bool) {
	for _, c := range slices.Concat(contenders, growing) {
		if c.name == name {
			return c, true
		}
	}
	return contender{}, false
}
