package dynamo_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/ledger/dynamo"
)

const lease = time.Minute

// bubble runs a test in virtual time on a ledger over a simulator whose requests take 5 ms, and some
// a little longer: were they all to end at one instant, nothing would be in the way of the next.
func bubble(t *testing.T, test func(t *testing.T, l *dynamo.Ledger, w *wire)) {
	synctest.Test(t, func(t *testing.T) {
		_, cfg := simulated(t, awssim.Options{
			Latency: 5 * time.Millisecond,
			Faults:  awssim.Faults{"dynamodb:TransactWriteItems": {Late: 0.7, LateBy: 1700 * time.Microsecond}},
		})
		w := &wire{HTTPClient: cfg.HTTPClient}
		cfg.HTTPClient = w
		l := open(t, cfg, dynamo.Options{})
		w.counts = nil
		test(t, l, w)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}

func entry(i int) ledger.Entry {
	return ledger.Entry{Key: fmt.Sprint("key ", i), Campaign: "c", Targets: []string{fmt.Sprint("target ", i)}}
}

// claimAll claims n keys beside each other.
func claimAll(t *testing.T, l *dynamo.Ledger, n int) []ledger.Token {
	t.Helper()
	tokens := make([]ledger.Token, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			c, err := l.Claim(t.Context(), entry(i), lease)
			if err != nil || c.State != ledger.Claimed {
				t.Errorf("claim %d: %+v, %v", i, c, err)
			}
			tokens[i] = c.Token
		})
	}
	wg.Wait()
	return tokens
}

func begun(tokens []ledger.Token) []ledger.Update {
	updates := make([]ledger.Update, len(tokens))
	for i, token := range tokens {
		updates[i] = ledger.Update{Token: token, Progress: ledger.Progress{Begun: true}}
	}
	return updates
}

func TestRequestsOfOneCall(t *testing.T) {
	bubble(t, func(t *testing.T, l *dynamo.Ledger, w *wire) {
		claim := func(e ledger.Entry) ledger.Token {
			c, err := l.Claim(t.Context(), e, lease)
			if err != nil {
				t.Fatal(err)
			}
			return c.Token
		}
		var token ledger.Token
		several := entry(2)
		for i := range 30 {
			several.Targets = append(several.Targets, fmt.Sprint("step ", i))
		}
		for _, row := range []struct {
			call string
			do   func()
			want string
		}{
			{"a first claim", func() { token = claim(entry(1)) }, "PutItem 1"},
			{"a claim of what is held", func() { claim(entry(1)) }, "PutItem 1"},
			{"a takeover", func() { time.Sleep(lease); token = claim(entry(1)) }, "PutItem 1 UpdateItem 1"},
			{"progress", func() { l.Progress(t.Context(), begun([]ledger.Token{token})...) }, "UpdateItem 1"},
			{"a renewal", func() { l.Renew(t.Context(), lease, token) }, "UpdateItem 1"},
			{"an end", func() { _ = l.Complete(t.Context(), token, []byte("done")) }, "UpdateItem 1"},
			{"a claim of what ended", func() { claim(entry(1)) }, "PutItem 1"},
			{"a first claim for 31 targets", func() { claim(several) }, "BatchWriteItem 2 GetItem 1 PutItem 1"},
			{"a second one", func() { claim(several) }, "GetItem 1"},
		} {
			w.mu.Lock()
			w.counts = nil
			w.mu.Unlock()
			row.do()
			var got []string
			for _, operation := range []string{"BatchWriteItem", "GetItem", "PutItem", "UpdateItem", "TransactWriteItems"} {
				if n := w.count(operation); n > 0 {
					got = append(got, fmt.Sprint(operation, " ", n))
				}
			}
			if strings.Join(got, " ") != row.want {
				t.Errorf("%s: requests %v, want %s", row.call, got, row.want)
			}
		}
	})
}

// The measure of grouping: 3 writes a command, 100 to a request.
func TestRequestsUnderLoad(t *testing.T) {
	bubble(t, func(t *testing.T, l *dynamo.Ledger, w *wire) {
		const (
			callers = 500
			each    = 4 // commands of each
			least   = 3 * callers * each / 100
			edges   = 8 // requests that may go part-filled while the load begins and ends
		)
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				for n := range each {
					wholeWay(t, l, entry(i*each+n))
				}
			})
		}
		wg.Wait()
		if got := w.total(); got < least || got > least+edges {
			t.Errorf("%d requests for %d commands (%v), want %d and at most %d for the edges", got, callers*each, w.counts, least, edges)
		}
	})
}

