package dynamo_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/ledger/dynamo"
	"github.com/rescindhq/rescind/worker/ledger/ledgertest"
)

// TestMoto runs the ledger's rules against a DynamoDB that others wrote. The clock is the
// bubble's: moto keeps items whose time to live is over, as DynamoDB does for days. It is asked
// one request at a time, because moto 5.2.1 does not keep a condition and its write together:
// of two concurrent claims it lets both win. It counts a binary attribute in base64, a third more than
// DynamoDB does, so the largest record is smaller here.
func TestMoto(t *testing.T) {
	url := startMoto(t)
	var tables atomic.Int64
	ledgertest.Run(t, func(t *testing.T) ledgertest.Opened {
		cfg := aws.Config{
			Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
			BaseEndpoint: &url,
			// A connection that remains open waits for the network, and would stop the bubble's clock.
			HTTPClient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		}
		name := fmt.Sprint("ledger-", tables.Add(1))
		if err := dynamo.CreateTable(t.Context(), cfg, name); err != nil {
			t.Fatal(err)
		}
		w := &wire{HTTPClient: cfg.HTTPClient, turn: make(chan struct{}, 1)}
		cfg.HTTPClient = w
		again := func(t *testing.T) ledger.Ledger {
			l, err := dynamo.Open(t.Context(), cfg, name, dynamo.Options{})
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		return ledgertest.Opened{Ledger: again(t), Reopen: again, Second: again, LoseReplies: w.lose, LongestID: 60}
	})
}

// requirePeers names the variable that asks for the outside peers, as CI does.
const requirePeers = "RESCIND_REQUIRE_PEERS"

// startMoto starts moto_server and returns its URL, or says aloud what is not tested.
func startMoto(t *testing.T) string {
	t.Helper()
	if os.Getenv(requirePeers) == "" {
		t.Skipf("skipped, not tested: the DynamoDB ledger against moto, which takes a minute; set %s=1", requirePeers)
	}
	server, err := exec.LookPath("moto_server")
	if err != nil {
		t.Fatalf("%s is set, and there is no moto_server on the PATH: python3 -m pip install 'moto[server]==5.2.1'", requirePeers)
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	_ = l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, server, "-H", "127.0.0.1", "-p", port)
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
	})
	url := "http://127.0.0.1:" + port
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for deadline := time.Now().Add(30 * time.Second); ; {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Do(request)
		if err == nil {
			_ = answer.Body.Close()
			return url
		}
		if time.Now().After(deadline) {
			t.Fatalf("moto_server does not answer: %v", err)
		}
		<-time.After(100 * time.Millisecond) // there is no event to wait for
	}
}
