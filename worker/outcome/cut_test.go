package outcome_test

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/outcome"
)

// steps is an outcome of n targets, each with a message.
func steps(n int, message string) outcome.Data {
	d := whole()
	d.Targets = nil
	for i := range n {
		d.Targets = append(d.Targets, outcome.Target{ID: fmt.Sprintf("s-%03d", i), Status: handlers.Failed, Code: "ValidationException", Message: message})
	}
	d.Status, d.Verdict, d.Counts = outcome.Of(d.Targets)
	return d
}

// The largest command that there is: 256 steps, here with 2 KiB to say of each.
func TestMessagesAreCutBeforeTargets(t *testing.T) {
	message := strings.Repeat("why not? ", 228)
	d := steps(256, message)
	got := parse(t, encode(t, d)).Data
	if len(got.Targets) != 256 || got.TargetsOmitted != 0 {
		t.Fatalf("%d targets, %d omitted; their messages cut would have been enough", len(got.Targets), got.TargetsOmitted)
	}
	for i, target := range got.Targets {
		start, _, found := strings.Cut(target.Message, "… [cut, was 2052 bytes]")
		if !found || len(start) < 256 || !strings.HasPrefix(message, start) {
			t.Fatalf("target %d has the message %q", i, target.Message)
		}
		d.Targets[i].Message = target.Message
	}
	if !reflect.DeepEqual(got, d) {
		t.Error("more than the messages was changed")
	}
}

func TestTargetsAreOmittedFromTheEnd(t *testing.T) {
	d := steps(5000, strings.Repeat("x", 200))
	text := encode(t, d)
	got := parse(t, text).Data
	if len(got.Targets) == 0 || len(got.Targets)+got.TargetsOmitted != 5000 {
		t.Fatalf("%d targets and %d omitted of 5000", len(got.Targets), got.TargetsOmitted)
	}
	for i, target := range got.Targets {
		if target.ID != d.Targets[i].ID {
			t.Fatalf("target %d is %s, want %s: the first ones remain", i, target.ID, d.Targets[i].ID)
		}
	}
	if got.Counts[handlers.Failed] != 5000 {
		t.Errorf("counts %v, want all 5000", got.Counts)
	}
	if left := outcome.MaxBytes - len(text); left > 512 {
		t.Errorf("%d bytes are left: another target would have fit", left)
	}
}

func TestTheCommandsOwnMessagesAreCut(t *testing.T) {
	d := whole()
	long := strings.Repeat("z", outcome.MaxBytes)
	d.Message, d.Attempts.FirstError, d.Attempts.LastError = long, long, long
	got := parse(t, encode(t, d)).Data
	for _, m := range []string{got.Message, got.Attempts.FirstError, got.Attempts.LastError} {
		if len(m) != 4096 || !strings.HasSuffix(m, "z… [cut, was 204800 bytes]") {
			t.Errorf("a message of %d bytes ends in %q", len(m), m[max(0, len(m)-40):])
		}
	}
	if !reflect.DeepEqual(got.Targets, d.Targets) {
		t.Error("targets were changed")
	}
}

func TestCutsFallBetweenCharacters(t *testing.T) {
	for shift := range 4 { // whatever the bound, one of these would have been cut inside a character
		message := strings.Repeat("a", shift) + strings.Repeat("😀", 1024)
		got := parse(t, encode(t, steps(256, message))).Data.Targets[0].Message
		start, _, found := strings.Cut(got, "… [cut")
		if !found || !strings.HasPrefix(message, start) || !utf8.ValidString(start) {
			t.Errorf("shifted by %d: %q", shift, got)
		}
	}
}

func TestASmallEventIsNotCut(t *testing.T) {
	d := steps(20, strings.Repeat("x", 5000)) // longer than the first bound, but there is space
	if got := parse(t, encode(t, d)).Data; !reflect.DeepEqual(got, d) {
		t.Error("an event that fits was changed")
	}
}

func TestEncodeChangesNothingOfItsCallers(t *testing.T) {
	d, same := steps(3000, strings.Repeat("é", 900)), steps(3000, strings.Repeat("é", 900))
	first := encode(t, d)
	if !reflect.DeepEqual(d, same) {
		t.Error("the caller's data was changed")
	}
	if !bytes.Equal(first, encode(t, same)) {
		t.Error("equal input, other bytes")
	}
}

func TestEqualInputEqualBytes(t *testing.T) {
	d := whole()
	for i, s := range handlers.Statuses() {
		d.Counts[s] = i
	}
	first := encode(t, d)
	for range 20 { // Go gives maps another order each time
		if !bytes.Equal(encode(t, d), first) {
			t.Fatal("equal input, other bytes")
		}
	}
}

// Raw U+FFFE and U+FFFF are good JSON that SNS and SQS refuse.
func TestNoncharactersAreEscaped(t *testing.T) {
	d := whole()
	d.Reason = "a\uFFFEb\uFFFFc\\"
	text := encode(t, d)
	if bytes.ContainsAny(text, "\uFFFE\uFFFF") {
		t.Error("a noncharacter stands in the event as it is")
	}
	if got := parse(t, text).Data.Reason; got != d.Reason {
		t.Errorf("it is read as %q, want %q", got, d.Reason)
	}
}

// FuzzEncode: whatever texts come, the event keeps its bound and can be read. Times repeats
// them (to 64 KiB each: together well over the bound), for a fuzzer would take long to find
// large ones.
func FuzzEncode(f *testing.F) {
	f.Add("c-1", "batch:CancelJob", "j-1", "no", uint16(1), uint16(1))
	f.Add("\x00", "\xff", "\uFFFF", "😀", uint16(300), uint16(4000))
	f.Add("\x01", "é", "\"", "\\", uint16(65535), uint16(1))
	f.Add("", "", "", "", uint16(0), uint16(5000))
	f.Fuzz(func(t *testing.T, a, b, c, e string, times, targets uint16) {
		long := func(s string) string { return strings.Repeat(s, min(int(times), 1+(1<<16)/(1+len(s)))) }
		d := outcome.Data{
			CommandID: long(a), Action: handlers.Action(long(b)), Status: handlers.Failed, Verdict: handlers.NotStopped,
			Code: long(c), Message: long(e), Account: long(a), Region: long(b), Reason: long(c), RequestedBy: long(e),
			Sender: long(a), Campaign: long(b), Worker: long(c), FinishedAt: time.Unix(int64(times), 0),
			Attempts: outcome.Attempts{Calls: int(times), FirstError: long(e), LastError: long(a)},
		}
		for range min(targets, 1000) {
			d.Targets = append(d.Targets, outcome.Target{ID: a, Status: handlers.Failed, Before: b, After: c, Code: e, Message: a + b, RequestID: c})
		}
		if len(d.Targets) > 0 {
			d.Targets[0].ID = long(e)
		}
		text, err := outcome.Encode(long(b), outcome.EventID(a), &d)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) > outcome.MaxBytes || !utf8.Valid(text) {
			t.Fatalf("%d bytes (bound %d), UTF-8 %t", len(text), outcome.MaxBytes, utf8.Valid(text))
		}
		got, err := outcome.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Data.Targets)+got.Data.TargetsOmitted != len(d.Targets) {
			t.Errorf("%d targets and %d omitted of %d", len(got.Data.Targets), got.Data.TargetsOmitted, len(d.Targets))
		}
	})
}
