package simulation

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// within is how many seeds the check has to find a mutation.
const within = 500

var (
	mutate = flag.String("mutation", "", "the one mutation of TestMutations to make")
	hunt   = flag.Uint64("hunt", 0, "TestHunt runs so many seeds at most, until one violates something")
)

// mutation is a mistake that a worker of this kind could well make: one edit or more of its own
// code, made for one build of this package's tests by go test's -overlay.
type mutation struct {
	name  string
	edits []edit
}

// edit replaces a snippet, which must stand in the file exactly once.
type edit struct{ file, old, new string }

// mutations are those that the simulation must find. Where the code has changed, write the same
// mistake into what it has become.
var mutations = []mutation{
	{"go on with a claim that another worker has taken over", []edit{
		{"worker/pipeline/claims.go", "	\"context\"\n", "	\"context\"\n	\"errors\"\n"},
		{"worker/pipeline/claims.go", "	err := do()\n", "	err := do()\n	if errors.Is(err, ledger.ErrFenced) {\n		err = nil\n	}\n"},
		{"worker/pipeline/execution.go", "x.lost.Load(); why != nil {", "x.lost.Load(); why != nil && false {"},
	}},
	{"publish before complete", []edit{
		{"worker/pipeline/disposition.go", "		if err := p.claims.complete(", "		_ = p.o.Publish(ctx, d.outcome)\n		if err := p.claims.complete("},
	}},
	{"delete before publish", []edit{
		{"worker/pipeline/disposition.go", "	if err := p.o.Publish(ctx, d.outcome); err != nil {", `	if d.mark == nil {
		go func() { _ = p.o.Publish(context.WithoutCancel(ctx), d.outcome) }()
		l.Delete()
		return
	}
	if err := p.o.Publish(ctx, d.outcome); err != nil {`},
	}},
	{"count a throttle as a failed try, of which three are enough", []edit{
		{"worker/pipeline/target.go", "	a := t.answer\n	if a.Err == nil {\n		t.taken", `	a := t.answer
	if a.Err != nil && a.Err.Class == handlers.Throttled {
		t.execution.mu.Lock()
		defer t.execution.mu.Unlock()
		if t.execution.attempts.Throttled >= 3 {
			t.refusal = a.Err
			return lane.Done
		}
		return lane.Throttled
	}
	if a.Err == nil {
		t.taken`},
	}},
	{"take the failed entries of a batch that was published for published", []edit{
		{"worker/results/send.go", `errs[i] = &againError{why: fmt.Errorf("%s: %s", code, text), alone: true}`, "errs[i] = nil"},
	}},
	{"authorize before the ledger is asked", []edit{
		{"worker/pipeline/pipeline.go", "	found, err := p.claims.claim(ctx, &ledger.Entry{", `	early := &claimed{Claim: &ledger.Claim{Token: ledger.Token{Key: c.Key()}}}
	x.begin(early, time.Now().Add(p.o.Patience), p.handlers)
	if d := p.authorize(ctx, x); d == nil && x.barred != nil && len(x.open()) == 0 {
		o, _ := p.describe(x, "", "")
		return &disposition{kind: repeating, outcome: o}
	}
	x.targets, x.claimed = nil, false
	found, err := p.claims.claim(ctx, &ledger.Entry{`},
	}},
	{"forget progress when a message is deferred", []edit{
		{"worker/pipeline/claims.go", "p ledger.Progress) error {\n	return c.insist", "p ledger.Progress) error {\n	p = ledger.Progress{}\n	return c.insist"},
	}},
	{"delete the received copy before the deferred one is sent", []edit{
		{"worker/queue/settle.go", "	sends, first := s.sendsTo(url), true\n", `	sends, first := s.sendsTo(url), true
	if !s.persist(l, doing, func(receipt string) error { return cmp.Or(l.sub.requests.deletes.Do(s.settling, receipt)) }) {
		return
	}
`},
	}},
	{"believe any error: take the code of whatever errors.As finds", []edit{
		{"handlers/origin.go", "	var before nothingSent\n", `	var api apiError
	if errors.As(err, &api) && api.ErrorCode() != "" {
		t := traceOf(err, FromService)
		t.id = "believed"
		var r response
		if errors.As(err, &r) {
			t.status = r.HTTPStatusCode()
		}
		return t
	}
	var before nothingSent
`},
	}},
	{"probe the same target: open for any ten failures, and probe what has failed", []edit{
		{"worker/lane/aside.go", "l.breaker.failed+1 >= downAfter && l.causes < causesLeast", "l.breaker.failed+1 >= downAfter && l.causes < 0"},
		{"worker/lane/schedule.go", "			due = -float64(k.failures()) + due/(1+due)\n", `			if k.failures() == 0 && len(l.delayed) > 0 {
				continue
			}
`},
	}},
	{"believe the attribute of a deferred copy without its HMAC", []edit{
		{"worker/queue/defer.go", "err != nil || !hmac.Equal(mac, c.mac(key, aws.ToString(m.Body)))", "err != nil && hmac.Equal(mac, c.mac(key, aws.ToString(m.Body)))"},
	}},
	{"believe the first absence", []edit{
		{"worker/pipeline/target.go", "t.isDue || t.mayBeStale(a.Status, asked) {", "t.isDue {"},
	}},
	{"believe acceptance: look for no proof", []edit{
		{"worker/pipeline/proof.go", "a.Status == handlers.Accepted && x.confirm > 0 && now", "a.Status == handlers.Accepted && x.confirm > 24*time.Hour && now"},
	}},
	{"believe acceptance: what was taken has stopped", []edit{
		{"worker/pipeline/proof.go", "		t.end(a)\n", "		if a.Status == handlers.Accepted {\n			a.Status = handlers.Cancelled\n		}\n		t.end(a)\n"},
	}},
	{"escalate twice: call again what AWS has answered", []edit{
		{"worker/pipeline/target.go", "return t.escalation != ledger.EscalationBegun && (", "return t.escalation == \"\" && ("},
	}},
	{"escalate before its time", []edit{
		{"worker/pipeline/proof.go", "!now.Before(x.firstAccepted(now).Add(x.command.Escalate))", "!now.Before(x.firstAccepted(now).Add(x.command.Escalate / 2))"},
	}},
	{"end by a foreign event: look neither at its account nor at its region", []edit{
		{"worker/pipeline/events.go", `return service + "/" + at.Account + "/" + at.Region + "/" + id`, `return service + "/" + id`},
	}},
	{"believe an event of before the cancel", []edit{
		{"worker/pipeline/events.go", "isSeen = isSeen && !e.At.Add(eventGrain).Before(t.calledAt)", "isSeen = isSeen && !e.At.IsZero()"},
	}},
	{"believe a FAILED job's event whatever its reason", []edit{
		{"handlers/batch/event.go", `!stopped || e.Reason == ours && ours != ""`, `!stopped || ours != "" || e.Reason == ""`},
	}},
}

