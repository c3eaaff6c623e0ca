package command_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rescindhq/rescind/worker/command"
)

// FuzzDecode: whatever comes in is a command that means the same when it is written out and
// read again, or an error that names field and rule.
func FuzzDecode(f *testing.F) {
	for _, body := range []string{
		cloud("/a", job("")), bridged(page), notification(job("")), notification(cloud("/a", page)), notification(bridged(page)),
		page, job(""), job(`"dryRun":true,"confirm":"0s"`), ``, `[]`, `{"action":`,
		run("emr:CancelSteps", `{"ClusterId":"j-1","StepIds":["s-1","s-2"],"StepCancellationOption":"SEND_INTERRUPT"}`),
		run("iot:CancelJobExecution", `{"jobId":"j","force":true,"expectedVersion":-0,"statusDetails":{"a":"\ud83d\ude00"}}`),
		run("swf:TerminateWorkflowExecution", `{"workflowId":"w"}`),
		run("batch:CancelJb", `{}`), job(`"id":"sqs:1"`), job(`"reason":"` + "\xff" + `"`), job(`"expiresAt":"9999-12-31T23:59:59-23:59"`),
	} {
		f.Add([]byte(body))
	}
	d := decoder()
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := d.Decode(body, command.Message{ID: "m-1"})
		if err != nil {
			var e *command.Error
			if !errors.As(err, &e) || e.Field == "" || e.Rule == "" {
				t.Fatalf("the error names no field or no rule: %v", err)
			}
			if s := e.Error(); !utf8.ValidString(s) || strings.ContainsAny(s, "\n\x00") || len(s) > 4096 {
				t.Fatalf("the sentence is not fit for a log: %q", s)
			}
			return
		}
		again, err := d.Decode(written(t, c), command.Message{ID: "m-2"})
		if err != nil {
			t.Fatalf("written out, it is invalid: %v", err)
		}
		if again.Fingerprint() != c.Fingerprint() {
			t.Error("written out, its fingerprint is another")
		}
		again.Parameters = c.Parameters                     // equal by their fingerprints
		again.Via, again.TraceParent = c.Via, c.TraceParent // the envelope's, which is off
		if !reflect.DeepEqual(again, c) {
			t.Errorf("written out and read again:\n%+v\nwas\n%+v", again, c)
		}
	})
}

// written is a command as a sender would write it. An id that the decoder made is left to be
// refused by nobody: it is written under a name of the sender's.
func written(t *testing.T, c *command.Command) []byte {
	t.Helper()
	for _, made := range []string{"ce:", "eb:", "sns:", "sqs:"} {
		if id, found := strings.CutPrefix(c.ID, made); found {
			c.ID = "was-" + id
			break
		}
	}
	m := map[string]any{
		"id": c.ID, "action": c.Action, "parameters": json.RawMessage(c.Parameters), "account": c.Account,
		"region": c.Region, "reason": c.Reason, "requestedBy": c.RequestedBy, "campaign": c.Campaign, "dryRun": c.DryRun,
	}
	if !c.ExpiresAt.IsZero() {
		m["expiresAt"] = c.ExpiresAt.Format(time.RFC3339Nano)
	}
	if c.Confirm != nil {
		m["confirm"] = c.Confirm.String()
	}
	body, err := json.Marshal(m)
	if err != nil {
		t.Fatalf("writing the command: %v", err)
	}
	return body
}

func BenchmarkDecode(b *testing.B) {
	d, body := decoder(), []byte(page)
	for name, body := range map[string]string{
		"CloudEvents": cloud("/a", page), "SNS": notification(page), "EventBridge": bridged(page), "SNS around CloudEvents": notification(cloud("/a", page)),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Decode([]byte(body), command.Message{ID: "m-1"}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("command", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := d.Decode(body, command.Message{ID: "m-1"}); err != nil {
				b.Fatal(err)
			}
		}
	})
	c, err := d.Decode(body, command.Message{ID: "m-1"})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("fingerprint", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c.Fingerprint()
		}
	})
}
