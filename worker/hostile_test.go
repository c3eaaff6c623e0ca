package worker_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/command"
	"github.com/rescindhq/rescind/worker/outcome"
	"github.com/rescindhq/rescind/worker/queue"
)

// TestHostileMessages: of the JSON Parsing Test Suite, each text by itself and in a command, all
// that SQS takes and that is no command ends with one invalid outcome and one burial, and
// nothing else comes of it.
func TestHostileMessages(t *testing.T) {
	bodies := hostile(t)
	inBubble(t, func(r *rig) {
		r.send(bodies...)
		<-time.After(time.Minute) // of virtual time
		synctest.Wait()
		if left := r.sim.Depth(r.queue); left != (awssim.Depth{}) {
			t.Fatalf("%+v messages are left", left)
		}

		reported := map[string]int{} // by what the outcome says
		events := map[string]bool{}
		for _, body := range r.published() {
			e, err := outcome.Parse([]byte(body))
			r.must(err)
			if d := e.Data; d.Status != handlers.Invalid || d.Verdict != handlers.NotRun || d.Code != outcome.CodeInvalid || !strings.Contains(d.Message, " ") || events[e.ID] {
				t.Errorf("event %s, known before: %t: %+v", e.ID, events[e.ID], d)
			}
			events[e.ID] = true
			reported[e.Data.Message]++
		}
		if len(events) != len(bodies) {
			t.Errorf("%d outcomes of %d messages", len(events), len(bodies))
		}
		var dead []string
		for _, m := range r.sim.Messages(r.deadLetters) {
			var mark queue.Mark
			if err := json.Unmarshal([]byte(m.Attributes[queue.MarkAttribute].StringValue), &mark); err != nil || mark.Field == "" || len(mark.Cut) > 0 || len(m.Attributes) != 1 {
				t.Errorf("the mark of %.100q is %+v, %v", m.Body, m.Attributes, err)
			}
			reported[mark.Reason]--
			dead = append(dead, m.Body)
		}
		for reason, n := range reported {
			if n != 0 {
				t.Errorf("outcomes less marks that say %q: %d", reason, n)
			}
		}
		slices.Sort(dead)
		if !slices.Equal(dead, slices.Sorted(slices.Values(bodies))) {
			t.Errorf("%d bodies were dead-lettered, not the %d sent", len(dead), len(bodies))
		}
		if n := r.calls("batch"); n != 0 {
			t.Errorf("%d calls were made", n)
		}
	})
}

// hostile are the bodies.
func hostile(t *testing.T) []string {
	t.Helper()
	var all []handlers.Handler
	for _, service := range worker.Services() {
		all = append(all, service(func(handlers.Location) aws.Config { return aws.Config{} })...)
	}
	decoder := command.NewDecoder(all, handlers.Location{Account: "123456789012", Region: "us-east-1"})
	paths, err := filepath.Glob("command/testdata/jsontestsuite/*.json")
	if err != nil {
		t.Fatal(err)
	}
	var bodies []string
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, body := range []string{string(text), fmt.Sprintf(`{"action":"batch:CancelJob","parameters":{"jobId":%s}}`, text)} {
			_, err := decoder.Decode([]byte(body), command.Message{ID: "m"})
			if err != nil && takenBySQS(body) {
				bodies = append(bodies, body)
			}
		}
	}
	if len(bodies) < 500 {
		t.Fatalf("only %d bodies: is the suite there?", len(bodies))
	}
	return bodies
}

// takenBySQS reports whether SQS takes a message's body: it is not empty, and of the characters
// that "SendMessage" in the SQS API reference lists.
func takenBySQS(body string) bool {
	return body != "" && utf8.ValidString(body) && !strings.ContainsFunc(body, func(r rune) bool {
		return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF
	})
}