// TestMutations shows that the check can fail: with a mistake made, it does, soon. It builds these
// tests anew for each mutation, and runs where RESCIND_MUTATIONS is set.
func TestMutations(t *testing.T) {
	if os.Getenv("RESCIND_MUTATIONS") == "" && *mutate == "" {
		t.Skip("NOT TESTED: that the simulation finds each mutation; RESCIND_MUTATIONS=1 tests it")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutations {
		if *mutate != "" && *mutate != m.name {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			seed := m.find(t, root)
			if found := check(runSeed(t, seed)); len(found) > 0 {
				t.Errorf("seed %d violates something without the mutation too: %s", seed, found[0])
			}
		})
	}
}

var violatedBy = regexp.MustCompile(`violated by seed (\d+): (.*)`)

// find builds the tests with a mutation, runs seeds until one finds it, and returns that one.
func (m mutation) find(t *testing.T, root string) uint64 {
	t.Helper()
	began, dir := time.Now(), t.TempDir()
	binary := filepath.Join(dir, "simulation.test")
	output(t, root, "go", "test", "-c", "-overlay", m.overlay(t, root, dir), "-o", binary, "github.com/rescindhq/rescind/worker/simulation")
	said := output(t, filepath.Join(root, "worker/simulation"), binary, "-test.run", "^TestHunt$", "-test.v", "-test.timeout", "10m", "-hunt", strconv.Itoa(within))
	found := violatedBy.FindStringSubmatch(said)
	if found == nil {
		t.Fatalf("not found within %d seeds:\n%s", within, said)
	}
	seed, err := strconv.ParseUint(found[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("found by seed %d in %s: %s", seed, time.Since(began).Round(time.Second), found[2])
	return seed
}

// overlay writes what go build reads in place of the files of a mutation.
func (m mutation) overlay(t *testing.T, root, dir string) string {
	t.Helper()
	replace := map[string]string{}
	texts := map[string]string{}
	for _, e := range m.edits {
		text, again := texts[e.file]
		if !again {
			whole, err := os.ReadFile(filepath.Join(root, e.file))
			if err != nil {
				t.Fatal(err)
			}
			text = string(whole)
		}
		if n := strings.Count(text, e.old); n != 1 {
			t.Fatalf("%s has the snippet %d times, and must have it once:\n%s", e.file, n, e.old)
		}
		texts[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	for file, text := range texts {
		mutant := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(mutant, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(root, file)] = mutant
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// output runs a command in the module, and returns what it printed.
func output(t *testing.T, root, name string, args ...string) string {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 15*time.Minute)
	defer stop()
	c := exec.CommandContext(ctx, name, args...)
	c.Dir = root
	said, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, bytes.TrimSpace(said))
	}
	return string(said)
}

// TestHunt runs seeds until one violates something, and fails where none does. TestMutations runs
// it in a process of its own.
func TestHunt(t *testing.T) {
	if *hunt == 0 {
		t.Skip("a tool, and no test: -hunt 500 looks for a seed that violates something")
	}
	const chunk = 8
	for from := *first; from < *first+*hunt; from += chunk {
		var mu sync.Mutex
		found := ""
		t.Run("seeds", func(t *testing.T) {
			for seed := from; seed < from+chunk; seed++ {
				t.Run(fmt.Sprint(seed), func(t *testing.T) {
					t.Parallel()
					v := check(runSeed(t, seed))
					mu.Lock()
					defer mu.Unlock()
					if len(v) > 0 && found == "" {
						found = fmt.Sprintf("violated by seed %d: %s", seed, v[0])
					}
				})
			}
		})
		if found != "" {
			t.Log(found)
			return
		}
	}
	t.Errorf("no violation within %d seeds", *hunt)
}
