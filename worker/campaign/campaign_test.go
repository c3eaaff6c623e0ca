package campaign_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"go.uber.org/goleak"

	"github.com/rescindhq/rescind/worker/campaign"
	"github.com/rescindhq/rescind/worker/command"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const account, region = "123456789012", "us-east-1"

// cancel is a line that cancels a Batch job.
func cancel(t testing.TB, name string, job int) []byte {
	t.Helper()
	c := campaign.Command{
		Action: "batch:CancelJob", Account: account, Region: region, Campaign: name, Reason: "over budget",
		Parameters: jsontext.Value(fmt.Sprintf(`{"jobId":"job-%d"}`, job)),
	}
	line, err := c.Line()
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// written is a plan of n jobs, in a folder of its own.
func written(t testing.TB, n int) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "over-budget.plan.jsonl")
	w, err := campaign.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := w.Add(cancel(t, "over-budget", i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the file has its name before it is whole")
	}
	h := campaign.Header{
		Campaign: "over-budget", Service: "batch", Account: account, Region: region, By: "arn:aws:iam::123456789012:user/ann",
		Created: time.Date(2026, 11, 30, 7, 15, 0, 0, time.UTC), Listed: 2 * n, Counts: map[string]int{"RUNNABLE": n},
		Selection: map[string][]string{"queue": {"nightly"}}, Limits: campaign.Limits{Max: 1000},
	}
	if err := w.Finish(&h); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	for _, n := range []int{0, 1, 3, 500} {
		path := written(t, n)
		plan, err := campaign.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if h := plan.Header; h.Count != n || h.Listed != 2*n || h.Counts["RUNNABLE"] != n || h.Campaign != "over-budget" {
			t.Errorf("%+v", h)
		}
		read := 0
		for line, err := range plan.Lines() {
			if err != nil || !bytes.Equal(line, cancel(t, "over-budget", read)) {
				t.Fatalf("line %d: %v %s", read, err, line)
			}
			read++
		}
		if read != n {
			t.Errorf("%d of %d lines", read, n)
		}
		if err := plan.Close(); err != nil {
			t.Error(err)
		}
		if left, _ := filepath.Glob(filepath.Dir(path) + "/*"); len(left) != 1 {
			t.Errorf("left behind: %v", left)
		}
	}
}

func TestAPlanIsNeverOverwritten(t *testing.T) {
	path := written(t, 1)
	if _, err := campaign.Create(path); !errors.Is(err, campaign.ErrExists) {
		t.Errorf("creating again: %v", err)
	}
	other := filepath.Join(t.TempDir(), "plan")
	w, err := campaign.Create(other)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(other, []byte("of somebody else"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.Finish(&campaign.Header{}); !errors.Is(err, campaign.ErrExists) {
		t.Errorf("finishing: %v", err)
	}
	if text, _ := os.ReadFile(other); string(text) != "of somebody else" {
		t.Errorf("it has %s", text)
	}
	if left, _ := filepath.Glob(filepath.Dir(other) + "/*"); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestDiscardLeavesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "plan")
	w, err := campaign.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Add(cancel(t, "x", 1)), w.Discard(), w.Discard()); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Dir(path) + "/*"); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestNoEditIsSent: whatever is changed in a plan, none of its lines comes out.
func TestNoEditIsSent(t *testing.T) {
	whole, err := os.ReadFile(written(t, 5))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(strings.TrimSuffix(string(whole), "\n"), "\n")
	without := func(i int) string {
		return strings.Join(append(append([]string{}, lines[:i]...), lines[i+1:]...), "") + "\n"
	}
	replaced := func(was, is string) string { return strings.Replace(string(whole), was, is, 1) }
	for _, row := range []struct{ about, text, says string }{
		{"an empty file", "", "its first line is cut short"},
		{"no plan at all", "hello\n", "is no header"},
		{"a command without a header", lines[1], "is no header"},
		{"a line less", without(3), "it has 4 commands, and its header says 5"},
		{"the header alone", lines[0], "it has 0 commands"},
		{"a line twice", string(whole) + lines[1], "it has 6 commands"},
		{"lines in another order", lines[0] + lines[2] + lines[1] + strings.Join(lines[3:], "") + "\n", "digest of its lines"},
		{"another target", replaced("job-3", "job-8"), "has the id"},
		{"another action", replaced("CancelJob", "TerminateJob"), "has the id"},
		{"another account", replaced(`"account":"123456789012","region":"us-east-1","reason"`, `"account":"999999999999","region":"us-east-1","reason"`), "another account"},
		{"another campaign", replaced(`"campaign":"over-budget"}`, `"campaign":"harmless"}`), "another campaign"},
		{"another reason", replaced("over budget", "under budget"), "digest of its lines"},
		{"another member", replaced(`{"id":`, `{"dryRun":false,"id":`), "is no command"},
		{"a higher limit", replaced(`"max":1000`, `"max":9000`), "its header does not have the digest"},
		{"a count that is less", replaced(`"count":5`, `"count":4`), "its header does not have the digest"},
		{"a space in the header", replaced(`{"plan":`, `{ "plan":`), "its header does not have the digest"},
		{"the last line cut", string(whole[:len(whole)-9]), "line 6 is cut short"},
		{"the last line without its end", string(whole[:len(whole)-1]), "line 6 is cut short"},
		{"a blank line", string(whole) + "\n", "line 7 is no command"},
		{"Windows line ends", strings.ReplaceAll(string(whole), "\n", "\r\n"), "digest"},
		{"a line without end", string(whole) + strings.Repeat("x", 1<<20), "has more than 512 KiB"},
	} {
		if _, err := campaign.Read(strings.NewReader(row.text)); err == nil || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: %v, want %q", row.about, err, row.says)
		}
	}
}

