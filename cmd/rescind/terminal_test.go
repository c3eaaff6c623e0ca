package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/creack/pty"
	"go.uber.org/zap"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/internal/demo"
	"github.com/rescindhq/rescind/internal/terminal"
	"github.com/rescindhq/rescind/worker/outcome"
)

// hostile has what must not reach a terminal: characters that move its cursor, hide text, turn it round or
// break a line.
const hostile = "\u009b2J\u0085\u007f\u202e\u2066\u2028\u200b\x1b[8m\ue000"

// size is that of a terminal.
type size struct{ columns, rows uint16 }

var sizes = []size{{80, 24}, {120, 40}, {200, 50}}

// fits draws on a screen and checks that no line is wider than it. It returns what was drawn.
func fits(t *testing.T, width int, draw func(screen)) string {
	t.Helper()
	var b strings.Builder
	draw(screen{Writer: &b, width: width, moves: true, colours: true})
	for line := range strings.Lines(b.String()) {
		if n := terminal.Width(strings.TrimRight(line, "\n")); n > width {
			t.Errorf("%d columns on a terminal of %d: %s", n, width, line)
		}
	}
	return b.String()
}

// tty is a real terminal, and what was drawn on it.
type tty struct {
	*testing.T
	size
	file *os.File // to write to
	keys *os.File // what is typed
	read sync.WaitGroup
	mu   sync.Mutex
	more sync.Cond // there is more in raw
	raw  strings.Builder
	// lines are what is on the screen and above it, and row is where the cursor is; it is at the beginning
	// of a line between two writes.
	lines []string
	row   int
	// sequences counts colours and movements.
	colours, movements int
}

// onTerminal runs a function with a terminal and then reads what it has drawn.
func onTerminal(t *testing.T, s size, use func(*tty)) *tty {
	t.Helper()
	control, file, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer control.Close()
	if err := pty.Setsize(control, &pty.Winsize{Cols: s.columns, Rows: s.rows}); err != nil {
		t.Fatal(err)
	}
	d := &tty{T: t, size: s, file: file, keys: control, lines: []string{""}}
	d.more.L = &d.mu
	d.read.Go(func() {
		_, _ = io.Copy(writes(func(p []byte) { // it ends with an error when the last writer closes
			d.mu.Lock()
			defer d.mu.Unlock()
			d.raw.Write(p)
			d.more.Broadcast()
		}), control)
	})
	use(d)
	if err := file.Close(); err != nil {
		t.Error(err)
	}
	d.read.Wait()
	d.draw()
	return d
}

// waits waits until something was drawn, and returns what a pattern's first group matches in it.
func (d *tty) waits(pattern string) string {
	d.Helper()
	late := false
	defer time.AfterFunc(30*time.Second, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		late = true
		d.more.Broadcast()
	}).Stop()
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		if m := regexp.MustCompile(pattern).FindStringSubmatch(d.raw.String()); m != nil {
			return m[len(m)-1]
		}
		if late {
			d.Errorf("%q does not come; last:\n%.3000s", pattern, d.raw.String())
			return ""
		}
		d.more.Wait()
	}
}

// during runs a command line on the terminal until a function returns.
func (d *tty) during(do func(), args ...string) {
	d.Helper()
	ctx, stop := context.WithCancel(d.Context())
	ended := make(chan int, 1)
	go func() { ended <- d.run(ctx, args...) }()
	do()
	stop()
	if code := <-ended; code != exitDone {
		d.Errorf("%v ends with %d", args, code)
	}
}

// run runs a command line on the terminal.
func (d *tty) run(ctx context.Context, args ...string) int {
	return run(ctx, args, streams{strings.NewReader(""), d.file, d.file})
}

var sequence = regexp.MustCompile(`^\x1b\[(\d*(?:;\d+)*)([A-Za-z])`)