func wholeWay(t testing.TB, l ledger.Ledger, e ledger.Entry) {
	c, err := l.Claim(t.Context(), e, lease)
	if err != nil || c.State != ledger.Claimed {
		t.Errorf("%s: %+v, %v", e.Key, c, err)
		return
	}
	err = l.Progress(t.Context(), ledger.Update{Token: c.Token, Progress: ledger.Progress{Begun: true}})[0]
	if err := errors.Join(err, l.Complete(t.Context(), c.Token, outcome)); err != nil {
		t.Errorf("%s: %v", e.Key, err)
	}
}

// outcome is as long as that of a command with one target usually is.
var outcome = []byte(strings.Repeat("o", 1200))

func TestRefusedItemsCostTheOthersOneMoreRequest(t *testing.T) {
	bubble(t, func(t *testing.T, l *dynamo.Ledger, w *wire) {
		tokens := claimAll(t, l, 101)
		before := w.count("TransactWriteItems")
		for i := 5; i < 100; i += 10 {
			tokens[i].Number++
		}
		// While one is under way the others wait until they are 100.
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := l.Progress(t.Context(), begun(tokens[100:])...)[0]; err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		for i, err := range l.Progress(t.Context(), begun(tokens[:100])...) {
			if lost := i%10 == 5; errors.Is(err, ledger.ErrFenced) != lost || !lost && err != nil {
				t.Errorf("update %d: %v", i, err)
			}
		}
		wg.Wait()
		// 100 together, and 90 of these once more.
		if got := w.count("TransactWriteItems") - before; got != 2 {
			t.Errorf("%d transactions, want 2", got)
		}
	})
}

// DynamoDB refuses a request as a whole for one write, says of one that it is at fault, or says that of
// any one where all together are too large: what stands alone is judged.
func TestAWriteThatBreaksARuleHarmsNoOther(t *testing.T) {
	blamed := func(operation string, items int) (code, more string) {
		if operation != "TransactWriteItems" {
			return "", ""
		}
		all := `{"Code":"ValidationError","Message":"m"}` + strings.Repeat(`,{"Code":"None"}`, items-1)
		return "TransactionCanceledException", `,"CancellationReasons":[` + all + `]`
	}
	long := strings.Repeat("k", 2049) // DynamoDB: 2048 bytes at most
	for name, row := range map[string]struct {
		worsen func(*ledger.Entry)
		answer func(string, int) (string, string)
	}{
		"its key":                {worsen: func(e *ledger.Entry) { e.Key = long }},
		"its campaign":           {worsen: func(e *ledger.Entry) { e.Campaign = long }},
		"its target":             {worsen: func(e *ledger.Entry) { e.Targets = []string{long} }},
		"one of its targets":     {worsen: func(e *ledger.Entry) { e.Targets = []string{"t", long} }},
		"none, and all together": {answer: blamed},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, l *dynamo.Ledger, w *wire) {
				w.set(row.answer)
				began := time.Now()
				var wg sync.WaitGroup
				for i := range 60 {
					wg.Go(func() {
						e, isBad := entry(i), i%10 == 0 && row.worsen != nil
						if isBad {
							row.worsen(&e)
							e.Key = fmt.Sprint(e.Key, i)
						}
						c, err := l.Claim(t.Context(), e, lease)
						if errors.Is(err, ledger.ErrRejected) != isBad || !isBad && (err != nil || c.State != ledger.Claimed) {
							t.Errorf("claim %d: %+v, %v", i, c, err)
						}
					})
				}
				wg.Wait()
				if took := time.Since(began); took > time.Second {
					t.Errorf("it took %s", took)
				}
			})
		})
	}
}

// A table that refuses answers: refusals in a row slow nobody down.
func TestRefusalsAreAnswers(t *testing.T) {
	bubble(t, func(t *testing.T, l *dynamo.Ledger, _ *wire) {
		claimAll(t, l, 50)
		began := time.Now()
		for range 20 {
			var wg sync.WaitGroup
			for i := range 50 {
				wg.Go(func() {
					if c, err := l.Claim(t.Context(), entry(i), lease); err != nil || c.State != ledger.Held {
						t.Errorf("claim %d: %+v, %v", i, c, err)
					}
				})
			}
			wg.Wait()
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("20 rounds of one request each took %s", took)
		}
	})
}

