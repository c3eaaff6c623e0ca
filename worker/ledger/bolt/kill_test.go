package bolt_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/ledger/bolt"
)

// childEnv makes the test binary a process to be killed: it holds the path of the ledger and
// the prefix of its keys.
const childEnv = "RESCIND_TEST_BOLT_CHILD"

func TestMain(m *testing.M) {
	if args := os.Getenv(childEnv); args != "" {
		path, prefix, _ := strings.Cut(args, "|")
		child(path, prefix)
		return
	}
	goleak.VerifyTestMain(m)
}

// child takes commands through the ledger on many goroutines until it is killed, and prints
// each thing after the ledger said that it is stored: "claim KEY", "progress KEY", "end KEY".
func child(path, prefix string) {
	fmt.Println("start", prefix)
	l, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for n := 0; ; n++ {
				if err := run(l, fmt.Sprintf("%s.%d.%d", prefix, g, n)); err != nil {
					fmt.Println("error", err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func run(l *bolt.Ledger, key string) error {
	ctx := context.Background()
	c, err := l.Claim(ctx, ledger.Entry{Key: key, Campaign: "killed"}, time.Minute)
	if err != nil {
		return err
	}
	fmt.Println("claim", key)
	if err := l.Progress(ctx, ledger.Update{Token: c.Token, Progress: ledger.Progress{Begun: true}})[0]; err != nil {
		return err
	}
	fmt.Println("progress", key)
	if err := l.Complete(ctx, c.Token, outcomeOf(key)); err != nil {
		return err
	}
	fmt.Println("end", key)
	return nil
}

// outcomeOf is long enough, now and then, to take several pages.
func outcomeOf(key string) []byte {
	return bytes.Repeat([]byte(key), 1+len(key)*len(key)*len(key)%97)
}

// TestKilled kills a worker's process at random moments, from before its file exists on, and
// looks at what the next one finds: all that was acknowledged, in a sound file.
func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	acknowledged := map[string]string{} // the last thing that was printed of each key
	for round := range 12 {
		lines := 1 + rand.IntN(600)
		if round < 3 {
			lines = 1 // at its very beginning: it may be making the file
		}
		kill(t, path, strconv.Itoa(round), lines, acknowledged)
		if t.Failed() {
			return
		}
		verify(t, path, acknowledged)
	}
	t.Logf("%d commands were acknowledged in part or whole", len(acknowledged))
	if len(acknowledged) < 100 {
		t.Error("too few to show anything")
	}
}

// kill runs a child, kills it after it printed so many lines, and notes all that it printed.
func kill(t *testing.T, path, prefix string, lines int, acknowledged map[string]string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), childEnv+"="+path+"|"+prefix)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := bufio.NewScanner(out)
	for n := 1; s.Scan(); n++ {
		// Lines that were in the pipe when the process died count too: they were printed
		// after their call had returned. None is cut: a short write to a pipe is whole.
		what, key, _ := strings.Cut(s.Text(), " ")
		switch what {
		case "claim", "progress", "end":
			acknowledged[key] = what
		case "error":
			t.Errorf("the child failed: %s", key)
		}
		if n == lines {
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the child ended by itself")
	}
}

func verify(t *testing.T, path string, acknowledged map[string]string) {
	t.Helper()
	l := open(t, path, bolt.Options{NoSync: true})
	stored := map[string]ledger.Record{}
	if err := l.ByCampaign(t.Context(), "killed", func(r ledger.Record) bool { stored[r.Key] = r; return true }); err != nil {
		t.Error(err)
	}
	for key, what := range acknowledged {
		r, ok := stored[key]
		switch {
		case !ok:
			t.Errorf("%s: the %s was acknowledged and nothing is stored", key, what)
		case what == "end" && !r.Ended, what == "progress" && !r.Ended && !r.Progress.Begun:
			t.Errorf("%s: the %s was acknowledged and is not stored: %+v", key, what, r)
		case r.Ended && !bytes.Equal(r.Outcome, outcomeOf(key)):
			t.Errorf("%s: another outcome is stored: %q", key, r.Outcome)
		}
		if what != "end" {
			continue
		}
		if c, err := l.Claim(t.Context(), ledger.Entry{Key: key}, time.Minute); err != nil || c.State != ledger.Ended {
			t.Errorf("%s: claim finds %+v, %v", key, c, err)
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	inBbolt(t, path, func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			t.Error("the file is not sound:", err)
		}
		return nil
	})
}