// draw does what a terminal does, and fails the test if a line is wider than the screen, the cursor is
// moved to a line that may have scrolled off the screen, or there is a character that we do not mean.
func (d *tty) draw() {
	d.Helper()
	text := strings.ReplaceAll(d.raw.String(), "\r\n", "\n")
	for len(text) > 0 {
		if m := sequence.FindStringSubmatch(text); m != nil {
			d.control(m[1], m[2])
			text = text[len(m[0]):]
			continue
		}
		r, n := utf8.DecodeRuneInString(text)
		switch {
		case r == '\n':
			if d.row++; d.row == len(d.lines) {
				d.lines = append(d.lines, "")
			}
		case !unicode.IsGraphic(r), r == utf8.RuneError && n == 1:
			d.Fatalf("the terminal gets %q in %q", text[:n], d.lines[d.row])
		default:
			if d.lines[d.row] += string(r); terminal.Width(d.lines[d.row]) > int(d.columns) {
				d.Fatalf("wider than %d columns: %s", d.columns, d.lines[d.row])
			}
		}
		text = text[n:]
	}
}

// control does what a sequence asks for.
func (d *tty) control(number, letter string) {
	d.Helper()
	n, _ := strconv.Atoi(number) // a colour may have several
	switch letter {
	case "m":
		d.colours++
	case "A":
		d.movements++
		if d.row -= n; d.row < 0 || n >= int(d.rows) {
			d.Fatalf("%d lines up, on a screen of %d", n, d.rows)
		}
	case "J":
		d.lines = d.lines[:d.row+1]
		d.lines[d.row] = ""
	default:
		d.Fatalf("a sequence that is not known: %s%s", number, letter)
	}
}

// matching returns the lines that match a pattern.
func (d *tty) matching(pattern string) []string {
	return slices.DeleteFunc(slices.Clone(d.lines), func(line string) bool { return !regexp.MustCompile(pattern).MatchString(line) })
}

// TestDemoOnATerminal: bars are drawn in place while the demo runs, and remain once.
func TestDemoOnATerminal(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "xterm")
	d := onTerminal(t, sizes[0], func(d *tty) {
		if code := d.run(t.Context(), "demo", "--targets=60"); code != exitDone {
			t.Errorf("exit %d", code)
		}
	})
	d.hasBars(append(demo.Services(), "total"), true)
	if d.movements < 10 || d.colours == 0 {
		t.Errorf("the bars were drawn again %d times; %d colours", d.movements, d.colours)
	}
}

// hasBars checks that a bar of each name remains on the terminal, or none does.
func (d *tty) hasBars(names []string, want bool) {
	d.Helper()
	for _, name := range names {
		if n := len(d.matching("^" + name + " +[0-9]+/[0-9]+")); (n == 1) != want || n > 1 {
			d.Errorf("%d bars of %s remain:\n%s", n, name, strings.Join(d.lines, "\n"))
		}
	}
}

// TestProgressOnTerminals: bars and colours follow the terminal's width, NO_COLOR and TERM.
func TestProgressOnTerminals(t *testing.T) {
	report := &demo.Report{
		Commands: 1, Sum: 1, Total: map[handlers.Status]int{handlers.Cancelled: 1},
		Outcomes: map[string]map[handlers.Status]int{"batch": {handlers.Cancelled: 1}},
	}
	for _, row := range []struct {
		size
		noColor, term string
		colours, bars bool
	}{
		{size{40, 10}, "", "xterm", true, true},
		{sizes[0], "", "xterm", true, true},
		{sizes[0], "", "dumb", false, false},
		{sizes[1], "1", "xterm", false, true},
		{sizes[2], "", "xterm", true, true},
	} {
		t.Run(fmt.Sprintf("%dx%d NO_COLOR=%s TERM=%s", row.columns, row.rows, row.noColor, row.term), func(t *testing.T) {
			t.Setenv("NO_COLOR", row.noColor)
			t.Setenv("TERM", row.term)
			d := onTerminal(t, row.size, func(d *tty) {
				p := demo.Progress{Elapsed: 9999 * time.Second}
				for _, name := range demo.Services() {
					p.Services = append(p.Services, demo.ServiceProgress{Name: name, Commands: 999_999, Calls: 999_999, Throttled: 99_999, Failed: 9_999})
				}
				var done atomic.Bool
				stop := showProgress(t.Context(), screenOf(d.file), func() demo.Progress {
					now := demo.Progress{Elapsed: p.Elapsed, Services: slices.Clone(p.Services)}
					for i := range now.Services {
						if now.Services[i].Outcomes = 500_000; done.Load() {
							now.Services[i].Outcomes = 999_999
						}
					}
					return now
				}, false)
				if row.bars {
					d.waits("500000/999999")
				}
				done.Store(true)
				stop()
				printReport(screenOf(d.file), report)
			})
			d.hasBars(append(demo.Services(), "total"), row.bars)
			if got := d.colours > 0; got != row.colours {
				t.Errorf("colours: %t, want %t", got, row.colours)
			}
			if got := d.movements > 0; got != row.bars {
				t.Errorf("lines are drawn again: %t, want %t", got, row.bars)
			}
		})
	}
}