// What DynamoDB says when it is in trouble, for some time, and what becomes of calls.
func TestTrouble(t *testing.T) {
	reasons := func(code string) func(string, int) (string, string) {
		return func(operation string, items int) (string, string) {
			if operation != "TransactWriteItems" {
				return "", ""
			}
			all := strings.Repeat(`{"Code":"None"},`, items-1) + `{"Code":"` + code + `","Message":"m"}`
			return "TransactionCanceledException", `,"CancellationReasons":[` + all + `]`
		}
	}
	plain := func(code string) func(string, int) (string, string) {
		return func(string, int) (string, string) { return code, "" }
	}
	for name, row := range map[string]struct {
		answer  func(string, int) (string, string)
		goesOn  time.Duration
		atLeast time.Duration // that calls take
		fails   string        // "": no call fails
	}{
		"a throttled table slows and never fails":   {plain("ProvisionedThroughputExceededException"), 20 * time.Second, 20 * time.Second, ""},
		"so does a throttled account":               {plain("RequestLimitExceeded"), 20 * time.Second, 20 * time.Second, ""},
		"and a throttled control plane":             {plain("ThrottlingException"), 20 * time.Second, 20 * time.Second, ""},
		"a throttled item slows its transaction":    {reasons("ThrottlingError"), 20 * time.Second, 0, ""},
		"and so does a throttled table in it":       {reasons("ProvisionedThroughputExceeded"), 20 * time.Second, 0, ""},
		"a conflict is waited for":                  {reasons("TransactionConflict"), 100 * time.Millisecond, 0, ""},
		"so is one with a write sent alone":         {plain("TransactionConflictException"), time.Second, time.Second, ""},
		"a short outage is not reported":            {plain("InternalServerError"), 2 * time.Second, 2 * time.Second, ""},
		"a longer one is":                           {plain("InternalServerError"), time.Minute, 3 * time.Second, "InternalServerError"},
		"throttling without end is reported":        {plain("ThrottlingException"), time.Hour, 30 * time.Second, "ThrottlingException"},
		"a want of permission is reported at once":  {plain("AccessDeniedException"), time.Hour, 0, "AccessDeniedException"},
		"a cancellation for no reason is an outage": {reasons("None"), time.Second, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, l *dynamo.Ledger, w *wire) {
				tokens := claimAll(t, l, 130)
				start := time.Now()
				w.set(func(operation string, items int) (string, string) {
					if time.Since(start) >= row.goesOn {
						return "", ""
					}
					return row.answer(operation, items)
				})
				for i, err := range l.Progress(t.Context(), begun(tokens)...) {
					if (err != nil) != (row.fails != "") || err != nil && !strings.Contains(err.Error(), row.fails) {
						t.Errorf("update %d: %v", i, err)
					}
				}
				if took := time.Since(start); took < row.atLeast || took > row.goesOn+time.Minute {
					t.Errorf("took %v, want %v", took, row.atLeast)
				}
			})
		})
	}
}

// A table may be too small for what a full transaction takes at once.
func TestTransactionsShrinkToWhatATableTakes(t *testing.T) {
	bubble(t, func(t *testing.T, l *dynamo.Ledger, w *wire) {
		tokens := claimAll(t, l, 102)
		w.set(func(_ string, items int) (string, string) {
			if items > 7 {
				return "ProvisionedThroughputExceededException", ""
			}
			return "", ""
		})
		for i, err := range l.Progress(t.Context(), begun(tokens)...) {
			if err != nil {
				t.Errorf("update %d: %v", i, err)
			}
		}
	})
}

func TestClosingEndsWhatIsRepeated(t *testing.T) {
	bubble(t, func(t *testing.T, l *dynamo.Ledger, w *wire) {
		w.set(func(string, int) (string, string) { return "ThrottlingException", "" })
		failed := make(chan error, 1)
		go func() {
			_, err := l.Claim(t.Context(), entry(1), lease)
			failed <- err
		}()
		time.Sleep(time.Second)
		start := time.Now()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if err := <-failed; err == nil || time.Since(start) > time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

// A lost reply costs a second attempt, which finds what the first one did.
func TestRepliesLostForAMoment(t *testing.T) {
	bubble(t, func(t *testing.T, l *dynamo.Ledger, w *wire) {
		moment := func() {
			w.lose(true)
			time.AfterFunc(time.Second, func() { w.lose(false) })
		}
		moment()
		tokens := claimAll(t, l, 130)
		moment()
		for i, err := range l.Progress(t.Context(), begun(tokens)...) {
			if err != nil {
				t.Errorf("update %d: %v", i, err)
			}
		}
		time.Sleep(lease)
		moment()
		c, err := l.Claim(t.Context(), entry(7), lease)
		if err != nil || c.State != ledger.Claimed || !c.Resumed || !c.Progress.Begun {
			t.Fatalf("taking over: %+v, %v", c, err)
		}
		moment()
		if err := l.Release(t.Context(), begun([]ledger.Token{c.Token})[0]); err != nil {
			t.Error(err)
		}
		moment()
		if err := l.Complete(t.Context(), tokens[8], outcome); err != nil {
			t.Error(err)
		}
	})
}
