// Command rescind cancels AWS work at fleet scale and tells the truth about what happened. It
// is wiring alone: flags and environment, signals, and what people see. README.md says how
// it is used, ARCHITECTURE.md how it works.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit codes.
const (
	exitDone    = 0
	exitFailed  = 1
	exitMisused = 2
)

type cli struct {
	Demo   demoCmd   `cmd:"" help:"Cancel a fleet on AWS in a box and show what became of it. Needs nothing, ends by itself."`
	Dev    devCmd    `cmd:"" help:"Run the worker on an AWS endpoint of its own that the aws CLI can talk to; outcomes on stdout."`
	Sim    simCmd    `cmd:"" help:"Serve AWS in a box alone, on a port, for compose files and other people's tests."`
	Worker workerCmd `cmd:"" help:"Run the worker on AWS, or on whatever AWS_ENDPOINT_URL names."`
	Send   sendCmd   `cmd:"" help:"Put commands on the queue: from flags, or JSON lines from a file or stdin."`
	Schema schemaCmd `cmd:"" help:"Print the JSON Schema of commands or of outcomes."`
}

// streams are what a command reads and writes; tests give their own.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

func main() {
	ctx, stop := signals()
	code := run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

// signals returns a context that ends at the first SIGINT or SIGTERM. The second one exits at
// once: what was under way comes back from the queue.
func signals() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	received := make(chan os.Signal, 2)
	signal.Notify(received, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-received
		cancel()
		<-received
		os.Exit(exitFailed)
	}()
	return ctx, cancel
}

// misuse is an error in how the command was called.
type misuse struct{ error }

func (m misuse) Unwrap() error { return m.error }

func misused(format string, args ...any) error { return misuse{fmt.Errorf(format, args...)} }

// run runs one command line and returns its exit code.
func run(ctx context.Context, args []string, s streams) (code int) {
	defer func() {
		// Kong leaves by Exit after --help; this brings it back here.
		switch left := recover().(type) {
		case nil:
		case exit:
			code = int(left)
		default:
			panic(left)
		}
	}()
	parser, err := kong.New(&cli{},
		kong.Name("rescind"),
		kong.Description("Event-driven cancellation of AWS work: fast up to the quota, honest in every status."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.Writers(s.out, s.err),
		kong.Exit(func(code int) { panic(exit(code)) }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(s),
	)
	if err != nil {
		panic(err) // the command line's own definition is wrong
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(s.err, "rescind: %v\nTry \"rescind --help\", or \"rescind COMMAND --help\".\n", err)
		return exitMisused
	}
	err = parsed.Run()
	var bad misuse
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &bad):
		fmt.Fprintf(s.err, "rescind: %v\n", err)
		return exitMisused
	}
	fmt.Fprintf(s.err, "rescind: %v\n", err)
	return exitFailed
}

// exit carries a code out of Kong.
type exit int
