package campaign_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rescindhq/rescind/worker/campaign"
)

var hundred = &campaign.Header{Count: 100, Digest: "sha256:one"}

// journal opens a journal of a plan of a hundred lines.
func journal(t *testing.T, path string) *campaign.Journal {
	t.Helper()
	j, err := campaign.OpenJournal(path, hundred)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func TestTheJournalRemembers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "plan.sent")
	first := journal(t, path)
	var adding sync.WaitGroup
	for _, batch := range [][]int{{1, 2, 3}, {7, 9, 10}, {100}, {2, 3}} {
		adding.Go(func() {
			if err := first.Add(batch); err != nil {
				t.Error(err)
			}
		})
	}
	adding.Wait()
	again := journal(t, path)
	if again.Count() != 7 {
		t.Errorf("%d lines, want 7", again.Count())
	}
	for line, want := range map[int]bool{1: true, 3: true, 4: false, 7: true, 8: false, 9: true, 10: true, 99: false, 100: true} {
		if again.Sent(line) != want {
			t.Errorf("line %d: %v", line, !want)
		}
	}
}

// TestAJournalCutAnywhereIsReadAsFarAsItIsWhole: a crash may leave any part of what was appended.
func TestAJournalCutAnywhereIsReadAsFarAsItIsWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "plan.sent")
	j := journal(t, path)
	for line := 1; line <= 20; line++ {
		if err := j.Add([]int{line}); err != nil {
			t.Fatal(err)
		}
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range whole {
		if err := os.WriteFile(path, append(whole[:cut:cut], "\x00\x00"...), 0o600); err != nil {
			t.Fatal(err)
		}
		j := journal(t, path)
		want := max(0, strings.Count(string(whole[:cut]), "\n")-1)
		if j.Count() != want {
			t.Fatalf("cut at %d: %d lines, want %d", cut, j.Count(), want)
		}
		if err := j.Add([]int{50}); err != nil {
			t.Fatal(err)
		}
		if again := journal(t, path); again.Count() != want+1 || !again.Sent(50) {
			t.Fatalf("cut at %d: what was added after is lost", cut)
		}
	}
}

func TestAJournalOfAnotherPlanIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "plan.sent")
	journal(t, path)
	if _, err := campaign.OpenJournal(path, &campaign.Header{Count: 100, Digest: "sha256:two"}); err == nil || !strings.Contains(err.Error(), "not of this plan") {
		t.Error(err)
	}
}
