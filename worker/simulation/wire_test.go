package simulation

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
)

var errCrashed = errors.New("this process is dead")

// process is one worker's process as the world outside sees it: what it sends and what reaches
// it. A process that has crashed sends nothing and is told nothing any more; what goes on inside
// it no longer matters.
type process struct {
	name    string
	crashAt *point
	crash   func() // called once, when it comes there
	journal *journal

	mu         sync.Mutex
	seen       int // requests of the stage at which it crashes
	dead       bool
	died       *point // where it crashed
	standsTill time.Time
}

func (p *process) pause(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.standsTill = time.Now().Add(d)
}

// stand waits while the process stands still. It returns false where ctx ends before: Watermill's
// router waits on a mutex while it closes, which a bubble's time does not pass.
func (p *process) stand(ctx context.Context) bool {
	p.mu.Lock()
	till := p.standsTill
	p.mu.Unlock()
	d := time.Until(till)
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (p *process) isDead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead
}

// dies says whether the process dies at this operation, before or after it.
func (p *process) dies(operation string) (before, after bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return true, true
	}
	c := p.crashAt
	if c == nil || !slices.Contains(c.Operations, operation) {
		return false, false
	}
	p.seen++
	if p.seen != c.Nth {
		return false, false
	}
	return !c.After, true
}

// diedAt is where it crashed; nil where it did not.
func (p *process) diedAt() *point {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.died
}

func (p *process) die() {
	p.mu.Lock()
	first := !p.dead
	if first {
		p.died = p.crashAt
	}
	p.dead = true
	p.mu.Unlock()
	if first && p.crash != nil {
		p.crash()
	}
}

// pass runs one operation of the process, unless it is dead or dies before it. told says whether
// the process learns what came of it.
func (p *process) pass(ctx context.Context, operation string, do func()) (told bool) {
	if !p.stand(ctx) {
		return false
	}
	before, after := p.dies(operation)
	if before {
		p.die()
		return false
	}
	do()
	if after {
		p.die()
	}
	return p.stand(ctx) && !p.isDead()
}

// wire is the process's HTTP client.
type wire struct {
	*process
	client aws.HTTPClient
}

// Do implements aws.HTTPClient.
func (w wire) Do(r *http.Request) (out *http.Response, err error) {
	told := w.pass(r.Context(), operation(r.Context()), func() {
		out, err = w.client.Do(r) //nolint:bodyclose // the caller closes it, or the lines below
		if err == nil && operation(r.Context()) == "ReceiveMessage" {
			err = w.note(out)
		}
	})
	if told {
		return out, err
	}
	if out != nil {
		_ = out.Body.Close()
	}
	return nil, errCrashed
}

// note writes down which messages a receive brought, to whomever they come.
func (w wire) note(out *http.Response) error {
	body, err := io.ReadAll(out.Body)
	_ = out.Body.Close()
	out.Body = io.NopCloser(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("reading what was received: %w", err)
	}
	var received struct {
		Messages []struct {
			ID string `json:"MessageId"`
		}
	}
	if out.StatusCode != http.StatusOK {
		return nil
	}
	if err := json.Unmarshal(body, &received); err != nil {
		return fmt.Errorf("reading what was received: %w", err)
	}
	w.journal.mu.Lock()
	defer w.journal.mu.Unlock()
	for _, m := range received.Messages {
		w.journal.receipts = append(w.journal.receipts, receipt{Message: m.ID, Worker: w.name, At: time.Now()})
	}
	return nil
}

func operation(ctx context.Context) string { return awsmiddleware.GetOperationName(ctx) }
