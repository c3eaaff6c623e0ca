package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker/campaign"
)

// TestCancelMisuse: each says what to do, and nothing is listed, written or sent.
func TestCancelMisuse(t *testing.T) {
	t.Chdir(t.TempDir())
	unconfigured(t)
	t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1") // nobody answers
	const queue = " --queue-url http://127.0.0.1:1/123456789012/q"
	for args, says := range map[string]string{
		"":                                        "expected one of",
		"batch":                                   "--queue must be given",
		"batch --queue q --yes":                   "RESCIND_QUEUE_URL",
		"batch --queue q" + queue:                 "there is no terminal to ask at: add --yes; nothing was listed or sent",
		"batch --queue q --job-name=" + queue:     "--job-name must not be empty",
		"batch --queue q --campaign a/b" + queue:  "--campaign must hold only",
		"batch --queue q --rate=0 --yes" + queue:  "must be like 50/s",
		"batch --queue q --wait-for=-1s" + queue:  "--wait-for must be above 0",
		"batch --queue q --until-empty --dry-run": "can't be used together",
		"batch --queue q --until-empty --no-wait": "can't be used together",
		"batch --queue q --yes --until-empty --campaign " + strings.Repeat("n", campaign.MaxName) + queue: "with the number of a round, as in ",
	} {
		code, out, complaints := ran(t, "", append([]string{"cancel"}, strings.Fields(args)...)...)
		if code != exitMisused || out != "" || !strings.Contains(complaints, says) {
			t.Errorf("cancel %s: exit %d, %s%s, want %q", args, code, out, complaints, says)
		}
	}
	code, out, complaints := ran(t, "", strings.Fields("cancel batch --queue q --yes --json --admin-addr 127.0.0.1:1"+queue)...)
	if code != exitFailed || !strings.Contains(complaints, "nothing was listed or sent, since outcomes could not be followed (--no-wait") || !strings.Contains(out, `"error":"nothing was listed`) {
		t.Errorf("without a worker: exit %d, %s%s", code, out, complaints)
	}
	if left, err := fs.Glob(os.DirFS("."), "*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// TestCancelWithoutWaiting sends the plan, and needs no worker.
func TestCancelWithoutWaiting(t *testing.T) {
	sim, queue := plannable(t)
	sim.PutJobs(awssim.Job{ID: "a", Queue: "q"}, awssim.Job{ID: "b", Queue: "q", State: "RUNNING"})
	code, out, complaints := ran(t, "", "cancel", "batch", "--queue=q", "--yes", "--no-wait", "--campaign=night", "--queue-url", queue)
	if code != exitDone || !strings.Contains(out, "Sent 1 command of campaign night") || bodies(sim, queue)[linesIn(t, "night.plan.jsonl")[0]] != 1 {
		t.Errorf("exit %d, %s%s", code, out, complaints)
	}
	code, out, complaints = ran(t, "", "cancel", "batch", "--queue=q", "--yes", "--no-wait", "--state=RUNNING", "--json", "--queue-url", queue)
	var r cancelReport
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitDone || len(r.Rounds) != 1 || len(r.Rounds[0].Plan.NotStopped) != 1 || r.Rounds[0].Apply != nil {
		t.Errorf("nothing to stop: exit %d, %s%s", code, out, complaints)
	}
}

// TestCancelOnATerminal asks with the plan on the screen, draws progress in place, and cancels on the right answer alone.
func TestCancelOnATerminal(t *testing.T) {
	d := startDev(t)
	t.Chdir(t.TempDir())
	t.Setenv("AWS_ENDPOINT_URL", d.url)
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "xterm")
	for _, row := range []struct {
		campaign, types string
		code            int
		shows           []string
	}{
		{"no", "n\n", exitFailed, []string{`not confirmed; nothing was sent`, `^  rescind apply no.plan.jsonl`}},
		{"none", "\n", exitFailed, []string{`not confirmed; nothing was sent`}},
		{"yes", "y\n", exitDone, []string{`^cancelled +[1-9]$`, `^[1-9] stopped$`, `^ \d/\d sent `, `^ \d/\d ended `, `^cancelled`}},
	} {
		var code int
		screen := onTerminal(t, size{80, 24}, func(on *tty) {
			var typing sync.WaitGroup
			typing.Go(func() {
				on.waits(`Cancel \d Batch jobs in account 123456789012, us-east-1\? \[y/N\]`)
				if _, err := on.keys.WriteString(row.types); err != nil {
					t.Error(err)
				}
			})
			args := []string{"cancel", "batch", "--queue=default", "--campaign", row.campaign, "--queue-url", d.queue, "--admin-addr", d.admin}
			code = run(t.Context(), args, streams{on.file, on.file, on.file})
			typing.Wait()
		})
		if code != row.code {
			t.Errorf("%s: exit %d", row.campaign, code)
		}
		for _, pattern := range row.shows {
			if len(screen.matching(pattern)) != 1 {
				t.Errorf("%s: %q is there %d times in\n%s", row.campaign, pattern, len(screen.matching(pattern)), strings.Join(screen.lines, "\n"))
			}
		}
	}
}

// TestCancelReportFitsATerminal, and lists the first of what was not stopped.
func TestCancelReportFitsATerminal(t *testing.T) {
	results := map[targetKey]*cancelResult{}
	for i := range 50 {
		results[targetKey{byte(i)}] = &cancelResult{ID: fmt.Sprint("night:", i), Target: "job-" + hostile, Status: handlers.Failed, Why: strings.Repeat("why ", 40), verdict: handlers.NotStopped}
	}
	results[targetKey{99}] = &cancelResult{ID: "night:99", Status: handlers.Accepted, verdict: handlers.Pending, went: true}
	r := &cancelReport{noun: "Batch job", Rounds: []*cancelRound{{Plan: &planReport{File: "night.plan.jsonl"}}}}
	r.count(results)
	for _, size := range sizes {
		text := fits(t, int(size.columns), func(s screen) { r.print(s, "night") })
		if strings.Count(text, "failed  job-") != maxNotStopped || !strings.Contains(text, "… and 30 more") || !strings.Contains(text, "Pending: 1 is only accepted") || strings.ContainsAny(text, "\u202e\u0085") {
			t.Errorf("%s", text)
		}
	}
	if err := r.failure(); err == nil || err.Error() != "50 of 51 Batch jobs were not stopped" {
		t.Error(err)
	}
}
