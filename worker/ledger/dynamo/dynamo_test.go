package dynamo_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"go.uber.org/goleak"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/ledger/dynamo"
	"github.com/rescindhq/rescind/worker/ledger/ledgertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const table = "ledger"

// simulator is the DynamoDB simulator with an empty table.
func simulated(t testing.TB, o awssim.Options) (*awssim.Sim, aws.Config) {
	t.Helper()
	sim := awssim.New(o)
	t.Cleanup(func() {
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	cfg := sim.Config()
	if err := dynamo.CreateTable(t.Context(), cfg, table); err != nil {
		t.Fatal(err)
	}
	return sim, cfg
}

func open(t testing.TB, cfg aws.Config, o dynamo.Options) *dynamo.Ledger {
	t.Helper()
	l, err := dynamo.Open(t.Context(), cfg, table, o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLedger(t *testing.T) {
	ledgertest.Run(t, func(t *testing.T) ledgertest.Opened {
		_, cfg := simulated(t, awssim.Options{})
		return opened(t, cfg)
	})
}

// opened is a ledger over a table that is there, with all that it can do.
func opened(t *testing.T, cfg aws.Config) ledgertest.Opened {
	w := &wire{HTTPClient: cfg.HTTPClient}
	cfg.HTTPClient = w
	again := func(t *testing.T) ledger.Ledger { return open(t, cfg, dynamo.Options{}) }
	return ledgertest.Opened{Ledger: again(t), Reopen: again, Second: again, LoseReplies: w.lose}
}

// wire is what lies between a ledger and DynamoDB. It counts requests by operation.
type wire struct {
	aws.HTTPClient
	turn chan struct{} // where made, with a buffer of one: the requests go one by one

	mu     sync.Mutex
	losing bool
	// answer, where set, may answer in DynamoDB's place: an error's code, or "" to ask DynamoDB.
	// items is how many writes the request has.
	answer func(operation string, items int) (code, more string)
	counts map[string]int
	bodies [][]byte // of every request, where keep is set
	keep   bool
}

// lose makes every request take effect and its reply get lost, or lets replies through again.
func (w *wire) lose(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.losing = on
}

// total is how many requests were made.
func (w *wire) total() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.counts {
		n += c
	}
	return n
}

var errLost = errors.New("the reply was lost")

func (w *wire) Do(r *http.Request) (*http.Response, error) {
	operation := r.Header.Get("X-Amz-Target")[len("DynamoDB_20120810."):]
	w.mu.Lock()
	if w.counts == nil {
		w.counts = map[string]int{}
	}
	w.counts[operation]++
	answer := w.answer
	w.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	w.mu.Lock()
	if w.keep {
		w.bodies = append(w.bodies, body)
	}
	w.mu.Unlock()
	if answer != nil {
		items := 1
		if operation == "TransactWriteItems" {
			items = bytes.Count(body, []byte(`"ConditionExpression"`))
		}
		if code, more := answer(operation, items); code != "" {
			return errorAnswer(r, code, more), nil
		}
	}
	if w.turn != nil {
		w.turn <- struct{}{}
		defer func() { <-w.turn }()
	}
	response, err := w.HTTPClient.Do(r)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil && w.losing {
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		return nil, errLost
	}
	return response, err
}

// errorAnswer is how DynamoDB answers with an error; more is further members of the JSON object.
func errorAnswer(r *http.Request, code, more string) *http.Response {
	status := http.StatusBadRequest
	if code == "InternalServerError" {
		status = http.StatusInternalServerError
	}
	body := `{"__type":"com.amazonaws.dynamodb.v20120810#` + code + `","message":"so says the test"` + more + `}`
	return &http.Response{
		StatusCode: status, Request: r, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
		Body: io.NopCloser(bytes.NewReader([]byte(body))), ContentLength: int64(len(body)),
	}
}

// count is how many requests of an operation were made.
func (w *wire) count(operation string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.counts[operation]
}

// set changes who answers.
func (w *wire) set(answer func(operation string, items int) (code, more string)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = answer
}
