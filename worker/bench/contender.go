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

// contenders are all there are, in the order of the table.
var contenders = []contender{
	{"rescind", "Rescind: ledger on disk, states read, all by default", prepareRescind},
	{baseline, "SDK loop: 64 goroutines; CancelJob singly, the rest by ten", prepareLoop((*loop).cancelSingly)},
	{"loop-bulk", "SDK loop: 64 goroutines; CancelJobs and the rest by ten", prepareLoop((*loop).cancelTogether)},
	{"watermill", "watermill-aws v1.0.1: 64 subscribers, receiving by ten", prepareWatermill(10)},
	{"watermill-1", "watermill-aws v1.0.1: 64 subscribers, receiving one (its default)", prepareWatermill(1)},
}

// assignment is what a contender is told before it starts.
type assignment struct {
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
	PeakRSS int64 // bytes; 0 where the system does not tell
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
	if err := drain(ctx); err != nil {
		return fmt.Errorf("draining: %w", err)
	}
	if ctx.Err() == nil {
		return errors.New("stopped before it was told to")
	}
	return answers.Encode(spent{PeakRSS: peakRSS()})
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
func peakRSS() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
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
