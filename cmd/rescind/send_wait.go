package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"go.uber.org/zap"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/command"
	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/outcome"
)

const (
	// readMost is how many commands one read is for: each has two keys, and DynamoDB reads 100 items at once.
	readMost = maxEndedKeys / 2
	// readEvery is the time between two reads, whatever the number of commands: four reads a second.
	readEvery = 250 * time.Millisecond
	// readAgain is the least time between two reads of one command.
	readAgain = time.Second
	// readBound is how long one read may take.
	readBound = 10 * time.Second
	// waitingEvery is how often the progress of waiting is printed.
	// A target that AWS does not know, or that is not stopped, is looked at for ten seconds before that is said.
	waitingEvery = 20 * time.Second
)

// outcomes is where the outcomes of commands are read.
type outcomes interface {
	// ended returns those that have ended among up to maxEndedKeys keys.
	ended(ctx context.Context, keys []string) ([]ledger.Record, error)
	close() error
}

// outcomeFlags say where outcomes are found.
type outcomeFlags struct {
	Ledger string `name:"ledger" env:"RESCIND_LEDGER" help:"Where outcomes are found: dynamodb:TABLE is read; otherwise the worker is asked, at --admin-addr."`
	Admin  string `name:"admin-addr" env:"RESCIND_ADMIN_ADDR" default:"127.0.0.1:9464" help:"Address of the worker that is asked for outcomes, unless --ledger names a table."`
}

// outcomes returns where the outcomes of commands on a queue are read, having tried it with one read of some keys, so that
// nothing is sent that could not be followed.
func (c *outcomeFlags) outcomes(ctx context.Context, cfg aws.Config, queue string, keys ...string) (outcomes, error) {
	var from outcomes = &fromWorker{addr: c.Admin, queue: queue, client: &http.Client{Timeout: readBound}}
	kind, _, _ := strings.Cut(c.Ledger, ":")
	switch kind {
	case "", "bolt": // the file is open in its worker, and nobody else can read it
	default:
		l, err := openLedger(ctx, cfg, c.Ledger, zap.NewNop())
		if err != nil {
			return nil, err
		}
		from = fromLedger{l}
	}
	if _, err := from.ended(ctx, keys); err != nil {
		return nil, errors.Join(err, from.close())
	}
	return from, nil
}

// fromLedger reads outcomes from a ledger that several may open.
type fromLedger struct{ ledger.Ledger }

func (l fromLedger) ended(ctx context.Context, keys []string) ([]ledger.Record, error) {
	return l.Ended(ctx, keys...)
}

func (l fromLedger) close() error { return l.Close() }

// fromWorker asks a worker for outcomes; see serveEnded.
type fromWorker struct {
	addr, queue string
	client      *http.Client
}

func (w *fromWorker) close() error {
	w.client.CloseIdleConnections()
	return nil
}

func (w *fromWorker) ended(ctx context.Context, keys []string) ([]ledger.Record, error) {
	answer, err := w.get(ctx, endedPath, url.Values{"key": keys})
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Close() }()
	body, err := io.ReadAll(answer)
	if err != nil {
		return nil, fmt.Errorf("reading the worker's answer: %w", err)
	}
	return w.read(body)
}

// get asks the worker, and returns the body of its answer, which is to be closed.
func (w *fromWorker) get(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.addr+path+"?"+query.Encode(), nil)
	if err != nil {
		return nil, misused("--admin-addr: %w", err)
	}
	response, err := w.client.Do(request)
	if err != nil {
		if bad, ok := errors.AsType[*url.Error](err); ok {
			err = bad.Err // without the whole of the query
		}
		return nil, fmt.Errorf("no worker answers at %s: %w; set --admin-addr (RESCIND_ADMIN_ADDR) to the worker's own, or --ledger to dynamodb:TABLE if it keeps its ledger in a table (a bolt file is open in its worker alone)", w.addr, err)
	}
	if response.StatusCode == http.StatusOK {
		return response.Body, nil
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode == http.StatusNotFound {
		return nil, fmt.Errorf("what answers at %s is no worker, or one of an older version", w.addr)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxSaid))
	if err != nil {
		return nil, fmt.Errorf("reading the worker's answer: %w", err)
	}
	return nil, fmt.Errorf("the worker at %s cannot read its ledger: %s", w.addr, strings.TrimSpace(string(body)))
}

