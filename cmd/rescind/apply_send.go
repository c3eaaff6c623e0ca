package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/rescindhq/rescind/worker/campaign"
)

// applying is a plan while it is sent.
type applying struct {
	*applyCmd
	streams
	api     *sqs.Client
	journal *campaign.Journal
	group   string // MessageGroupId, as rescind send has it

	mu      sync.Mutex
	sent    atomic.Int64
	refused int
	says    []string // why SQS refused the first ones
}

// send sends what the journal does not show as sent, in the order of the file. After a stop or a failed request none begins;
// those under way are finished and recorded.
func (c *applyCmd) send(ctx context.Context, s streams, api *sqs.Client, plan *campaign.Plan, journal *campaign.Journal, r *applyReport) error {
	h := &plan.Header
	a := &applying{applyCmd: c, streams: s, api: api, journal: journal, group: h.Service + "/" + h.Account + "/" + h.Region}
	goOn := cmp.Or(c.goOn, "Run the same again to go on: no command is run twice.")
	onStop(ctx, func() string {
		return fmt.Sprintf("stopping; %s of %s are sent", grouped(a.sent.Load()), grouped(r.Left)) // one line: a bar is drawn below
	}, strings.Join(strings.Fields(goOn), " "))
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	stopProgress := showCount(s, c.JSON, r.Left, "sent", &a.sent, nil)
	err := a.all(ctx, fail, plan)
	stopProgress()
	if cause := context.Cause(ctx); cause != nil {
		if err = cause; errors.Is(cause, context.Canceled) {
			err = errors.New("interrupted")
		}
	}
	for _, each := range a.says {
		say(s.err, each)
	}
	r.Refused = a.refused
	if err == nil && a.refused > 0 {
		err = fmt.Errorf("SQS refused %s", many(a.refused, "command"))
	}
	if err != nil {
		return fmt.Errorf("%w\n%s of %s are sent. %s", err, grouped(journal.Count()), many(h.Count, "command"), goOn)
	}
	return nil
}

// all reads the plan and sends it batch by batch.
func (a *applying) all(ctx context.Context, fail context.CancelCauseFunc, plan *campaign.Plan) error {
	var requests sync.WaitGroup
	defer requests.Wait()
	free, pace := make(chan struct{}, maxRequests), pacer{rate: a.Rate.perSecond}
	begin := func(batch []*sending) {
		pace.wait(ctx, len(batch))
		select {
		case free <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return
		}
		requests.Go(func() {
			defer func() { <-free }()
			if err := a.batch(context.WithoutCancel(ctx), batch); err != nil {
				fail(err) // the first one counts
			}
		})
	}
	var batch []*sending
	number, size := 0, 0
	for line, err := range plan.Lines() {
		if err != nil {
			return err
		}
		if number++; a.journal.Sent(number) {
			continue
		}
		c := a.command(number, line)
		if len(batch) == pace.atOnce() || size+len(c.body) > maxBatchBytes {
			begin(batch)
			batch, size = nil, 0
		}
		if ctx.Err() != nil {
			return nil
		}
		batch, size = append(batch, c), size+len(c.body)
	}
	if len(batch) > 0 {
		begin(batch)
	}
	return nil
}

// command is a line as it is sent.
func (a *applying) command(number int, line []byte) *sending {
	body := string(line)
	if a.DryRun {
		body = `{"dryRun":true,` + body[1:]
	}
	return &sending{Line: number, State: stateUnsent, body: body, group: a.group}
}

// batch sends commands with one request and records those that SQS has accepted.
func (a *applying) batch(ctx context.Context, batch []*sending) error {
	err := sendBatch(ctx, a.api, a.QueueURL[0], batch)
	var sent []int
	a.mu.Lock()
	for _, c := range batch {
		switch c.State {
		case stateSent:
			if sent = append(sent, c.Line); a.onSent != nil {
				a.onSent(c)
			}
		case stateRefused:
			if a.refused++; len(a.says) < maxRefusalsPrinted {
				a.says = append(a.says, fmt.Sprintf("command %d: %s", c.Line, c.Error))
			}
		case stateUnsent, stateUnknown:
			if err == nil {
				err = fmt.Errorf("command %d: %s", c.Line, c.Error)
			}
		}
	}
	a.mu.Unlock()
	if len(sent) > 0 {
		err = errors.Join(err, a.journal.Add(sent))
		a.sent.Add(int64(len(sent)))
	}
	return err
}

// rate is the value of --rate.
type rate struct{ perSecond float64 } // 0: no limit

// maxRate keeps times in range.
const maxRate = 1e6

// UnmarshalText reads N/s, N/m, or N, which is a second's.
func (r *rate) UnmarshalText(text []byte) error {
	number, per, _ := strings.Cut(string(text), "/")
	n, err := strconv.ParseFloat(number, 64)
	switch {
	case err != nil || !(n > 0 && n <= maxRate) || per != "" && per != "s" && per != "m":
		return fmt.Errorf("must be like 50/s or 30/m, and above 0, not %q", text)
	case per == "m":
		n /= 60
	}
	r.perSecond = n
	return nil
}

// pacer lets batches begin at a rate. In any t seconds no more than rate*(t+paceSlack) commands begin, and one batch.
type pacer struct {
	rate float64 // commands a second; 0: no limit
	next time.Time
}

// paceSlack is how much of what was not used is made up for: timers are late.
const paceSlack = 100 * time.Millisecond

// atOnce is how many commands go into one request: a second's worth at most.
func (p *pacer) atOnce() int {
	if p.rate <= 0 {
		return maxBatch
	}
	return min(max(int(p.rate), 1), maxBatch)
}

// wait returns once n commands may begin, or ctx has ended.
func (p *pacer) wait(ctx context.Context, n int) {
	if p.rate <= 0 {
		return
	}
	if wait := time.Until(p.next); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
	}
	if least := time.Now().Add(-paceSlack); p.next.Before(least) {
		p.next = least
	}
	p.next = p.next.Add(time.Duration(float64(n) / p.rate * float64(time.Second)))
}