func TestIDs(t *testing.T) {
	of := func(c campaign.Command) string {
		id, err := c.MakeID()
		if err != nil || !command.MayBeID(id) {
			t.Fatalf("%q, %v", id, err)
		}
		return id
	}
	one := campaign.Command{Action: "iot:CancelJobExecution", Account: account, Region: region, Campaign: "c", Parameters: jsontext.Value(`{"jobId":"j","thingName":"t"}`)}
	same := one
	same.Parameters, same.Reason, same.Confirm = jsontext.Value(`{ "thingName":"t", "jobId":"j" }`), "another", "1m"
	if of(one) != of(same) {
		t.Error("the order of parameters, a reason or a confirm makes another id")
	}
	for _, change := range []func(*campaign.Command){
		func(c *campaign.Command) { c.Action = "iot:CancelJob" }, func(c *campaign.Command) { c.Account = "210987654321" },
		func(c *campaign.Command) { c.Region = "eu-west-1" }, func(c *campaign.Command) { c.Campaign = "d" },
		func(c *campaign.Command) { c.Parameters = jsontext.Value(`{"jobId":"j","thingName":"u"}`) },
	} {
		other := one
		if change(&other); of(one) == of(other) {
			t.Errorf("%+v has the same id", other)
		}
	}
	long := one
	if long.Campaign = strings.Repeat("c", campaign.MaxName); len(of(long)) != 128 {
		t.Errorf("the longest id has %d characters", len(of(long)))
	}
}

func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"batch-20261130T071500Z": true, "a": true, "v1.2:x_y-z": true, "cex": true, "ces": true, strings.Repeat("c", campaign.MaxName): true,
		"": false, "over budget": false, "-x": false, ".x": false, "ü": false, "a/b": false, strings.Repeat("c", campaign.MaxName+1): false,
		"ce": false, "sqs": false, "msg:x": false, "eb:1": false, "sns": false,
	} {
		if err := campaign.CheckName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestLimits(t *testing.T) {
	for _, row := range []struct {
		limits        campaign.Limits
		count, listed int
		flag          string
	}{
		{campaign.Limits{Max: 1000}, 1000, 5000, ""},
		{campaign.Limits{Max: 1000}, 1001, 5000, "--max"},
		{campaign.Limits{}, 1_000_000, 1_000_000, ""},
		{campaign.Limits{MaxPercent: 50}, 50, 100, ""},
		{campaign.Limits{MaxPercent: 50}, 51, 100, "--max-percent"},
		{campaign.Limits{MaxPercent: 50}, 0, 0, ""},
	} {
		err := row.limits.Hold(&campaign.Header{Count: row.count, Listed: row.listed})
		var beyond *campaign.LimitError
		if errors.As(err, &beyond) != (row.flag != "") || beyond != nil && beyond.Flag != row.flag {
			t.Errorf("%+v: %v", row, err)
		}
	}
}

// FuzzRead: whatever the bytes, reading ends, and a plan that is read gives as many commands as it says.
func FuzzRead(f *testing.F) {
	for _, n := range []int{0, 1, 3} {
		whole, err := os.ReadFile(written(f, n))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(whole)
		f.Add(whole[:len(whole)/2])
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		plan, err := campaign.Read(bytes.NewReader(text))
		if err != nil {
			return
		}
		n := 0
		for line, err := range plan.Lines() {
			var c campaign.Command
			if err != nil || json.Unmarshal(line, &c) != nil || c.Campaign != plan.Header.Campaign {
				t.Fatalf("%v %s", err, line)
			}
			n++
		}
		if n != plan.Header.Count {
			t.Errorf("%d lines, and the header says %d", n, plan.Header.Count)
		}
	})
}
