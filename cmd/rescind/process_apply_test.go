package main_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rescindhq/rescind/internal/awssim"
)

// rescind is a process of the binary, on the harness's AWS.
func (h *harness) rescind(args ...string) *exec.Cmd {
	h.t.Helper()
	cmd := exec.CommandContext(h.t.Context(), h.binary, args...)
	cmd.Dir = h.dir
	cmd.Env = []string{
		"HOME=" + h.dir, "PATH=" + os.Getenv("PATH"), "AWS_ENDPOINT_URL=" + h.url, "AWS_REGION=us-east-1",
		"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "RESCIND_QUEUE_URL=" + h.queue,
	}
	return cmd
}

// TestAKilledApplyGoesOn: apply is killed at twenty random points of a plan and run again after each. The commands that reach
// the queue are then, as a set, the plan's lines. Those that were sent in the instant of a kill may be there twice.
func TestAKilledApplyGoesOn(t *testing.T) {
	const commands, kills = 6000, 20
	h := newHarness(t, build(t), awssim.Options{})
	for i := range commands {
		h.PutJobs(awssim.Job{ID: fmt.Sprint("job-", i), Queue: "q"})
	}
	file := filepath.Join(h.dir, "plan.jsonl")
	if out, err := h.rescind("plan", "batch", "--queue=q", "--output="+file, "--max=0").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	dice := rand.New(rand.NewPCG(20, 1)) //nolint:gosec // repeatable on purpose
	killed := 0
	for range kills {
		cmd := h.rescind("apply", "--yes", "--rate=4000/s", file)
		// Before or after one of its requests is served, while up to fifteen others are under way.
		left := new(atomic.Int64)
		left.Store(1 + dice.Int64N(2*2*commands/10/kills))
		started := make(chan struct{})
		kill := func() {
			if left.Add(-1) == 0 {
				<-started
				_ = cmd.Process.Kill() // it may have ended
			}
		}
		h.onSend.Store(&kill)
		h.must(cmd.Start())
		close(started)
		if err := cmd.Wait(); err != nil {
			killed++
		}
		h.onSend.Store(nil)
	}
	if out, err := h.rescind("apply", "--yes", file).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(file)
	h.must(err)
	lines := map[string]bool{}
	for _, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")[1:] {
		lines[line] = true
	}
	got := map[string]int{}
	all := h.Messages(h.queue)
	for _, m := range all {
		if got[m.Body]++; !lines[m.Body] {
			t.Errorf("not of the plan: %s", m.Body)
		}
	}
	t.Logf("killed %d times; %d messages of %d commands", killed, len(all), len(lines))
	if len(got) != len(lines) || len(lines) != commands {
		t.Errorf("%d of %d commands are on the queue", len(got), len(lines))
	}
	if killed < kills/2 {
		t.Errorf("only %d kills met a process", killed)
	}
	// What was accepted and not recorded: one request of ten for each of the 16 under way, and no more.
	if most := commands + killed*160; len(all) > most {
		t.Errorf("%d messages, at most %d were to be", len(all), most)
	}
}
