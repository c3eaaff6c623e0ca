package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rescindhq/rescind/internal/awssim"
)

const (
	commandQueue = "commands"
	outcomeQueue = "outcomes"
	// reason stands in every command, so that calls can be shared.
	reason = "cost guard: queue over budget"
	// glance is how often the simulator looks whether it is drained: the error of the time measured.
	glance = time.Millisecond
)

// load is what a round is about.
type load struct {
	Fleet    string        `json:"fleet"`
	Commands int           `json:"commands"`
	Latency  time.Duration `json:"latencyNanoseconds"`
}

// place says where a contender finds its queue and its topic.
type place struct {
	Endpoint, QueueURL, TopicARN string
}

// tally is what the simulator saw of a contender.
type tally struct {
	// Requests counts requests until the queue was drained, by "service:Operation"; Empty, those
	// of them that were receives which brought nothing.
	Requests map[string]int64
	Empty    int64
	// CPU is what the simulator used meanwhile, user and system.
	CPU time.Duration
	// Outcomes lie on the results queue, Distinct commands have one, Cancelled targets were cancelled, and
	// Buried messages lie on the dead-letter queue.
	Outcomes, Distinct, Cancelled, Buried int
}

// order is one of the things that a simulator is asked to do. Orders come in the order of the
// fields, again and again.
type order struct {
	Open *load // a fresh simulator with these commands on its queue; answered by place
	// Profile is a file for a CPU profile of the simulator, until it is drained; "" for none.
	Profile string
	Drain   bool // wait until all is done; answered by true
	Close   bool // answered by tally
}

// serveSimulator is the AWS simulator as a part: one process, a fresh simulator for each contender.
func serveSimulator(ctx context.Context, orders <-chan json.RawMessage, out io.Writer) error {
	answers := json.NewEncoder(out)
	var b *simulator
	defer func() {
		if b != nil {
			_ = b.close() // an interrupted round: there is nobody to tell
		}
	}()
	for {
		var o order
		if ok, err := next(orders, &o); !ok {
			return err
		}
		var answer any = true
		switch {
		case o.Open != nil:
			var err error
			if b, err = openSimulator(ctx, *o.Open); err != nil {
				return err
			}
			if o.Profile != "" {
				if b.stopProfile, err = profile(o.Profile); err != nil {
					return err
				}
			}
			answer = b.place
		case b == nil:
			return errors.New("the simulator was asked for a result before it was opened")
		case o.Drain:
			switch err := b.drained(ctx); {
			case ctx.Err() != nil:
				return nil // the bench has ended
			case err != nil:
				return err
			}
		case o.Close:
			if err := b.close(); err != nil {
				return err
			}
			answer, b = b.tally, nil
			runtime.GC() // so that no round pays for the one before it
		}
		if err := answers.Encode(answer); err != nil {
			return fmt.Errorf("answering: %w", err)
		}
	}
}

// simulator is AWS for one contender.
type simulator struct {
	load
	fleet  fleet
	place  place
	tally  tally
	sim    *awssim.Sim
	server *http.Server
	served chan error
	empty  atomic.Int64
	before time.Duration // CPU used when it was opened

	stopProfile func() error // nil: there is none
}

func openSimulator(ctx context.Context, l load) (*simulator, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for AWS requests: %w", err)
	}
	f, err := fleetOf(l.Fleet)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	b := &simulator{load: l, fleet: f, served: make(chan error, 1)}
	b.place.Endpoint = "http://" + listener.Addr().String()
	b.sim = awssim.New(awssim.Options{
		BaseURL: b.place.Endpoint, Latency: l.Latency, Quotas: f.simulatorQuotas,
	})
	if err := b.fill(); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	runtime.GC()
	b.server = &http.Server{Handler: http.HandlerFunc(b.serveHTTP), ReadHeaderTimeout: time.Minute}
	go func() { b.served <- b.server.Serve(listener) }()
	b.before = processorTime()
	return b, nil
}

// fill puts targets and commands in.
func (b *simulator) fill() (err error) {
	if b.place.QueueURL, _, err = b.sim.CreateQueueWithDeadLetters(commandQueue, 1000, map[string]string{"VisibilityTimeout": "60"}); err != nil {
		return err
	}
	if _, err = b.sim.CreateQueue(outcomeQueue, nil); err != nil {
		return err
	}
	if b.place.TopicARN, err = b.sim.CreateTopic("outcomes"); err != nil {
		return err
	}
	if _, err = b.sim.Subscribe(b.place.TopicARN, outcomeQueue, true); err != nil {
		return err
	}
	bodies := b.fleet.put(b.sim, b.Commands)
	for i, parameters := range bodies {
		bodies[i] = fmt.Sprintf(`{"id":%q,"action":%q,"parameters":%s,"requestedBy":"cost-guard","campaign":"over-budget"}`,
			fmt.Sprintf("6f1c0a52-0d0c-4d4b-9d0f-%012x", i), b.fleet.action, parameters)
	}
	return b.sim.Send(commandQueue, bodies...)
}

// serveHTTP passes a request on, and looks whether a receive brought anything.
func (b *simulator) serveHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Amz-Target") == "AmazonSQS.ReceiveMessage" {
		w = &receiveWriter{ResponseWriter: w, empty: &b.empty}
	}
	b.sim.Handler().ServeHTTP(w, r)
}

// receiveWriter counts answers without a message. The simulator writes a body at once.
type receiveWriter struct {
	http.ResponseWriter
	empty *atomic.Int64
}

func (w *receiveWriter) Write(body []byte) (int, error) {
	if !bytes.Contains(body, []byte(`"MessageId"`)) {
		w.empty.Add(1)
	}
	return w.ResponseWriter.Write(body)
}

// drained waits until there are as many outcomes as commands and nothing is left on the queue,
// and counts what was asked until then.
func (b *simulator) drained(ctx context.Context) error {
	look := time.NewTicker(glance)
	defer look.Stop()
	for b.sim.Depth(outcomeQueue).Visible < b.Commands || b.sim.Depth(commandQueue) != (awssim.Depth{}) {
		select {
		case <-look.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	b.tally.CPU = processorTime() - b.before
	if b.stopProfile != nil {
		if err := b.stopProfile(); err != nil {
			return err
		}
	}
	b.tally.Empty = b.empty.Load()
	b.tally.Requests = map[string]int64{}
	for name, count := range b.sim.Counts() {
		b.tally.Requests[name] = count.Requests
	}
	return nil
}

// close ends the simulator and counts what became of its commands.
func (b *simulator) close() error {
	seen := map[string]bool{}
	for _, m := range b.sim.Messages(outcomeQueue) {
		b.tally.Outcomes++
		seen[commandOf(m.Body)] = true
	}
	delete(seen, "")
	b.tally.Distinct = len(seen)
	b.tally.Cancelled = b.fleet.cancelled(b.sim, b.Commands)
	b.tally.Buried = len(b.sim.Messages(commandQueue + "-dlq"))
	err := errors.Join(b.sim.Close(), b.server.Close())
	if served := <-b.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// commandOf is the command's id in an outcome, Rescind's or a loop's; "" where there is none.
func commandOf(body string) string {
	var o struct {
		event
		Data event `json:"data"`
	}
	if json.Unmarshal([]byte(body), &o) != nil {
		return ""
	}
	if o.Data.CommandID != "" {
		return o.Data.CommandID
	}
	return o.CommandID
}

// processorTime is what this process has used so far, user and system.
func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
