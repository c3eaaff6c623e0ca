package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/demo"
	"github.com/rescindhq/rescind/worker/outcome"
)

// devRun is a running rescind dev.
type devRun struct {
	*testing.T
	url, queue string
	says       *stopWords
	admin      string              // address of health and metrics
	targets    map[string]string   // a job's id by state
	tries      map[string][]string // flags that are printed first for each action
	outcomes   chan string
	stop       func() int
}

var (
	urlLine    = regexp.MustCompile(`^endpoint +(http://\S+)`)
	healthLine = regexp.MustCompile(`^Health: http://(\S+)/readyz`)
	targetLine = regexp.MustCompile(`^([0-9a-f-]{36}) +(\S+)`)
	tryLine    = regexp.MustCompile(`^  rescind send --action (\S+) (.+)$`)
)

// startDev runs dev on free ports until the test ends.
func startDev(t *testing.T) *devRun {
	t.Helper()
	unconfigured(t)
	says := &stopWords{}
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), stopWordsKey{}, says))
	outRead, outWrite := io.Pipe()
	errRead, errWrite := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"dev", "--addr=127.0.0.1:0", "--admin-addr=127.0.0.1:0", "--jobs=8"}, streams{nil, outWrite, errWrite})
		_ = outWrite.Close()
		_ = errWrite.Close()
	}()
	d := &devRun{T: t, says: says, targets: map[string]string{}, tries: map[string][]string{}, outcomes: make(chan string, 100)}
	ready := make(chan struct{})
	go func() {
		said := bufio.NewScanner(errRead)
		command := "" // of which the last line may not have come yet
		for said.Scan() {
			part, goesOn := strings.CutSuffix(said.Text(), "\\")
			if command += part; goesOn {
				continue
			}
			if m := tryLine.FindStringSubmatch(command); m != nil {
				d.tries[m[1]] = strings.Fields(strings.ReplaceAll(m[2], "'", "")) // as a shell would split it
			}
			command = ""
			if m := healthLine.FindStringSubmatch(said.Text()); m != nil {
				d.admin = m[1]
			}
			if m := urlLine.FindStringSubmatch(said.Text()); m != nil {
				d.url = m[1]
			} else if m := targetLine.FindStringSubmatch(said.Text()); m != nil && d.targets[m[2]] == "" {
				d.targets[m[2]] = m[1]
			} else if strings.HasPrefix(said.Text(), "Outcomes are printed on stdout") {
				close(ready)
			}
		}
	}()
	go func() {
		defer close(d.outcomes)
		for lines := bufio.NewScanner(outRead); lines.Scan(); {
			d.outcomes <- lines.Text()
		}
	}()
	code := -1
	d.stop = func() int {
		cancel()
		if code < 0 {
			code = <-ended
		}
		return code
	}
	t.Cleanup(func() { d.stop() })
	select {
	case <-ready:
	case code = <-ended:
		t.Fatalf("dev ended with %d", code)
	case <-time.After(20 * time.Second):
		t.Fatal("dev does not print that it is ready")
	}
	d.queue = d.url + "/123456789012/" + demo.QueueName
	t.Setenv("AWS_ENDPOINT_URL", d.url)
	return d
}

// next waits for the next outcome.
func (d *devRun) next() outcome.Data {
	d.Helper()
	select {
	case line := <-d.outcomes:
		e, err := outcome.Parse([]byte(line))
		if err != nil {
			d.Fatalf("a line of stdout is no outcome: %v\n%s", err, line)
		}
		return e.Data
	case <-time.After(20 * time.Second):
		d.Fatal("no outcome came")
	}
	return outcome.Data{}
}

