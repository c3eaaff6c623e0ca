package worker_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/ledger/dynamo"
)

// TestAnAnswerThatIsNotDynamoDBsStoresNothing: while something else answers the ledger's writes with success,
// nothing is run for the first time and nothing is published. Afterwards all is run and published once, and
// remains so when it is sent again.
func TestAnAnswerThatIsNotDynamoDBsStoresNothing(t *testing.T) {
	for name, answer := range map[string]trip{
		"200 empty": replies(http.StatusOK, "", "", ""),
		"200 {}":    replies(http.StatusOK, "application/x-amz-json-1.0", "", "{}"),
		"200 html":  replies(http.StatusOK, "text/html", "", htmlPage),
		"204":       replies(http.StatusNoContent, "", "", ""),
	} {
		for _, writes := range []string{"", "Item", "Items"} { // all requests, those for one item, and transactions
			for _, claimed := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%q/claimed before: %t", name, writes, claimed), func(t *testing.T) {
					inBubble(t, func(r *rig) { storesNothing(r, answer, writes, claimed) })
				})
			}
		}
	}
}

func storesNothing(r *rig, answer trip, writes string, claimed bool) {
	const n = 30
	r.must(r.stop())
	cfg := r.sim.Config()
	r.must(dynamo.CreateTable(r.t.Context(), cfg, "ledger"))
	between := &middlebox{HTTPClient: cfg.HTTPClient, service: "dynamodb", operation: writes, answer: answer}
	cfg.HTTPClient = between
	cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	table, err := dynamo.Open(r.t.Context(), cfg, "ledger", dynamo.Options{})
	r.must(err)
	defer func() { r.must(table.Close()) }()
	r.startOn(worker.Options{AWS: cfg}, func(ledger.Ledger) ledger.Ledger { return table })
	defer func() { r.must(r.stop()) }()

	bodies := r.fleet(n)
	if claimed {
		r.sim.SetDown("batch", true)
		r.send(bodies...)
		time.Sleep(time.Second)
	}
	between.on.Store(true)
	r.sim.SetDown("batch", false)
	if !claimed {
		r.send(bodies...)
	}
	time.Sleep(30 * time.Second)
	synctest.Wait()
	calls := r.sim.Counts()["batch:CancelJobs"].Requests
	if writes == "" && (len(r.published()) > 0 || !claimed && calls > 0) {
		r.t.Errorf("%d outcomes were published and %d calls made with nothing in the table", len(r.published()), calls)
	}
	between.on.Store(false)
	first := r.settled(n, 5*time.Minute)
	calls = r.sim.Counts()["batch:CancelJobs"].Requests
	r.send(bodies...)
	time.Sleep(10 * time.Second)
	again := r.settled(n, time.Minute) // and that an outcome has one content only
	if now := r.sim.Counts()["batch:CancelJobs"].Requests; now != calls || tally(again) != fmt.Sprintf("cancelled:%d", n) || len(r.published()) < 2*n {
		r.t.Errorf("%s, then %s; %d calls, then %d; %d outcomes", tally(first), tally(again), calls, now, len(r.published()))
	}
}