// TestDevAndSendOnTerminals: outcomes are lines for people, whatever commands say.
func TestDevAndSendOnTerminals(t *testing.T) {
	for _, size := range sizes {
		t.Run(fmt.Sprintf("%dx%d", size.columns, size.rows), func(t *testing.T) {
			unconfigured(t)
			d := onTerminal(t, size, func(d *tty) {
				d.during(func() {
					t.Setenv("AWS_ENDPOINT_URL", d.waits(`endpoint +(http://\S+)`))
					t.Setenv("RESCIND_QUEUE_URL", d.waits(`queue +(http://\S+)`))
					d.waits("Outcomes are printed")
					for _, args := range [][]string{
						{"--id=one", "--account=999999999999", "--action=batch:CancelJob", "-p", "jobId=" + hostile, "--reason", hostile},
						{"--id=two", "--account=999999999999", "--action=swf:TerminateWorkflowExecution", "-p", "domain=orders", "-p", "workflowId=a" + hostile + strings.Repeat("生命", 50)},
					} {
						if code := d.run(t.Context(), append([]string{"send"}, args...)...); code != exitDone {
							t.Errorf("%q: exit %d", args, code)
						}
					}
					for _, args := range [][]string{
						{"send", "--action=batch:CancelJob" + hostile, "-p", "jobId=x"},
						{"send", "--action=batch:CancelJob", "-p", "jobId" + hostile + "=x"},
						{"send", "--action=batch:CancelJob", "-p", "jobId=x", "--id=" + hostile},
						{"send", "no-such-file" + hostile}, {"send", "--flag" + hostile},
						{"demo", "--targets=" + hostile}, {"schema", hostile}, {hostile},
						{"worker", "--results-topic-arn=x", "--admin-addr=127.0.0.1:0", "--quotas=" + hostile},
					} {
						if code := d.run(t.Context(), args...); code != exitMisused {
							t.Errorf("%q: exit %d", args, code)
						}
					}
					d.waits(`\d\d:\d\d:\d\d .*\n(?s:.*)\d\d:\d\d:\d\d  `)
				}, "dev", "--addr=127.0.0.1:0", "--admin-addr=127.0.0.1:0")
				for _, args := range [][]string{{"--help"}, {"demo", "--help"}, {"dev", "--help"}, {"sim", "--help"}, {"version"}} {
					if code := d.run(t.Context(), args...); code != exitDone {
						t.Errorf("%q: exit %d", args, code)
					}
				}
			})
			if got := d.matching(`^\d\d:\d\d:\d\d  denied `); len(got) != 2 {
				t.Errorf("the outcomes are %q, want one for each command that was sent", got)
			}
			if got := d.matching(`\\u202e`); len(got) < 9 {
				t.Errorf("what was turned round is shown %d times, want once for each error", len(got))
			}
		})
	}
}

