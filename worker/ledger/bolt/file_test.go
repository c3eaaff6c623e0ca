package bolt_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/ledger/bolt"
)

// filled is the bytes of a ledger of some hundred commands.
func filled(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ledger.db")
	l := open(t, path, bolt.Options{NoSync: true})
	for i := range 300 {
		c, err := l.Claim(t.Context(), ledger.Entry{Key: fmt.Sprint(i), Targets: []string{"t"}}, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if i%3 > 0 {
			if err := l.Complete(t.Context(), c.Token, []byte(strings.Repeat("outcome", 50))); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return whole
}

// A file that is cut short, wherever, is refused with its name and what to do; bbolt maps it and the
// process died of it.
func TestOpenRefusesWhatIsCutShort(t *testing.T) {
	whole := filled(t)
	path := filepath.Join(t.TempDir(), "cut.db")
	opened := 0
	for size := len(whole) - 1; size > 0; size -= 1500 {
		if err := os.WriteFile(path, whole[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := bolt.Open(path, bolt.Options{NoSync: true})
		if err != nil {
			refused(t, path, whole[:size])
			continue
		}
		// What bbolt keeps beyond its last page is not missed.
		opened++
		for i := range 300 {
			c, err := l.Claim(t.Context(), ledger.Entry{Key: fmt.Sprint(i), Targets: []string{"t"}}, time.Minute)
			if err != nil || (c.State == ledger.Ended) != (i%3 > 0) {
				t.Fatalf("of %d bytes, claiming %d: %+v, %v", size, i, c, err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if opened*1500 > len(whole)/2 {
		t.Errorf("%d of %d cut files were opened", opened, len(whole)/1500)
	}
	for _, size := range []int{1, 15, 79, 80, 4095, 4096, 4097, 8191, 8192, 12288} {
		refused(t, path, whole[:size])
	}
}

// Pages that hold something else are an error too, and no panic, when the file is opened or used.
func TestBrokenPagesAreAnError(t *testing.T) {
	whole := filled(t)
	page := os.Getpagesize()
	path := filepath.Join(t.TempDir(), "broken.db")
	said := 0
	for at := 0; at < len(whole); at += page {
		for _, fill := range []byte{0, 0xFF, 'x'} {
			spoilt := append([]byte(nil), whole...)
			for i := at; i < min(at+page, len(spoilt)); i++ {
				spoilt[i] = fill
			}
			if err := os.WriteFile(path, spoilt, 0o600); err != nil {
				t.Fatal(err)
			}
			l, err := bolt.Open(path, bolt.Options{NoSync: true})
			if err != nil {
				said++
				if !strings.Contains(err.Error(), path) {
					t.Errorf("page %d full of %#x: %v does not name the file", at/page, fill, err)
				}
				_ = os.Remove(path)
				continue
			}
			_, _ = l.Claim(t.Context(), ledger.Entry{Key: "new"}, time.Minute)
			_ = os.Remove(path)
			_ = l.Close()
		}
	}
	if said == 0 {
		t.Error("no broken page was noticed at opening")
	}
}

// A file that is cut while it is open is an error of each call; the process goes on.
func TestCutWhileOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	if err := os.WriteFile(path, filled(t), 0o600); err != nil {
		t.Fatal(err)
	}
	l := open(t, path, bolt.Options{NoSync: true})
	if err := os.Truncate(path, int64(os.Getpagesize())); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Claim(t.Context(), ledger.Entry{Key: "new"}, time.Minute); err == nil {
		t.Error("a claim in a file that is not there any more succeeded")
	}
}

func refused(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := bolt.Open(path, bolt.Options{NoSync: true})
	if err == nil {
		_ = l.Close()
		t.Fatalf("a file of %d bytes was opened", len(content))
	}
	if msg := err.Error(); !strings.Contains(msg, path) || !strings.Contains(msg, "move it aside") {
		t.Errorf("%d bytes: %q does not name the file and what to do", len(content), msg)
	}
}
