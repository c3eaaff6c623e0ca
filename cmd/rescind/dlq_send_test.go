package main

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/creack/pty"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker/queue"
)

// TestDLQSendsAgain: what is sent again how, and what is not, and why.
func TestDLQSendsAgain(t *testing.T) {
	const envelope = `{"specversion":"1.0","type":"io.rescind.command.v1","id":"e","source":"s","data":`
	bare, anonymous := cancelJobBody("one"), `{"action":"batch:CancelJob","parameters":{"jobId":"job"}}`
	expired := strings.Replace(bare, "{", `{"expiresAt":"2020-01-01T00:00:00Z",`, 1)
	invalid := strings.Replace(bare, "jobId", "jobID", 1)
	rule := queue.Mark{Reason: "action is unknown", Field: "action", CommandID: "one", MessageID: "m"}
	reused := queue.Mark{Reason: "id was used before for a command with another action", Field: "id", CommandID: "one", MessageID: "m"}
	internal := queue.Mark{Reason: "Internal: panic", CommandID: "one", MessageID: "m"}
	for name, row := range map[string]struct {
		body  string
		mark  queue.Mark
		flags string
		how   string
		sent  string // the body; "": refused
	}{
		"a rule that has gone":                {bare, rule, "", "as it is", bare},
		"under a new id":                      {bare, rule, "--new-id", "as one.2", sorted("one.2")},
		"a rule that still holds":             {invalid, rule, "", "still invalid: parameters.jobID", ""},
		"by force":                            {invalid, rule, "--force", "as it is, though invalid", invalid},
		"by force under a new id":             {invalid, rule, "--force --new-id", "still invalid", ""},
		"no JSON":                             {"\u009b2J\u202e", rule, "", "still invalid: body", ""},
		"an id of another command":            {bare, reused, "", "use --new-id", ""},
		"an id of another, renamed":           {bare, reused, "--new-id", "as one.2", sorted("one.2")},
		"failed under its id":                 {bare, internal, "", "use --new-id", ""},
		"failed under its id, by force":       {bare, internal, "--force", "as it is", bare},
		"failed, without an id":               {anonymous, internal, "", "without an id, it is a new command", anonymous},
		"without an id, renamed":              {anonymous, internal, "--new-id", "as m.2", `{"action":"batch:CancelJob","id":"m.2","parameters":{"jobId":"job"}}`},
		"a CloudEvent, renamed":               {envelope + bare + "}", internal, "--new-id", "as one.2", `{"data":` + sorted("one.2") + `,"id":"e","source":"s","specversion":"1.0","type":"io.rescind.command.v1"}`},
		"an EventBridge event, renamed":       {`{"detail-type":"x","source":"s","id":"e","detail":` + anonymous + `}`, internal, "--new-id", "as e.2", `{"detail":` + sorted("e.2") + `,"detail-type":"x","id":"e","source":"s"}`},
		"a notification, renamed":             {`{"Type":"Notification","Message":` + quoted(bare) + `}`, internal, "--new-id", "as one.2", `{"Message":` + quoted(sorted("one.2")) + `,"Type":"Notification"}`},
		"expired":                             {expired, rule, "--new-id", "its expiresAt has passed", ""},
		"expired, by force":                   {expired, rule, "--force", "as it is", expired},
		"cut":                                 {bare[:20], queue.Mark{Reason: "x", MessageID: "m", Cut: []string{"body"}}, "--force", "was cut", ""},
		"an attribute that SQS does not take": {bare, queue.Mark{Reason: "x", MessageID: "m", Attributes: map[string]queue.MarkAttributeValue{"a": {Type: "Nonsense", Value: "x"}}}, "--force", "would not take", ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newLetterbox(t, awssim.Options{})
			if row.mark.Attributes == nil {
				row.mark.Attributes = map[string]queue.MarkAttributeValue{"traceparent": {Type: "String", Value: "00-x"}, "blob": {Type: "Binary", Binary: []byte{0, 255}}}
			}
			id := b.put(row.body, row.mark)
			flags := append([]string{"send", "--id", id}, strings.Fields(row.flags)...)
			code := exitDone
			if row.sent == "" {
				code = exitFailed
			}
			if dry := b.asked(code, append(flags, "--dry-run")...).Messages[0]; !strings.Contains(dry.How+dry.Error, row.how) || dry.State == "sent" {
				t.Errorf("dry: %+v", dry)
			}
			b.holds(0, 1)
			m := b.asked(code, flags...).Messages[0]
			if !strings.Contains(m.How+m.Error, row.how) || m.Deleted != (row.sent != "") {
				t.Errorf("%+v, want %q", m, row.how)
			}
			if row.sent == "" {
				b.holds(0, 1)
				return
			}
			b.holds(1, 0)
			got := b.Messages(b.queue)[0]
			if got.Body != row.sent {
				t.Errorf("sent %s\nwant %s", got.Body, row.sent)
			}
			if a := got.Attributes; len(a) != 2 || a["traceparent"].StringValue != "00-x" || !bytes.Equal(a["blob"].BinaryValue, []byte{0, 255}) {
				t.Errorf("attributes %+v", a)
			}
		})
	}
}