// read reads the worker's answer.
func (w *fromWorker) read(body []byte) ([]ledger.Record, error) {
	var answer endedAnswer
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("what answers at %s is no worker: %w", w.addr, err)
	}
	if !slices.ContainsFunc(answer.Queues, func(url string) bool { return queueName(url) == queueName(w.queue) }) {
		return nil, fmt.Errorf("the worker at %s takes commands from %s, and not from %s: set --admin-addr (RESCIND_ADMIN_ADDR) to that of the right worker",
			w.addr, strings.Join(answer.Queues, ", "), w.queue)
	}
	records := make([]ledger.Record, len(answer.Ended))
	for i, e := range answer.Ended {
		records[i] = ledger.Record{Entry: ledger.Entry{Key: e.Key}, Ended: true, Outcome: e.Outcome}
		if n, err := hex.Decode(records[i].Fingerprint[:], []byte(e.Fingerprint)); err != nil || n != len(records[i].Fingerprint) {
			return nil, fmt.Errorf("the worker at %s answers with a fingerprint that cannot be read", w.addr)
		}
	}
	return records, nil
}

// queueName is what a queue's URLs have in common, whatever the host it is reached by: account and name.
func queueName(queueURL string) string {
	u, err := url.Parse(queueURL)
	if err != nil {
		return queueURL
	}
	return u.Path
}

// keysOf returns the keys under which the outcomes of commands may be: the command's own, and the
// message's if the command cannot be run.
func keysOf(commands []*sending) []string {
	keys := map[string]bool{}
	for _, c := range commands {
		keys[c.command.Key()] = true
		if c.messageID != "" {
			keys["msg:"+c.messageID] = true
		}
	}
	return slices.Sorted(maps.Keys(keys))
}

// outcomeAmong returns the command's outcome among what has ended; nil: it is not there. The outcome under
// the command's id is another's if the id was used for other content before; the worker then
// refuses the command under its message's key.
func (c *sending) outcomeAmong(ended map[string]ledger.Record) []byte {
	if of, ok := ended["msg:"+c.messageID]; ok {
		return of.Outcome
	}
	of, ok := ended[c.command.Key()]
	if !ok {
		return nil
	}
	asRun := c.command
	if e, err := outcome.Parse(of.Outcome); err == nil { // account and region that were the worker's own
		if !c.statesAccount {
			asRun.Account = e.Data.Account
		}
		if !c.statesRegion {
			asRun.Region = e.Data.Region
		}
	}
	if asRun.Fingerprint() != of.Fingerprint {
		return nil
	}
	return of.Outcome
}

// wait prints the outcome of each command that was sent, until all have one, the time is over or ctx ends.
func (c *sendCmd) wait(ctx context.Context, s streams, from outcomes, r *sendReport) error {
	sent := r.in(stateSent)
	began := time.Now()
	byStatus := map[handlers.Status]int{}
	bad := 0 // commands that did not stop their targets
	onStop(ctx, func() string { return "waiting no longer" }, "The commands are on the queue and are run.")
	patience, longest := c.patience(sent)
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if longest > 0 {
		say(s.err, fmt.Sprintf("Waiting, for %s at most, until what AWS accepts is seen to have stopped, or has been looked at for %s (confirm).", short(patience), short(longest)))
	}
	var said time.Time // when progress or an outcome was printed last
	left := follow(bounded, from, sent, func(each *sending, event []byte) {
		each.Outcome, said = event, time.Now()
		r.Outcomes++
		e, err := outcome.Parse(event)
		if err != nil {
			e.Data = outcome.Data{Status: "unreadable", Message: err.Error()}
		}
		d := &e.Data
		byStatus[d.Status]++
		if !went(d) {
			bad++
		}
		if !c.JSON {
			say(s.out, describe(each, d, began))
		}
	}, func(left int, err error) {
		if time.Since(cmp.Or(said, began)) < waitingEvery {
			return
		}
		said = time.Now()
		say(s.err, fmt.Sprintf("%d of %s: no outcome yet after %s: %s%s", left, count(len(sent), "command"), short(time.Since(began)), idsOf(sent), because(err)))
	})
	if !c.JSON && len(sent) > 1 {
		say(s.out, fmt.Sprintf("%d of %d commands have ended in %s%s", len(sent)-left, len(sent), time.Since(began).Round(100*time.Millisecond), strings.TrimSuffix(": "+statusesText(byStatus), ": ")))
	}
	var errs []error
	if bad > 0 {
		errs = append(errs, fmt.Errorf("%d of %s did not stop all of its targets", bad, count(len(sent), "command")))
	}
	if left > 0 {
		why := fmt.Sprintf("within %s (--wait-for)", short(patience))
		if ctx.Err() != nil {
			why = "when interrupted"
		}
		errs = append(errs, fmt.Errorf("no outcome %s: %d of %s; what has none is on the queue and is run, and its outcome goes to the results topic", why, left, count(len(sent), "command")))
	}
	return errors.Join(errs...)
}