// TestDevPrintsJSONWhereAsked: on a terminal too.
func TestDevPrintsJSONWhereAsked(t *testing.T) {
	unconfigured(t)
	d := onTerminal(t, size{4000, 24}, func(d *tty) {
		d.during(func() {
			t.Setenv("AWS_ENDPOINT_URL", d.waits(`endpoint +(http://\S+)`))
			t.Setenv("RESCIND_QUEUE_URL", d.waits(`queue +(http://\S+)`))
			d.run(t.Context(), "send", "--id=one", "--account=999999999999", "--action=batch:CancelJob", "-p", "jobId="+hostile)
			d.waits(`"commandId":"one".*\n`)
		}, "dev", "--json", "--addr=127.0.0.1:0", "--admin-addr=127.0.0.1:0")
	})
	got := d.matching(`"commandId":"one"`)
	if len(got) != 1 {
		t.Fatalf("lines of JSON: %q", got)
	}
	e, err := outcome.Parse([]byte(got[0]))
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Data.Targets) != 1 || e.Data.Targets[0].ID != hostile {
		t.Errorf("the target is %+v, want %q", e.Data.Targets, hostile)
	}
}

// TestWorkerOnTerminals: the worker's log, and why it does not start.
func TestWorkerOnTerminals(t *testing.T) {
	for _, size := range sizes {
		t.Run(fmt.Sprintf("%dx%d", size.columns, size.rows), func(t *testing.T) {
			unconfigured(t)
			env, err := demo.NewEnvironment(t.Context(), "127.0.0.1:0", awssim.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer env.Close()
			t.Setenv("AWS_ENDPOINT_URL", env.URL)
			worker := []string{"worker", "--queue-url=" + env.QueueURL, "--admin-addr=127.0.0.1:0", "--log-level=debug"}
			d := onTerminal(t, size, func(d *tty) {
				d.during(func() {
					d.waits("taking commands")
					if err := env.Sim.Send(env.QueueURL, `{"account":"999999999999","action":"batch:CancelJob","parameters":{"jobId":"`+"\u202e\u009b"+`"}}`, "unreadable \u2028"); err != nil {
						t.Error(err)
					}
					published := 0
					ctx, enough := context.WithCancel(t.Context())
					if err := env.Follow(ctx, func(string) error {
						if published++; published == 2 {
							enough()
						}
						return nil
					}); err != nil {
						t.Error(err)
					}
				}, append(worker, "--results-topic-arn="+env.TopicARN, "--ledger=bolt:"+t.TempDir()+"/ledger.db")...)
				if code := d.run(t.Context(), append(worker, "--results-topic-arn="+env.TopicARN, "--ledger="+hostile)...); code != exitMisused {
					t.Errorf("exit %d", code)
				}
			})
			if len(d.matching("RESCIND_LEDGER must be")) != 1 || len(d.matching("^ +.*RESCIND_RESULTS|^20.*INFO  taking commands")) == 0 {
				t.Errorf("the terminal has %q", d.lines)
			}
		})
	}
}

func TestOutcomeLines(t *testing.T) {
	at := time.Date(2026, 11, 29, 14, 1, 24, 0, time.Local)
	job := outcome.Target{ID: "298c97ae-238b-4f68-97e3-8386068efe57", Status: handlers.Cancelled, After: "FAILED"}
	refused := outcome.Target{ID: "nope", Status: handlers.Denied, Message: "account 999999999999 is not the worker's own (123456789012)"}
	rows := []struct {
		d        outcome.Data
		at80     string
		at120    string
		onlyFits bool
	}{
		{d: outcome.Data{Action: "batch:CancelJob", Status: handlers.Cancelled, Targets: []outcome.Target{job}},
			at80:  "14:01:24  cancelled          batch:CancelJob  298c97ae-238b-4f68-…  state FAILED",
			at120: "14:01:24  cancelled          batch:CancelJob              298c97ae-238b-4f68-97e3-8386068efe57  state FAILED"},
		{d: outcome.Data{Action: "batch:CancelJob", Status: handlers.Denied, Targets: []outcome.Target{refused}},
			at80:  "14:01:24  denied             batch:CancelJob  nope  account 999999999999 is not…",
			at120: "14:01:24  denied             batch:CancelJob              nope  account 999999999999 is not the worker's own (123456789…"},
		{d: outcome.Data{Action: "emr:CancelSteps", Status: handlers.Partial, Targets: []outcome.Target{{ID: "s-1"}}, TargetsOmitted: 2,
			Counts: map[handlers.Status]int{handlers.Accepted: 1, handlers.NotFound: 2}},
			at80:  "14:01:24  partial            emr:CancelSteps  3 targets: s-1  1 accepted, 2 not…",
			at120: "14:01:24  partial            emr:CancelSteps              3 targets: s-1                        1 accepted, 2 not_found"},
		{d: outcome.Data{Action: "batch:CancelJob", Status: handlers.DryRun, Targets: []outcome.Target{{ID: "nope", Before: "RUNNING", Prediction: handlers.NotCancellable}}},
			at80:  "14:01:24  dry_run            batch:CancelJob  nope  would be not_cancellable, s…",
			at120: "14:01:24  dry_run            batch:CancelJob              nope  would be not_cancellable, state RUNNING"},
		{d: outcome.Data{Action: "emr:CancelSteps", Status: handlers.DryRun, Targets: []outcome.Target{
			{ID: "s-1", Before: "PENDING", Prediction: handlers.Accepted}, {ID: "s-2", Before: "COMPLETED", Prediction: handlers.NotCancellable}}},
			at80:  "14:01:24  dry_run            emr:CancelSteps  2 targets: s-1  would be 1 accept…",
			at120: "14:01:24  dry_run            emr:CancelSteps              2 targets: s-1  would be 1 accepted, 1 not_cancellable"},
		{d: outcome.Data{MessageID: "9f352e60", Status: handlers.Invalid, Message: "not JSON"},
			at80:  "14:01:24  invalid            (unreadable)     9f352e60  not JSON",
			at120: "14:01:24  invalid            (unreadable)                 9f352e60                              not JSON"},
		{d: outcome.Data{Action: handlers.Action(hostile), CommandID: hostile, Status: handlers.Invalid, Message: strings.Repeat(hostile, 99)}, onlyFits: true},
		{d: outcome.Data{Action: "swf:RequestCancelWorkflowExecution", Status: handlers.AlreadyCancelled, Verdict: handlers.Stopped,
			Targets: []outcome.Target{{ID: strings.Repeat("生命", 500), Message: strings.Repeat("生命", 500)}}}, onlyFits: true},
	}
	for _, row := range rows {
		row.d.FinishedAt = at
		for _, width := range []int{20, 40, 80, 120, 200} {
			line := fits(t, width, func(s screen) { fmt.Fprint(s, outcomeLine(s, &row.d)) })
			if strings.ContainsFunc(strings.ReplaceAll(line, "\x1b", ""), func(r rune) bool { return !unicode.IsGraphic(r) }) {
				t.Errorf("the terminal gets %q", line)
			}
			want := map[int]string{80: row.at80, 120: row.at120}[width]
			if want != "" && line != want {
				t.Errorf("in %d columns\n%s\nwant\n%s", width, line, want)
			}
		}
	}
}

// TestProblemsAreSafe: what the demo finds wrong quotes commands.
func TestProblemsAreSafe(t *testing.T) {
	d := onTerminal(t, sizes[0], func(d *tty) {
		fmt.Fprintln(streams{err: d.file}.safe().err, (&demo.Report{Problems: []string{"no outcome for " + hostile, "no outcome for another"}}).Err())
	})
	if len(d.matching("^problems: 2$")) != 1 || len(d.matching("^no outcome for ")) != 2 {
		t.Errorf("the terminal has %q", d.lines)
	}
}

// TestLogLinesAreSafe: a log for people has nothing that a terminal acts on, on a terminal or in a file.
func TestLogLinesAreSafe(t *testing.T) {
	for _, format := range []string{"console", "json"} {
		var b strings.Builder
		log := newLogger(streams{err: &b}.safe(), "info", format)
		log.Info("a message "+hostile, zap.String("id", hostile), zap.Error(fmt.Errorf("AWS says %s", hostile)))
		line, ended := strings.CutSuffix(b.String(), "\n")
		if !ended || strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsGraphic(r) }) {
			t.Errorf("a log in %s has %q", format, line)
		}
	}
}
