// Command rescind cancels AWS work at fleet scale and reports truthfully what happened. This package
// has one file for each subcommand: flags and environment, signals, and what is printed. Everything
// else is in package worker and in internal/demo. README.md says how to use the command,
// ARCHITECTURE.md how it works.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/rescindhq/rescind/worker/trouble"
)

// Exit codes.
const (
	exitDone    = 0
	exitFailed  = 1
	exitMisused = 2
)

// services are what commands can stop, in help texts.
const services = "Batch jobs, EMR steps, FSx data repository tasks, IoT jobs and job executions, Step Functions and SWF workflow executions"

type cli struct {
	Demo    demoCmd    `cmd:"" help:"Cancel a fleet of targets on an AWS simulator and report the outcomes. Needs nothing, exits by itself."`
	Dev     devCmd     `cmd:"" help:"Run a worker on an embedded AWS simulator that the aws CLI can talk to; print outcomes on stdout."`
	Sim     simCmd     `cmd:"" help:"Serve the AWS simulator alone, on a port, for compose files and tests."`
	Worker  workerCmd  `cmd:"" help:"Run the worker, which takes commands from the queue, on AWS or on the endpoint in AWS_ENDPOINT_URL."`
	Send    sendCmd    `cmd:"" help:"Send commands to the queue, from flags, a file or stdin, and follow them to their outcomes."`
	Cancel  cancelCmd  `cmd:"" help:"Cancel all that matches: plan, preview, ask, send, and follow to the outcomes, in one line."`
	Plan    planCmd    `cmd:"" help:"List what matches, show it and how long it will take, and write a plan file. Stops nothing."`
	Apply   applyCmd   `cmd:"" help:"Send the commands of a plan file, exactly these; run it again to go on after a stop."`
	Report  reportCmd  `cmd:"" help:"Sum up what became of a campaign, list what was not stopped, and plan what to try again."`
	History historyCmd `cmd:"" help:"List every command that named a target, by whom, when, why, and what came of it."`
	DLQ     dlqCmd     `cmd:"" name:"dlq" help:"List what was dead-lettered and why, send it again, or delete it."`
	Doctor  doctorCmd  `cmd:"" help:"Check queues, topic, ledger, permissions, quotas and the worker, and say how to mend each. Changes nothing."`
	Schema  schemaCmd  `cmd:"" help:"Print the JSON Schema of commands or of outcomes."`
	IAM     iamCmd     `cmd:"" help:"Print the IAM policy that a worker, a sender, an operator, an auditor or a role in another account needs."`

	Completion  completionCmd `cmd:"" help:"Print a script that makes bash, zsh or fish complete rescind's commands and flags."`
	Version     versionCmd    `cmd:"" help:"Print version, commit and Go of this binary."`
	VersionFlag versionFlag   `name:"version" help:"Print version, commit and Go of this binary, and exit."`
}

func main() {
	ctx, stop := signals()
	code := run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

// signals returns a context that ends at the first SIGINT or SIGTERM. The second signal exits at once. At
// a terminal the first one says what is being finished, and the second always what becomes of the
// rest; the subcommand knows both and sets them with onStop.
func signals() (context.Context, context.CancelFunc) {
	says := &stopWords{}
	says.set(func() string { return "stopping" }, "")
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), stopWordsKey{}, says))
	received := make(chan os.Signal, 2)
	signal.Notify(received, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-received
		if terminalWidth(os.Stderr) > 0 {
			first, _ := says.get()
			fmt.Fprintln(os.Stderr) // after the terminal's ^C
			say(os.Stderr, "rescind: "+first()+"; a second Ctrl-C exits at once.")
		}
		cancel()
		<-received
		_, second := says.get()
		say(os.Stderr, strings.TrimSpace("rescind: stopped at once. "+second))
		os.Exit(exitFailed)
	}()
	return ctx, cancel
}

// stopWords is what the first signal and the second one say.
type stopWords struct {
	mu     sync.Mutex
	first  func() string
	second string
}

func (w *stopWords) get() (first func() string, second string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.first, w.second
}

func (w *stopWords) set(first func() string, second string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.first, w.second = first, second
}

type stopWordsKey struct{}

// onStop sets what is said when ctx, or the context that it derives from, is ended by a signal: first, a clause
// that says what is being finished; second, a sentence that says what becomes of the rest if it is not.
// It may be called again as the command goes on.
func onStop(ctx context.Context, first func() string, second string) {
	if says, ok := ctx.Value(stopWordsKey{}).(*stopWords); ok {
		says.set(first, second)
	}
}

// misuse is an error in the command line or the environment; the exit code is then 2.
type misuse struct{ error }

func (m misuse) Unwrap() error { return m.error }

func misused(format string, args ...any) error { return misuse{fmt.Errorf(format, args...)} }

// run runs one command line and returns its exit code.
func run(ctx context.Context, args []string, s streams) (code int) {
	s = s.safe()
	if len(args) == 0 { // misuse, which the whole help answers; a script whose variable is empty must not go on
		run(ctx, []string{"--help"}, streams{s.in, s.err, s.err})
		return exitMisused
	}
	defer func() {
		// After --help Kong calls Exit, which panics with the code.
		switch left := recover().(type) {
		case nil:
		case exit:
			code = int(left)
		default:
			panic(left)
		}
	}()
	parser, err := newParser(ctx, s)
	if err != nil {
		panic(err) // cli has a wrong tag
	}
	if args[0] == completeWords {
		for _, each := range completions(parser.Model, args[1:]) {
			fmt.Fprintln(s.out, each)
		}
		return exitDone
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(s.err, "rescind: %v\nTry \"rescind %s--help\".\n", err, subcommandOf(err))
		return exitMisused
	}
	err = parsed.Run()
	if err == nil {
		return exitDone
	}
	complain(s, err.Error())
	if errors.As(err, new(misuse)) {
		return exitMisused
	}
	return exitFailed
}

// complain says for people what is wrong. A line that begins with spaces is a command to paste: it is left to the
// terminal to wrap it, which then copies it whole, and an empty line parts it from what is said next.
func complain(s streams, text string) {
	for i, line := range strings.Split(text, "\n") {
		if i == 0 {
			line = "rescind: " + line
		}
		if strings.HasPrefix(line, "  ") {
			fmt.Fprint(screenOf(s.err), trouble.Clean(line, maxSaid)+"\n\n")
		} else {
			say(s.err, line)
		}
	}
}

// subcommandOf returns the subcommand that a command line was for that Kong refused, such as "dlq send", and a space;
// "" if it named none.
func subcommandOf(err error) string {
	var refused *kong.ParseError
	if errors.As(err, &refused) && refused.Context.Selected() != nil {
		return strings.Join(pathOf(refused.Context.Selected()), " ") + " "
	}
	return ""
}

// pathOf returns the names by which a subcommand is called.
func pathOf(n *kong.Node) []string {
	if n == nil || n.Type != kong.CommandNode {
		return nil
	}
	return append(pathOf(n.Parent), n.Name)
}

// newParser returns the parser of the command line.
func newParser(ctx context.Context, s streams) (*kong.Kong, error) {
	return kong.New(&cli{},
		kong.Name("rescind"),
		kong.Description(`Cancels AWS work at fleet scale, within AWS's quotas, and reports truthfully what happened. It stops `+services+`.`),
		kong.Help(printHelp),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.Writers(s.out, s.err),
		kong.Exit(func(code int) { panic(exit(code)) }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(s),
	)
}

// exit is what Kong's Exit panics with: the exit code.
type exit int
