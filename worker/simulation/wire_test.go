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
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"

	"github.com/rescindhq/rescind/worker/queue"
)

var errCrashed = errors.New("this process is dead")

// process is one worker's process as the world outside sees it: what it sends and what reaches
// it. A process that has crashed sends nothing and gets no answers any more; what goes on inside
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

// pass runs one operation of the process, unless it is dead or dies before it. answered says whether
// the process learns what came of it.
func (p *process) pass(ctx context.Context, operation string, do func()) (answered bool) {
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
	w.journal.signs(w.name, r)
	var sends []byte
	if operation(r.Context()) == "SendMessageBatch" {
		if sends, err = io.ReadAll(r.Body); err != nil {
			return nil, fmt.Errorf("reading what is sent: %w", err)
		}
		r.Body = io.NopCloser(bytes.NewReader(sends))
	}
	answered := w.pass(r.Context(), operation(r.Context()), func() {
		out, err = w.client.Do(r) //nolint:bodyclose // the caller closes it, or the lines below
		switch {
		case err != nil:
		case sends != nil:
			err = w.noteCopies(sends, out)
		case operation(r.Context()) == "ReceiveMessage":
			err = w.note(out)
		}
	})
	if answered {
		return out, err
	}
	if out != nil {
		_ = out.Body.Close()
	}
	return nil, errCrashed
}

// signs writes down which process has the key that a request is signed with: that of a role's
// session is not the process's own.
func (j *journal) signs(name string, r *http.Request) {
	_, rest, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	key, _, ok := strings.Cut(rest, "/")
	if !ok {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.callers[key] = name
}

// note writes down which messages a receive brought, to whomever they come.
func (w wire) note(out *http.Response) error {
	var received struct {
		Messages []struct {
			ID                string `json:"MessageId"`
			Body              string
			MessageAttributes attributes
		}
	}
	if ok, err := read(out, &received); !ok {
		return err
	}
	w.journal.mu.Lock()
	defer w.journal.mu.Unlock()
	for _, m := range received.Messages {
		original := m.MessageAttributes.original()
		if original == "" || w.journal.forged[m.ID] {
			original = m.ID
		}
		if a, ok := arrivalOf(m.ID, m.Body); ok {
			w.journal.arrived = append(w.journal.arrived, a)
		}
		w.journal.receipts = append(w.journal.receipts, receipt{Message: m.ID, Original: original, Worker: w.name, At: time.Now()})
	}
	return nil
}

// noteCopies writes down which deferred copies were sent.
func (w wire) noteCopies(sends []byte, out *http.Response) error {
	var sent struct {
		Entries []struct {
			ID                string `json:"Id"`
			MessageAttributes attributes
		}
	}
	var answer struct {
		Successful []struct {
			ID string `json:"Id"`
		}
	}
	if ok, err := read(out, &answer); !ok {
		return err
	}
	if err := json.Unmarshal(sends, &sent); err != nil {
		return fmt.Errorf("reading what was sent: %w", err)
	}
	w.journal.mu.Lock()
	defer w.journal.mu.Unlock()
	for _, e := range sent.Entries {
		original := e.MessageAttributes.original()
		for _, s := range answer.Successful {
			if s.ID == e.ID && original != "" {
				w.journal.copies = append(w.journal.copies, copied{Original: original, At: time.Now()})
			}
		}
	}
	return nil
}

// attributes are those of a message as SQS's JSON has them.
type attributes map[string]struct{ StringValue string }

// original is the id of the message that one with these attributes is a deferred copy of, "" for none.
func (a attributes) original() string {
	var carried struct {
		MessageID string `json:"messageId"`
	}
	if json.Unmarshal([]byte(a[queue.MarkAttribute].StringValue), &carried) != nil {
		return ""
	}
	return carried.MessageID
}

// read decodes an answer that is whole and says success, and leaves its body to be read again. What
// stands between the worker and AWS answers otherwise.
func read(out *http.Response, into any) (ok bool, err error) {
	body, err := io.ReadAll(out.Body)
	_ = out.Body.Close()
	out.Body = io.NopCloser(bytes.NewReader(body))
	if err != nil {
		return false, fmt.Errorf("reading an answer: %w", err)
	}
	return out.StatusCode == http.StatusOK && json.Unmarshal(body, into) == nil, nil
}

func operation(ctx context.Context) string { return awsmiddleware.GetOperationName(ctx) }
