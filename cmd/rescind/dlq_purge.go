package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/term"
)

// dlqPurgeCmd is `rescind dlq purge`.
type dlqPurgeCmd struct {
	dlqFlags
	dlqChoice
	Yes bool `name:"yes" help:"Do not ask."`
}

// askAbove is how many messages are deleted without asking.
const askAbove = 10

// Help is printed by "rescind dlq purge --help" above the flags.
func (*dlqPurgeCmd) Help() string {
	return `Deletes the chosen messages of the dead-letter queue for good. To see them before, list with the same
choice. If there are more than 10, it asks for their number; without a terminal it needs --yes then.
--json prints their bodies before any is deleted, and deletes none if they cannot be written.

` + dlqReading + `

Exit codes: 0 done, 1 some were not deleted, or an id was not found, 2 misused.`
}

// purged is what --json prints after the messages, once it is known.
type purged struct {
	Deleted    int               `json:"deleted"`
	NotDeleted map[string]string `json:"notDeleted"` // why, by message id
	More       int               `json:"more"`       // about: visible, and not read
	Hidden     int               `json:"hidden"`     // about: others have received them
	NotFound   []string          `json:"notFound,omitempty"`
	Error      string            `json:"error,omitempty"`
}

// Run deletes what is chosen, and prints what that is.
func (c *dlqPurgeCmd) Run(ctx context.Context, s streams) error {
	result := &purged{NotDeleted: map[string]string{}}
	if err := c.check(); err != nil {
		return c.end(s, result, &deadLetters{URL: c.DLQURL}, err)
	}
	printed := false
	d, err := c.reading(ctx, s, func(d *deadLetters) error {
		chosen, unknown := c.from(d.all)
		result.NotFound, result.More, result.Hidden = unknown, d.left, d.others
		if err := c.confirm(ctx, s, chosen); err != nil {
			return err
		}
		if printed = true; c.JSON {
			if err := printBegin(s.out, d.URL, chosen); err != nil {
				return fmt.Errorf("nothing was deleted: %w", err)
			}
		} else if len(chosen) <= askAbove || c.Yes { // otherwise they were printed to ask
			printLetters(s, chosen)
		}
		failed := d.purge(ctx, s, chosen)
		for l, err := range failed {
			result.NotDeleted[l.MessageID] = err.Error()
		}
		if result.Deleted = len(chosen) - len(failed); !c.JSON {
			say(s.out, fmt.Sprintf("%d of %s deleted from %s", result.Deleted, count(len(chosen), "message"), d.URL))
			d.sayMore(s)
		}
		if len(failed) > 0 {
			return errors.Join(fmt.Errorf("not deleted: %s: %w; run it again", count(len(failed), "message"), anyOf(failed)), d.notFound(unknown))
		}
		return d.notFound(unknown)
	})
	if printed {
		d = nil
	}
	return c.end(s, result, d, err)
}

// purge deletes messages, and returns why it failed for some. After an interrupt the rest is not deleted.
func (d *deadLetters) purge(ctx context.Context, s streams, chosen []*deadLetter) map[*deadLetter]error {
	said := progressOf("deleted", len(chosen))
	defer said.on(s)()
	onStop(ctx, func() string {
		return fmt.Sprintf("stopping; %d of %d have been deleted, and the rest is made visible again", said.done.Load(), len(chosen))
	}, fmt.Sprintf("What was not deleted is hidden from others for %s at most.", minutes(d.hidden)))
	failed := map[*deadLetter]error{}
	for part := range slices.Chunk(chosen, maxRequests*maxBatch) {
		if ctx.Err() != nil {
			for _, l := range part {
				failed[l] = errInterrupted
			}
			continue
		}
		maps.Copy(failed, d.remove(part))
		said.done.Add(int64(len(part)))
	}
	return failed
}

// end prints the rest of the JSON value, all of it where no message was printed.
func (c *dlqPurgeCmd) end(s streams, result *purged, d *deadLetters, err error) error {
	if !c.JSON {
		return err
	}
	if d != nil {
		if begun := printBegin(s.out, d.URL, nil); begun != nil {
			return errors.Join(err, begun)
		}
	}
	if err != nil {
		result.Error = err.Error()
	}
	rest, failed := json.Marshal(result, json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
	if failed == nil {
		_, failed = fmt.Fprintf(s.out, ",%s\n", bytes.TrimPrefix(rest, []byte("{")))
	}
	return errors.Join(err, failed)
}

// printBegin prints the beginning of a JSON object: the messages. The rest follows once they are deleted, since
// what could not be written must not be.
func printBegin(w io.Writer, queueURL string, letters []*deadLetter) error {
	begin, err := json.Marshal(struct {
		Queue    string        `json:"deadLetterQueue"`
		Messages []*deadLetter `json:"messages"`
	}{queueURL, letters}, json.Deterministic(true), json.FormatNilSliceAsNull(false), jsontext.AllowInvalidUTF8(true))
	if err == nil {
		_, err = fmt.Fprintf(w, "%s\n", bytes.TrimSuffix(begin, []byte("}")))
	}
	if err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	return nil
}

// confirm asks before many are deleted.
func (c *dlqPurgeCmd) confirm(ctx context.Context, s streams, chosen []*deadLetter) error {
	if c.Yes || len(chosen) <= askAbove {
		return nil
	}
	in, ok := s.in.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) || terminalWidth(s.err) == 0 {
		return misused("%d messages are chosen, and there is no terminal to ask on: name --yes; nothing was deleted", len(chosen))
	}
	if !c.JSON {
		printLetters(s, chosen)
	}
	say(s.err, fmt.Sprintf("Type %d to delete these %d messages for good:", len(chosen), len(chosen)))
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(in).ReadString('\n')
		answer <- strings.TrimSpace(line)
	}()
	select {
	case <-ctx.Done():
		return fmt.Errorf("%w; nothing was deleted", errInterrupted)
	case typed := <-answer:
		if typed != strconv.Itoa(len(chosen)) {
			return fmt.Errorf("that was not %d; nothing was deleted", len(chosen))
		}
	}
	return nil
}
