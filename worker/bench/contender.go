package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// contender is one way of draining the queue.
type contender struct {
	name, what string
	// prepare makes everything ready. What it returns drains the queue until its context ends, lets
	// go of everything, and returns.
	prepare func(ctx context.Context, a assignment) (drain func(context.Context) error, err error)
}

// baseline is the contender that ratios are taken against.
const baseline = "loop"

// loopBulk is the contender that there is only where a call takes several targets.
const loopBulk = "loop-bulk"

// contenders are all there are, in the order of the table.
var contenders = []contender{
	{"rescind", "Rescind: ledger on disk, states read, all by default", prepareRescind},
	{"rescind-dynamo", "Rescind: ledger in DynamoDB, else the same", prepareShared},
	{baseline, "SDK loop: 64 goroutines; cancels singly, the rest by ten", prepareLoop(false)},
	{loopBulk, "SDK loop: 64 goroutines; cancels and the rest by ten", prepareLoop(true)},
	{"watermill", "watermill-aws v1.0.1: 64 subscribers, receiving by ten", prepareWatermill(10)},
	{"watermill-1", "watermill-aws v1.0.1: 64 subscribers, receiving one (its default)", prepareWatermill(1)},
}

// assignment is what a contender is given before it starts.
type assignment struct {
	Fleet   string
	Place   place
	Dir     string // for files; removed afterwards
	Profile string // file for a CPU profile; "" for none
}

// config is the AWS configuration that all contenders share: with connections enough that none
// waits for one, as Rescind's own command sets it.
func (a assignment) config() aws.Config {
	const connections = 512
	return aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(a.Place.Endpoint),
		Credentials: aws.NewCredentialsCache(credentials.NewStaticCredentialsProvider("AKIABENCH", "bench", "")),
		HTTPClient: awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConns = 0
			t.MaxIdleConnsPerHost = connections
		}),
	}
}

// spent is what a contender says of itself at its end.
type spent struct {
	PeakRSS  int64 // bytes; 0 where the system does not tell
	PeakAnon int64 // anonymous memory, bytes; 0 likewise
}

// contend is a contender as a part: its orders are an assignment and "go", both answered by
// true at once; the end of its input is answered by spent.
func contend(ctx context.Context, c contender, orders <-chan json.RawMessage, out io.Writer) (err error) {
	answers := json.NewEncoder(out)
	var a assignment
	if ok, err := next(orders, &a); !ok {
		return err
	}
	drain, err := c.prepare(ctx, a)
	if err != nil {
		return fmt.Errorf("preparing: %w", err)
	}
	if err := answers.Encode(true); err != nil {
		return fmt.Errorf("answering: %w", err)
	}
	var start bool
	if ok, err := next(orders, &start); !ok {
		return err
	}
	if a.Profile != "" {
		stop, err := profile(a.Profile)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	if err := answers.Encode(true); err != nil {
		return fmt.Errorf("answering: %w", err)
	}
	anonymous := watchAnonymous()
	err = drain(ctx)
	used := spent{PeakAnon: anonymous(), PeakRSS: peakRSS()}
	if err != nil {
		return fmt.Errorf("draining: %w", err)
	}
	if ctx.Err() == nil {
		return errors.New("stopped before it was asked to")
	}
	return answers.Encode(used)
}

// profile writes a CPU profile to path, and what was allocated beside it, until stop is called.
func profile(path string) (stop func() error, err error) {
	f, err := os.Create(filepath.Clean(path))
	if err != nil {
		return nil, fmt.Errorf("making the profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the profile: %w", err), f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		allocated, err := os.Create(filepath.Clean(strings.TrimSuffix(path, ".pprof") + "-allocs.pprof"))
		if err != nil {
			return errors.Join(fmt.Errorf("making the profile of allocations: %w", err), f.Close())
		}
		return errors.Join(f.Close(), pprof.Lookup("allocs").WriteTo(allocated, 0), allocated.Close())
	}, nil
}

// peakRSS is the most memory that this process ever held. It is Linux's VmHWM (proc(5)) and not
// getrusage's ru_maxrss: that one is inherited from the process that forked.
func peakRSS() int64 { return statusBytes("VmHWM:") }

// statusBytes is a size in /proc/self/status; 0 where the system does not tell.
func statusBytes(name string) int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(status, []byte(name))
	fields := bytes.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kilobytes, err := strconv.ParseInt(string(fields[0]), 10, 64)
	if err != nil {
		return 0
	}
	return kilobytes << 10
}

// anonymousEvery is how often a contender looks at its anonymous memory, of which the system
// keeps no peak.
const anonymousEvery = 20 * time.Millisecond

// watchAnonymous returns the most anonymous memory that was seen until stop is called: heap and
// stacks, and not the pages of the ledger's file, which the system takes back when it wants to.
func watchAnonymous() (stop func() int64) {
	ended, peak := make(chan struct{}), make(chan int64)
	go func() {
		look := time.NewTicker(anonymousEvery)
		defer look.Stop()
		var most int64
		for {
			most = max(most, statusBytes("RssAnon:"))
			select {
			case <-look.C:
			case <-ended:
				peak <- most
				return
			}
		}
	}()
	return func() int64 {
		close(ended)
		return <-peak
	}
}
