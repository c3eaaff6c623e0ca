package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rescindhq/rescind/internal/awssim"
)

// planOfJobs is a plan of n Batch jobs, and the queue to which it may be sent.
func planOfJobs(t *testing.T, n int, flags ...string) (sim *awssim.Sim, queue, file string) {
	t.Helper()
	sim, queue = plannable(t)
	for i := range n {
		sim.PutJobs(awssim.Job{ID: fmt.Sprint("job-", i), Queue: "q"})
	}
	file = filepath.Join(t.TempDir(), "over-budget.plan.jsonl")
	code, _, complaints := ran(t, "", append([]string{"plan", "batch", "--queue=q", "--campaign=over-budget", "--output=" + file}, flags...)...)
	if code != exitDone {
		t.Fatalf("exit %d, %s", code, complaints)
	}
	return sim, queue, file
}

// applied runs apply and returns its report.
func applied(t *testing.T, args ...string) (code int, r applyReport) {
	t.Helper()
	code, out, complaints := ran(t, "", append([]string{"apply", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v: %v\n%s%s", args, err, out, complaints)
	}
	return code, r
}

// bodies are the messages on the queue, each with how often it is there.
func bodies(sim *awssim.Sim, queue string) map[string]int {
	all := map[string]int{}
	for _, m := range sim.Messages(queue) {
		all[m.Body]++
	}
	return all
}

// linesIn are the commands of a plan file.
func linesIn(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")[1:]
}

func TestApplySendsExactlyTheLines(t *testing.T) {
	sim, queue, file := planOfJobs(t, 345)
	code, r := applied(t, "--yes", "--queue-url", queue, file)
	if code != exitDone || r.Sent != 345 || r.Left != 0 || r.Campaign != "over-budget" {
		t.Errorf("exit %d, %+v", code, r)
	}
	got := bodies(sim, queue)
	for _, line := range linesIn(t, file) {
		if got[line] != 1 {
			t.Errorf("on the queue %d times: %s", got[line], line)
		}
	}
	if len(got) != 345 {
		t.Errorf("%d messages", len(got))
	}
	code, out, _ := ran(t, "", "apply", "--yes", "--queue-url", queue, file)
	if code != exitDone || !strings.Contains(out, "All 345 commands of campaign over-budget were sent before") || len(sim.Messages(queue)) != 345 {
		t.Errorf("again: exit %d, %s", code, out)
	}
}

// TestAnExpiredPlanIsNotSent: the worker would not run any of it.
func TestAnExpiredPlanIsNotSent(t *testing.T) {
	sim, queue, file := planOfJobs(t, 2, "--expires-in=1ns") // which is the second that the plan was made in
	if code, _, complaints := ran(t, "", "apply", "--yes", "--queue-url", queue, file); code != exitMisused || !strings.Contains(complaints, "have expired at") || len(sim.Messages(queue)) > 0 {
		t.Errorf("exit %d, %s", code, complaints)
	}
}

func TestADryRunIsSentBesideTheRealOne(t *testing.T) {
	sim, queue, file := planOfJobs(t, 12)
	for _, flags := range [][]string{{"--dry-run"}, nil, {"--dry-run"}} {
		if code, r := applied(t, append(flags, "--yes", "--queue-url", queue, file)...); code != exitDone || r.Left != 0 {
			t.Errorf("%v: exit %d, %+v", flags, code, r)
		}
	}
	dry := 0
	for body := range bodies(sim, queue) {
		if strings.HasPrefix(body, `{"dryRun":true,"id":"over-budget:`) {
			dry++
		}
	}
	if n := len(sim.Messages(queue)); dry != 12 || n != 24 {
		t.Errorf("%d previews among %d messages", dry, n)
	}
}

// TestApplyRefusesAsAWhole: what is wrong with a plan or its limits is misuse, and nothing is sent.
func TestApplyRefusesAsAWhole(t *testing.T) {
	sim, queue, file := planOfJobs(t, 1200, "--max-percent=100")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	edited := file + ".edited"
	if err := os.WriteFile(edited, []byte(strings.Replace(string(whole), "job-7\"", "job-X\"", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		args []string
		says string
	}{
		{[]string{file}, "the plan has 1200 commands, and the limit is 1000: nothing was sent. If all of it is meant, raise --max"},
		{[]string{file, "--max=1199"}, "the limit is 1199"},
		{[]string{file, "--max=0", "--max-percent=50"}, "100% of the 1200 targets that were listed, and the limit is 50%"},
		{[]string{file, "--max=-1"}, "--max must not be negative"},
		{[]string{file, "--rate=0"}, "must be like 50/s"},
		{[]string{file, "--rate=5/h"}, "must be like 50/s"},
		{[]string{edited, "--max=0"}, "has the id"},
		{[]string{file + ".none"}, "no such file"},
	} {
		code, _, complaints := ran(t, "", append([]string{"apply", "--yes", "--queue-url", queue}, row.args...)...)
		if code != exitMisused || !strings.Contains(complaints, row.says) || len(sim.Messages(queue)) > 0 {
			t.Errorf("%v: exit %d, %s, want %q", row.args, code, complaints, row.says)
		}
	}
	if code, _, complaints := ran(t, "", "apply", "--queue-url", queue, "--max=0", file); code != exitMisused || !strings.Contains(complaints, "--yes to send 1,200 commands") {
		t.Errorf("without a terminal: exit %d, %s", code, complaints)
	}
	if code, _, complaints := ran(t, "", "apply", "--yes", file); code != exitMisused || !strings.Contains(complaints, "RESCIND_QUEUE_URL") {
		t.Errorf("without a queue: exit %d, %s", code, complaints)
	}
	if code, r := applied(t, "--yes", "--max=1200", "--queue-url", queue, file); code != exitDone || r.Sent != 1200 {
		t.Errorf("with the limit raised: exit %d, %+v", code, r)
	}
}

// TestApplyGoesOn after requests that failed: what was accepted is not sent again but for lost replies.
func TestApplyGoesOn(t *testing.T) {
	sim, queue, file := planOfJobs(t, 600)
	sim.SetFaults(awssim.Faults{"sqs:SendMessageBatch": {Broken: 0.5, Lost: 0.1}})
	code, r := applied(t, "--yes", "--queue-url", queue, file)
	if code != exitFailed || r.Left == 0 || r.Sent+r.Left != 600 || !strings.Contains(r.Error, "Run the same again to go on") {
		t.Errorf("exit %d, %+v", code, r)
	}
	sim.SetFaults(nil)
	before := r.Sent
	if code, r = applied(t, "--yes", "--queue-url", queue, file); code != exitDone || r.SentBefore != before || r.Left != 0 {
		t.Errorf("exit %d, %+v", code, r)
	}
	if got := bodies(sim, queue); len(got) != 600 {
		t.Errorf("%d commands", len(got))
	}
}

// TestTheRateIsHonoured in every second, whatever it is.
func TestTheRateIsHonoured(t *testing.T) {
	for _, perSecond := range []float64{0.5, 1, 7, 50, 333, 5000} {
		synctest.Test(t, func(t *testing.T) {
			p := pacer{rate: perSecond}
			var began []time.Time // of each command
			for range 400 {
				n := p.atOnce()
				p.wait(t.Context(), n)
				for range n {
					began = append(began, time.Now())
				}
				time.Sleep(time.Duration(len(began)%7) * time.Millisecond)
			}
			took := began[len(began)-1].Sub(began[0]).Seconds()
			if least := float64(len(began)-p.atOnce())/perSecond - paceSlack.Seconds(); took < least-0.01 {
				t.Errorf("%g/s: %d commands in %.2f s", perSecond, len(began), took)
			}
			if perSecond <= 333 && took > 1.05*float64(len(began))/perSecond {
				t.Errorf("%g/s: only %d commands in %.2f s", perSecond, len(began), took)
			}
			for i, j := 0, 0; i < len(began); i++ {
				for began[i].Sub(began[j]) >= time.Second {
					j++
				}
				if most := perSecond*(1+paceSlack.Seconds()) + float64(p.atOnce()); float64(i-j+1) > most {
					t.Fatalf("%g/s: %d commands within a second", perSecond, i-j+1)
				}
			}
		})
	}
}

func TestRates(t *testing.T) {
	for text, want := range map[string]float64{"50/s": 50, "50": 50, "30/m": 0.5, "0.1/s": 0.1, "": 0, "0/s": 0, "-1/s": 0, "x": 0, "5/h": 0, "inf": 0, "NaN": 0} {
		var r rate
		if err := r.UnmarshalText([]byte(text)); (err == nil) != (want > 0) || r.perSecond != want {
			t.Errorf("%q: %v %v", text, r.perSecond, err)
		}
	}
}

// TestApplyAsksAtATerminal: few commands take y, many their number, and everything else sends nothing.
func TestApplyAsksAtATerminal(t *testing.T) {
	for _, row := range []struct {
		jobs         int
		types, shows string
		code, sent   int
	}{
		{3, "y\n", "[y/N]", exitDone, 3},
		{3, "n\n", "[y/N]", exitFailed, 0},
		{3, "\n", "[y/N]", exitFailed, 0},
		{150, "150\n", "Type the number", exitDone, 150},
		{150, "y\n", "Type the number", exitFailed, 0},
		{1500, "1,500\n", "Type the number", exitDone, 1500},
	} {
		t.Run(fmt.Sprint(row.jobs, row.types), func(t *testing.T) {
			sim, queue, file := planOfJobs(t, row.jobs)
			var code int
			d := onTerminal(t, size{80, 24}, func(d *tty) {
				var typing sync.WaitGroup
				typing.Go(func() {
					d.waits(regexp.QuoteMeta(row.shows))
					if _, err := d.keys.WriteString(row.types); err != nil {
						t.Error(err)
					}
				})
				code = run(t.Context(), []string{"apply", "--max=0", "--queue-url", queue, file}, streams{d.file, d.file, d.file})
				typing.Wait()
			})
			if code != row.code || len(sim.Messages(queue)) != row.sent || !strings.Contains(strings.Join(d.lines, " "), row.shows) {
				t.Errorf("exit %d, %d sent\n%s", code, len(sim.Messages(queue)), strings.Join(d.lines, "\n"))
			}
		})
	}
}
