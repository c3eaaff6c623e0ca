package worker_test

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/ledger/bolt"
)

// TestAnEndpointWithoutSTS starts a worker on an endpoint that does not know GetCallerIdentity,
// as emulators of SQS do not, and on one whose STS refuses the credentials.
func TestAnEndpointWithoutSTS(t *testing.T) {
	for _, row := range []struct {
		status int
		starts bool
	}{{http.StatusBadRequest, true}, {http.StatusNotFound, true}, {http.StatusForbidden, false}, {http.StatusServiceUnavailable, false}} {
		sim := awssim.New(awssim.Options{})
		handler := sim.Handler()
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.Header.Get("Authorization"), "/sts/") {
				http.Error(w, "no such action", row.status)
				return
			}
			handler.ServeHTTP(w, r)
		}))
		queue, _, err := sim.CreateQueueWithDeadLetters("commands", 1000, nil)
		if err != nil {
			t.Fatal(err)
		}
		book, err := bolt.Open(filepath.Join(t.TempDir(), "ledger.db"), bolt.Options{NoSync: true})
		if err != nil {
			t.Fatal(err)
		}
		topic, err := sim.CreateTopic("outcomes")
		if err != nil {
			t.Fatal(err)
		}
		transport := &http.Transport{}
		_, err = worker.New(t.Context(), worker.Options{
			QueueURLs: []string{queue}, Ledger: book, TopicARN: topic,
			AWS: aws.Config{
				Region: "us-east-1", BaseEndpoint: &server.URL, Credentials: sim.Credentials("123456789012"),
				HTTPClient: &http.Client{Transport: transport}, Retryer: func() aws.Retryer { return aws.NopRetryer{} },
			},
		})
		if (err == nil) != row.starts {
			t.Errorf("STS answers %d: %v, want a start: %t", row.status, err, row.starts)
		}
		transport.CloseIdleConnections()
		server.Close()
		if err := book.Close(); err != nil {
			t.Error(err)
		}
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	}
}