func TestDevAndSend(t *testing.T) {
	d := startDev(t)
	code, out, complaints := ran(t, "", "send", "--queue-url", d.queue, "--action=batch:TerminateJob",
		"-p", "jobId="+d.targets["RUNNING"], "-p", "reason=a;b=c", "--id=one")
	if code != exitDone || out != "sent one to "+d.queue+"\n" || !strings.Contains(complaints, "results topic") {
		t.Fatalf("exit %d, stdout %q, stderr %q", code, out, complaints)
	}
	got := d.next()
	if got.CommandID != "one" || got.Status != handlers.Cancelled || got.Targets[0].ID != d.targets["RUNNING"] {
		t.Errorf("outcome %+v", got)
	}
	if first, second := d.says.get(); !strings.HasSuffix(first(), ", and the simulator ends with all of its state") || !strings.Contains(second, "nothing on AWS was touched") {
		t.Errorf("the signals say %q, %q", first(), second)
	}
	if code := d.stop(); code != exitDone {
		t.Errorf("dev ended with %d", code)
	}
}

// TestDevTries runs the commands that dev prints, for every service.
func TestDevTries(t *testing.T) {
	d := startDev(t)
	t.Setenv("RESCIND_ADMIN_ADDR", d.admin)
	var sends sync.WaitGroup // together, as each waits for its outcome
	for action, flags := range d.tries {
		sends.Go(func() {
			code, out, complaints := ran(t, "", append([]string{"send", "--queue-url", d.queue, "--action", action}, flags...)...)
			if code != exitDone || !strings.Contains(out, "\ncancelled  ") {
				t.Errorf("%s: exit %d, stdout %q, stderr %q, want its outcome", action, code, out, complaints)
			}
		})
	}
	sends.Wait()
	services := map[string]bool{}
	for range d.tries {
		got := d.next()
		if verdict := got.Status.Verdict(); d.tries[string(got.Action)] == nil || verdict != handlers.Stopped && verdict != handlers.Pending {
			t.Errorf("outcome %+v", got)
		}
		services[got.Action.Service()] = true
	}
	if len(services) != len(demo.Services()) {
		t.Errorf("targets of %v are shown, want those of %d services", services, len(demo.Services()))
	}
}

func TestSendLines(t *testing.T) {
	d := startDev(t)
	lines := fmt.Sprintf(`{"id":"a","parameters":{"jobId":%q}}

{"id":"b","parameters":{"jobId":%q,"reason":"its own"}}
not JSON
{"id":"c","parameters":{"jobID":"x"}}
{"id":"d","action":"batch:CancelJbo","parameters":{}}
`, d.targets["RUNNABLE"], d.targets["PENDING"])
	code, out, complaints := ran(t, lines, "send", "--queue-url", d.queue, "-", "--action=batch:CancelJob", "-p", "reason=42", "--campaign=test")
	if code != exitFailed || !strings.HasPrefix(out, "2 sent, 3 refused (") {
		t.Errorf("exit %d, stdout %q, stderr %q", code, out, complaints)
	}
	for _, line := range []string{"line 4: ", "line 5: ", "line 6: "} {
		if !strings.Contains(complaints, line) {
			t.Errorf("stderr does not mention %s: %s", line, complaints)
		}
	}
	for range 2 {
		if got := d.next(); got.Status != handlers.Cancelled || got.Campaign != "test" {
			t.Errorf("outcome %+v", got)
		}
	}
}

func TestSendStopsWhereNothingAnswers(t *testing.T) {
	d := startDev(t)
	d.stop()
	code, out, complaints := ran(t, `{"parameters":{"jobId":"x"}}`, "send", "--queue-url", d.queue, "-", "--action=batch:CancelJob")
	if code != exitFailed || !strings.HasPrefix(out, "0 sent") || !strings.Contains(complaints, "AWS_ENDPOINT_URL") || !strings.Contains(complaints, "not sent: 1 command (line 1)") {
		t.Errorf("exit %d, stdout %q, stderr %q", code, out, complaints)
	}
}

func TestABusyPort(t *testing.T) {
	d := startDev(t)
	code, _, complaints := ran(t, "", "dev", "--addr", strings.TrimPrefix(d.url, "http://"))
	if code != exitFailed || !strings.Contains(complaints, "--addr") {
		t.Errorf("exit %d, stderr %q", code, complaints)
	}
}
