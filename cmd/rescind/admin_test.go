package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestEndedAnswersTheOutcome: byte for byte what was published, and nothing of what has not ended.
func TestEndedAnswersTheOutcome(t *testing.T) {
	d := startDev(t)
	if code, _, complaints := ran(t, "", "send", "--queue-url", d.queue, "--action=batch:TerminateJob", "-p", "jobId="+d.targets["RUNNING"], "--id=one"); code != exitDone {
		t.Fatal(complaints)
	}
	published := <-d.outcomes
	ask := func(query string) (int, string) {
		response, err := http.Get("http://" + d.admin + endedPath + query)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		defer http.DefaultClient.CloseIdleConnections()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(body)
	}
	code, body := ask("?key=one&key=two&key=dry/one&key=/secret&key=")
	var answer struct {
		Queues []string
		Ended  []struct {
			Key, Fingerprint string
			Outcome          json.RawMessage
		}
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || code != http.StatusOK {
		t.Fatalf("%d %s: %v", code, body, err)
	}
	if len(answer.Ended) != 1 || answer.Ended[0].Key != "one" || len(answer.Ended[0].Fingerprint) != 64 || string(answer.Ended[0].Outcome) != published {
		t.Errorf("the answer is %s\nwant the outcome %s", body, published)
	}
	if len(answer.Queues) != 1 || answer.Queues[0] != d.queue {
		t.Errorf("queues: %v", answer.Queues)
	}
	if code, body := ask(""); code != http.StatusOK || !strings.Contains(body, `"ended":[]`) {
		t.Errorf("without keys: %d %s", code, body)
	}
	if code, body := ask("?" + strings.Repeat("key=x&", maxEndedKeys+1)); code != http.StatusBadRequest || !strings.Contains(body, "at most 100 keys") {
		t.Errorf("with too many: %d %s", code, body)
	}
}
