package outcome_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/outcome"
)

// FuzzParse: what is read as an outcome can be written again, within the bound, and from then
// on stands byte for byte: so that one that passes through our hands is not changed by it.
func FuzzParse(f *testing.F) {
	d := whole()
	whole, err := outcome.Encode("default", outcome.EventID("c-1"), &d)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(bytes.Replace(whole, []byte(`"data":{`), []byte(`"traceparent":"00-ab","data":{"proof":{"by":"event"},`), 1))
	f.Add(bytes.ReplaceAll(whole, []byte(`Z"`), []byte(`.123456789+23:59"`)))
	f.Add([]byte(`{"specversion":"1.0","type":"io.rescind.outcome.v1","data":{"counts":null,"targets":null}}`))
	f.Add([]byte(`{"specversion":"1.0","type":"io.rescind.outcome.v1","time":"9999-12-31T23:59:59-23:59","data":{"status":"\ud83d\ude00"}}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := outcome.Parse(text)
		if err != nil {
			if e.ID != "" || !utf8.ValidString(err.Error()) || len(err.Error()) > 8<<10 {
				t.Fatalf("event %+v beside the error %q", e, err)
			}
			return
		}
		first := again(t, "default", "c-1", e)
		if first == nil {
			return
		}
		read, err := outcome.Parse(first)
		if err != nil {
			t.Fatalf("written again, it cannot be read: %v", err)
		}
		if got, want := len(read.Data.Targets)+read.Data.TargetsOmitted, len(e.Data.Targets)+e.Data.TargetsOmitted; len(read.Data.Targets) < len(e.Data.Targets) && got != len(e.Data.Targets) || len(read.Data.Targets) == len(e.Data.Targets) && got != want {
			t.Errorf("%d targets and %d omitted of %d and %d", len(read.Data.Targets), read.Data.TargetsOmitted, len(e.Data.Targets), e.Data.TargetsOmitted)
		}
		if second := again(t, "default", "c-1", read); !bytes.Equal(first, second) {
			t.Errorf("written twice:\n%s\n%s", first, second)
		}
	})
}

// again writes an event once more; nil where it has a time that no outcome can have.
func again(t *testing.T, name, key string, e outcome.Event) []byte {
	t.Helper()
	d := e.Data
	d.TraceParent = e.TraceParent
	for _, at := range []time.Time{d.EnqueuedAt, d.ReceivedAt, d.FinishedAt} {
		if year := at.UTC().Year(); year < 0 || year > 9999 {
			return nil
		}
	}
	text, err := outcome.Encode(name, outcome.EventID(key), &d)
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > outcome.MaxBytes || !utf8.Valid(text) || !json.Valid(text) || bytes.ContainsAny(text, "\uFFFE\uFFFF") {
		t.Fatalf("%d bytes (bound %d), UTF-8 %t, JSON %t", len(text), outcome.MaxBytes, utf8.Valid(text), json.Valid(text))
	}
	return text
}

// FuzzAttributes: whatever a command says, SNS takes the attributes of its outcome: none is
// empty, and each is of characters that a message may have.
func FuzzAttributes(f *testing.F) {
	f.Add("emr:CancelSteps", "over-budget", "123456789012", "us-east-1")
	f.Add("", "\x00\xff\uFFFE", "😀", ":")
	f.Fuzz(func(t *testing.T, action, campaign, account, region string) {
		for name, value := range outcome.Attributes(&outcome.Data{
			Action: handlers.Action(action), Status: handlers.Failed, Verdict: handlers.NotStopped, Campaign: campaign, Account: account, Region: region,
		}) {
			if value == "" || !utf8.ValidString(value) || strings.ContainsFunc(value, refused) {
				t.Errorf("%s is %q", name, value)
			}
		}
	})
}

// refused are the characters that SQS and SNS take in no message: all but those that the page
// of SendMessage in the SQS API reference lists.
func refused(r rune) bool {
	return r != '\t' && r != '\n' && r != '\r' && r < ' ' || r > 0xD7FF && r < 0xE000 || r == 0xFFFE || r == 0xFFFF
}
