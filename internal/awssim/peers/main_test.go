package peers_test

import (
	"context"
	"flag"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rescindhq/rescind/internal/awssim"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// Nearly all of these tests wait for a peer, so that the number of cores says nothing.
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// peer is an AWS simulator, ours or another's.
type peer struct {
	name string
	// start serves it on a loopback port until the test ends, or skips the test.
	start func(t *testing.T) (url string)
	// plant puts a Batch job in that has SUCCEEDED and returns its id; nil where there are no
	// control planes.
	plant func(t *testing.T, url string) (job string)
}

// asked are the peers in their order.
func asked() []peer {
	var sim *awssim.Sim
	return []peer{
		{
			name: "awssim",
			start: func(t *testing.T) (url string) {
				sim, url = startSimulator(t)
				return url
			},
			plant: func(*testing.T, string) string {
				const job = "aaaaaaaa-2222-3333-4444-555555555555"
				sim.PutJobs(awssim.Job{ID: job, State: "SUCCEEDED"})
				return job
			},
		},
		{name: "fauxqs", start: startFauxqs},
		{name: "moto", start: startMoto, plant: plantInMoto},
	}
}

// TestPeers starts every peer once, and asks each the same.
func TestPeers(t *testing.T) {
	for _, p := range asked() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			url := p.start(t)
			t.Run("SQS and SNS", func(t *testing.T) {
				run(t, p.name, url, "", slices.Concat(sqsCases, batchCases, waitCases, snsCases))
			})
			if p.name != "awssim" { // where worker/queue runs it, at full length
				t.Run("Watermill", func(t *testing.T) { watermillSuite(t, url) })
			}
			if p.plant != nil { // fauxqs has none of these
				t.Run("DynamoDB", func(t *testing.T) {
					run(t, p.name, url, "", slices.Concat(conditionCases(), updateCases(), queryCases(), dynamoCases))
				})
				job := p.plant(t, url)
				t.Run("Batch and IoT", func(t *testing.T) { run(t, p.name, url, job, planeCases) })
			}
		})
	}
}

// requirePeers names the variable that asks for the outside peers, and turns the absence of one
// into a failure, as in CI. Without it they are left out: they take most of a minute.
const requirePeers = "RESCIND_REQUIRE_PEERS"

// onlyWhenAsked says aloud what is not tested unless peers are asked for.
func onlyWhenAsked(t *testing.T, untested string) {
	t.Helper()
	if os.Getenv(requirePeers) == "" {
		t.Skipf("skipped, not tested: %s: run .ci/peers, or set %s=1", untested, requirePeers)
	}
}

// absent says aloud what is not tested, and how it would be.
func absent(t *testing.T, untested, why, get string) {
	t.Helper()
	if os.Getenv(requirePeers) != "" {
		t.Fatalf("%s, and %s is set: %s", why, requirePeers, get)
	}
	t.Skipf("skipped, not tested: %s; %s: %s", untested, why, get)
}

// startSimulator serves our own simulator.
func startSimulator(t *testing.T) (*awssim.Sim, string) {
	t.Helper()
	sim := awssim.New(awssim.Options{})
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- sim.Serve(l) }()
	t.Cleanup(func() {
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Errorf("serving ended with %v", err)
		}
	})
	return sim, "http://" + l.Addr().String()
}

// installation names the variable that holds the folder into which npm installed fauxqs.
const installation = "RESCIND_FAUXQS"

// fauxqsOnLoopback is fauxqs without its command, which listens on every address.
const fauxqsOnLoopback = `import { buildApp } from "fauxqs";
await buildApp({ logger: false }).listen({ port: Number(process.argv[1]), host: "127.0.0.1" });`

func startFauxqs(t *testing.T) string {
	const untested, get = "the AWS simulator beside fauxqs (SQS, SNS)", "run .ci/peers, or set " + installation +
		" to a folder in which 'npm install fauxqs@2.4.1' was run; it needs node 22.5 or later"
	folder := os.Getenv(installation)
	if folder == "" {
		absent(t, untested, installation+" is not set", get)
	}
	node := filepath.Join(folder, "node_modules", ".bin", "node") // its own, where it has one
	if _, err := os.Stat(node); err != nil {
		if node, err = exec.LookPath("node"); err != nil {
			absent(t, untested, "there is no node on the PATH", get)
		}
	}
	port := freePort(t)
	cmd := exec.CommandContext(context.Background(), node, "--input-type=module", "--eval", fauxqsOnLoopback, port)
	cmd.Dir = folder // from where the import is resolved
	return serve(t, cmd, port)
}

func startMoto(t *testing.T) string {
	const untested = "the AWS simulator beside moto (SQS, SNS, DynamoDB, Batch, IoT)"
	onlyWhenAsked(t, untested)
	server, err := exec.LookPath("moto_server")
	if err != nil {
		absent(t, untested, "there is no moto_server on the PATH", "python3 -m pip install 'moto[server]==5.2.1'")
	}
	port := freePort(t)
	return serve(t, exec.CommandContext(context.Background(), server, "-H", "127.0.0.1", "-p", port), port)
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// patience is how long a peer may take to answer, on a busy machine.
const patience = 30 * time.Second

// serve starts a peer, waits until it answers anything at all, and kills it when the test ends.
func serve(t *testing.T, cmd *exec.Cmd, port string) string {
	t.Helper()
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", cmd.Path, err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	stop := func() {
		_ = cmd.Process.Kill()
		<-ended
	}
	t.Cleanup(stop)
	url := "http://127.0.0.1:" + port
	transport := &http.Transport{DisableKeepAlives: true}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for tick := time.NewTicker(100 * time.Millisecond); ; {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := transport.RoundTrip(request)
		if err == nil {
			answer.Body.Close()
			tick.Stop()
			return url
		}
		select {
		case <-tick.C:
			continue
		case <-ended:
		case <-ctx.Done():
		}
		stop()
		t.Fatalf("%s does not answer (%v); it said: %s", cmd.Path, err, said.String())
	}
}