// sorted is cancelJobBody as it comes out of a map.
func sorted(id string) string {
	return `{"action":"batch:CancelJob","id":"` + id + `","parameters":{"jobId":"job"}}`
}

func quoted(text string) string { return `"` + strings.ReplaceAll(text, `"`, `\"`) + `"` }

// TestDLQChoice: each kind of flag narrows the choice, and ids that are unknown do not keep the others.
func TestDLQChoice(t *testing.T) {
	b := newLetterbox(t, awssim.Options{})
	b.fill(3)
	last := b.put("x", queue.Mark{Reason: "body must be JSON (a/b)", Field: "body", MessageID: "m"})
	for _, row := range []struct{ flags, want string }{
		{"--id c-1", "c-1"},
		{"--id c-1 --id m-c-2", "c-1 c-2"},
		{"--field body", last},
		{"--reason body*JSON?(a/b)", last},
		{"--reason body", ""},
		{"--field parameters.x --id c-2 --id " + last, "c-2"},
		{"--reason *field", "c-1 c-2 c-3"},
		{"--all", "c-1 c-2 c-3 " + last},
	} {
		var got []string
		for _, m := range b.asked(exitDone, append([]string{"list"}, strings.Fields(row.flags)...)...).Messages {
			got = append(got, m.label())
		}
		slices.Sort(got)
		if want := slices.Sorted(slices.Values(strings.Fields(row.want))); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", row.flags, got, want)
		}
	}
	a := b.asked(exitFailed, "purge", "--id", "c-3", "--id", "nobody")
	if a.Deleted != 1 || len(a.NotFound) != 1 || a.NotFound[0] != "nobody" || a.Messages[0].Body != cancelJobBody("c-3") {
		t.Errorf("%+v", a)
	}
	b.holds(0, 3)
}

// TestDLQAndTheWorker: the marks are the worker's own; a command that is on both queues, as after a crash between
// sending and deleting, is run once.
func TestDLQAndTheWorker(t *testing.T) {
	d := startDev(t)
	t.Setenv("RESCIND_QUEUE_URL", d.queue)
	b := &letterbox{T: t}
	job := d.targets["RUNNABLE"]
	good := `{"id":"x","action":"batch:CancelJob","parameters":{"jobId":"` + job + `"}}`
	send := func(body string) handlers.Status {
		sendBody(t, d.queue, body)
		return d.next().Status
	}
	if s := send(good); s != handlers.Cancelled {
		t.Fatal(s)
	}
	send(strings.Replace(good, job, d.targets["SUCCEEDED"], 1)) // the id is used
	send(`{"id":"y","action":"batch:CancelJob","parameters":{}}`)
	a := b.asked(exitDone, "list")
	if len(a.Messages) != 2 || !strings.HasPrefix(a.Messages[0].Reason, "id was used before") || a.Messages[1].Field != "parameters.jobId" || a.Messages[1].CommandID != "y" {
		t.Fatalf("%+v", a.Messages)
	}
	if a := b.asked(exitFailed, "send", "--all"); a.Refused != 2 || !strings.Contains(a.Messages[0].Error, "use --new-id") || !strings.Contains(a.Messages[1].Error, "still invalid") {
		t.Errorf("%+v", a)
	}
	if a := b.asked(exitDone, "send", "--id", "x", "--new-id"); a.Sent != 1 {
		t.Errorf("%+v", a)
	}
	if o := d.next(); o.CommandID != "x.2" || o.Status != handlers.AlreadyEnded {
		t.Errorf("%s is %s", o.CommandID, o.Status)
	}
	// The copy that was sent, and the same one again: the second has the first one's outcome.
	sendBody(t, strings.TrimSuffix(d.queue, "/")+"-dlq", good)
	if a := b.asked(exitDone, "send", "--id", "x"); a.Sent != 1 || !strings.Contains(a.Messages[0].How, "its outcome is repeated") {
		t.Errorf("%+v", a)
	}
	if o := d.next(); o.CommandID != "x" || o.Status != handlers.Cancelled || o.Attempts.Calls != 2 {
		t.Errorf("%+v", o)
	}
}

