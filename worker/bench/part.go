package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

const (
	// partArgument as the first argument makes this binary play the part that the second names.
	partArgument = "part"
	// simulatorPart is the part of the AWS simulator; every other part is a contender's name.
	simulatorPart = "simulator"
	// endBound is how long a part may take to end before it is killed: longer than Rescind's drain.
	endBound = 40 * time.Second
)

// part is a child process. It is given what to do by JSON values on its standard input and
// answers each with one on its standard output. The end of its input ends it, so that no
// part outlives the bench, whatever ends that. Its methods are for one goroutine.
type part struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers *json.Decoder
}

// start starts a part, which is killed when ctx ends.
func start(ctx context.Context, name string) (*part, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this binary, to start %s: %w", name, err)
	}
	p := &part{cmd: exec.CommandContext(ctx, self, partArgument, name)}
	p.cmd.Stderr = os.Stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	p.answers = json.NewDecoder(out)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	return p, nil
}

// tell gives an order, and hear takes the next answer; ask does both.
func (p *part) tell(order any) error {
	if err := json.NewEncoder(p.in).Encode(order); err != nil {
		return fmt.Errorf("telling %s what to do: %w", p.cmd.Args[2], err)
	}
	return nil
}

func (p *part) hear(answer any) error {
	if err := p.answers.Decode(answer); err != nil {
		return fmt.Errorf("hearing from %s, which may have said more on standard error: %w", p.cmd.Args[2], err)
	}
	return nil
}

func (p *part) ask(order, answer any) error {
	if err := p.tell(order); err != nil {
		return err
	}
	return p.hear(answer)
}

// end lets a part end, and waits for it.
func (p *part) end() error {
	kill := time.AfterFunc(endBound, func() { _ = p.cmd.Process.Kill() })
	defer kill.Stop()
	err := errors.Join(p.in.Close(), p.cmd.Wait())
	if err != nil {
		return fmt.Errorf("ending %s: %w", p.cmd.Args[2], err)
	}
	return nil
}

// playedPart plays a part where args ask for one.
func playedPart(args []string) bool {
	if len(args) != 3 || args[1] != partArgument {
		return false
	}
	orders, ctx := listen(os.Stdin)
	err := fmt.Errorf("there is no part %q", args[2])
	if c, ok := find(args[2]); ok {
		err = contend(ctx, c, orders, os.Stdout)
	} else if args[2] == simulatorPart {
		err = serveSimulator(ctx, orders, os.Stdout)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", args[2], err)
		os.Exit(1)
	}
	return true
}

// listen reads orders; channel and context end with the input.
func listen(in io.Reader) (<-chan json.RawMessage, context.Context) {
	ctx, cancel := context.WithCancel(context.Background())
	orders := make(chan json.RawMessage)
	go func() {
		defer close(orders)
		defer cancel()
		for d := json.NewDecoder(in); ; {
			var order json.RawMessage
			if d.Decode(&order) != nil {
				return
			}
			orders <- order
		}
	}()
	return orders, ctx
}

// next waits for an order; false means that the input has ended.
func next(orders <-chan json.RawMessage, order any) (bool, error) {
	raw, ok := <-orders
	if !ok {
		return false, nil
	}
	if err := json.Unmarshal(raw, order); err != nil {
		return false, fmt.Errorf("reading order %s: %w", raw, err)
	}
	return true, nil
}