// went reports whether an outcome is what the sender wanted: stopped, accepted, or previewed where that was asked for.
func went(d *outcome.Data) bool {
	return d.Verdict == handlers.Stopped || d.Verdict == handlers.Pending || d.Status == handlers.DryRun
}

// shortWait is how long --wait waits by default for commands without confirm.
const shortWait = 10 * time.Minute

// patience returns how long to wait for the outcomes of commands, and their longest confirm.
func (c *sendCmd) patience(commands []*sending) (patience, longest time.Duration) {
	longest = longestConfirm(commands)
	return cmp.Or(c.WaitFor, shortWait+longest), longest
}

// longestConfirm is the longest time for which workers look for proof of one of the commands.
func longestConfirm(commands []*sending) (longest time.Duration) {
	for _, each := range commands {
		longest = max(longest, confirmOf(&each.command))
	}
	return longest
}

// confirmOf returns how long a worker looks for proof as far as the command says.
func confirmOf(c *command.Command) time.Duration {
	if c.DryRun || c.Confirm == nil {
		return 0
	}
	return *c.Confirm
}

// short writes a duration in whole seconds without what is zero: "12m", not "12m0s".
func short(d time.Duration) string {
	if d < time.Second {
		return d.String()
	}
	text := d.Round(time.Second).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// maxIDs bounds the ids that the progress of waiting names.
const maxIDs = 3

// idsOf names the commands that have no outcome.
func idsOf(commands []*sending) string {
	var ids []string
	for _, c := range commands {
		if c.Outcome != nil {
			continue
		}
		if len(ids) == maxIDs {
			ids = append(ids, "…")
			break
		}
		ids = append(ids, c.ID)
	}
	return strings.Join(ids, ", ")
}

// describe writes an outcome as a line for people: status, id, target, and why it is that where there is more to
// say.
func describe(c *sending, d *outcome.Data, began time.Time) string {
	line := fmt.Sprintf("%-*s  %s", statusWidth, d.Status, c.ID)
	if len(d.Targets) > 0 {
		line += "  " + targetOf(d)
	}
	return strings.TrimRight(line+"  "+reasonOf(d, began), " ")
}

// reasonOf says why an outcome is what it is, and if it was that before the command was sent.
func reasonOf(d *outcome.Data, began time.Time) string {
	code, message := d.Code, d.Message
	for _, t := range d.Targets {
		if t.Message != "" && message == "" {
			code, message = t.Code, t.Message // the first one speaks for the others
		}
	}
	why := whyOf(d)
	if message != "" && len(d.Counts) <= 1 && predictionOf(d) == "" {
		why = strings.TrimPrefix(code+": ", ": ") + message
	}
	if !d.FinishedAt.IsZero() && d.FinishedAt.Before(began.Add(-time.Minute)) { // clocks may differ
		why += "  (this id had ended before, at " + d.FinishedAt.UTC().Format(time.RFC3339) + ": it was not run again)"
	}
	return why
}

func because(err error) string {
	if err == nil {
		return ""
	}
	return "; " + err.Error()
}

// follow reads until every command has an outcome, which it hands to found, or ctx ends. After each read it
// calls progress. It returns how many have none. It makes four reads a second at most, and reads each
// command once a second at most.
func follow(ctx context.Context, from outcomes, commands []*sending, found func(*sending, []byte), progress func(left int, err error)) (left int) {
	left = len(commands)
	for pending := commands; len(pending) > 0; {
		again := time.After(readAgain)
		var still []*sending
		for chunk := range slices.Chunk(pending, readMost) {
			records, err := from.ended(ctx, keysOf(chunk))
			ended := map[string]ledger.Record{}
			for _, r := range records {
				ended[r.Key] = r
			}
			for _, c := range chunk {
				if event := c.outcomeAmong(ended); event != nil {
					left--
					found(c, jsontext.Value(event))
				} else {
					still = append(still, c)
				}
			}
			progress(left, err)
			if left == 0 || !rest(ctx, time.After(readEvery)) {
				return left
			}
		}
		pending = still
		if !rest(ctx, again) {
			return left
		}
	}
	return left
}

// rest waits until a time has come, and reports whether that was before ctx ended.
func rest(ctx context.Context, until <-chan time.Time) bool {
	select {
	case <-until:
		return true
	case <-ctx.Done():
		return false
	}
}