// fullDisk fails at every write.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestDLQPurge(t *testing.T) {
	b := newLetterbox(t, awssim.Options{})
	b.fill(12)
	if a := b.asked(exitMisused, "purge", "--all"); !strings.Contains(a.Error, "--yes") || len(a.Messages) != 0 {
		t.Errorf("%+v", a)
	}
	var complaints bytes.Buffer
	if code := run(t.Context(), []string{"dlq", "purge", "--all", "--yes", "--json"}, streams{nil, fullDisk{}, &complaints}); code != exitFailed || !strings.Contains(complaints.String(), "nothing was deleted") {
		t.Errorf("exit %d: %s", code, &complaints)
	}
	b.holds(0, 12)
	if code, out, _ := ran(t, "", "dlq", "purge", "--id", "c-1"); code != exitDone || !strings.Contains(out, "1 of 1 message deleted from "+b.dead) {
		t.Errorf("exit %d: %s", code, out)
	}
	for _, row := range []struct {
		typed string
		code  int
		says  string
		left  int
	}{
		{"12", exitFailed, "that was not 11; nothing was deleted", 11},
		{"", exitFailed, "that was not 11; nothing was deleted", 11},
		{"\x03", exitFailed, "interrupted; nothing was deleted", 11},
		{"11", exitDone, "11 of 11 messages deleted", 0},
	} {
		b.purgesAll(row.typed, row.code, row.says)
		b.holds(0, row.left)
	}
}

// purgesAll purges from a terminal on which an answer is typed, or Ctrl-C.
func (b *letterbox) purgesAll(typed string, code int, says string) {
	b.Helper()
	ctx, interrupt := context.WithCancel(b.Context())
	defer interrupt()
	keys, in, err := pty.Open()
	if err != nil {
		b.Fatal(err)
	}
	defer keys.Close()
	defer in.Close()
	onTerminal(b.T, sizes[0], func(d *tty) {
		ended := make(chan int, 1)
		go func() { ended <- run(ctx, []string{"dlq", "purge", "--all"}, streams{in, d.file, d.file}) }()
		d.waits("Type 11 to delete these 11 messages for good:")
		if typed == "\x03" {
			interrupt()
		} else if _, err := keys.WriteString(typed + "\n"); err != nil {
			b.Error(err)
		}
		if got := <-ended; got != code {
			b.Errorf("%q ends with %d, want %d", typed, got, code)
		}
		d.waits(strings.ReplaceAll(says, " ", `\s+`))
	})
}

// TestDLQOnATerminal: whatever is in messages fits, and moves no cursor.
func TestDLQOnATerminal(t *testing.T) {
	b := newLetterbox(t, awssim.Options{})
	b.put(strings.ReplaceAll(hostile, "\x1b", "")+strings.Repeat("x", 300), queue.Mark{Reason: "a" + hostile, Field: "a" + hostile, CommandID: hostile + strings.Repeat("y", 200), MessageID: "m", Sender: hostile})
	b.put(cancelJobBody("c"), queue.Mark{Reason: strings.Repeat("long ", 100), Field: "生命", CommandID: "c", MessageID: "m"})
	for _, s := range sizes {
		onTerminal(t, s, func(d *tty) {
			d.run(t.Context(), "dlq", "list")
			d.run(t.Context(), "dlq", "send", "--all", "--dry-run")
		})
	}
}
