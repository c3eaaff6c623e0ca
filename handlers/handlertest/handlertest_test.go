package handlertest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/batch"
	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/handlers/batch"
	"github.com/rescindhq/rescind/handlers/handlertest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type (
	config   = func(handlers.Location) aws.Config
	answers  = handlers.Call[handlers.Answer]
	readings = handlers.Call[handlers.Reading]
)

// defects are the ways to break a handler that conforms, and the check that is there for each.
var defects = []struct {
	defect string
	caught string // the check, and where another defect could be meant, words of what it says
	make   func(config) handlers.Handler
}{
	{"a result too few", "request", cancelling(func(ctx context.Context, do do, at handlers.Location, ts []handlers.Target) []handlers.Answer {
		as := do(ctx, at, ts)
		return as[:len(as)-1]
	})},
	{"results in another order than the targets", "items", cancelling(func(ctx context.Context, do do, at handlers.Location, ts []handlers.Target) []handlers.Answer {
		as := do(ctx, at, ts)
		slices.Reverse(as)
		return as
	})},
	{"answers matched by position", "order: answered in order: target", byPosition},
	{"a success believed of a target that the answer leaves out", "missing: came to status \"\" class none", byPosition},
	{"a success believed that has no body", "unreadable: empty body: target", byPosition},
	{"retries left to the SDK", "refusals: 3 HTTP requests", byPosition},
	{"a retry", "refusals: 2 HTTP requests", cancelling(func(ctx context.Context, do do, at handlers.Location, ts []handlers.Target) []handlers.Answer {
		as := do(ctx, at, ts)
		if as[0].Err != nil && as[0].Err.Class == handlers.Throttled {
			return do(ctx, at, ts)
		}
		return as
	})},
	{"text before code in an item", "items", cancelling(byText)},
	{"text before code in a request", "refusals", cancelling(byText)},
	{"a context of its own", "unanswered: caller's context", cancelling(func(ctx context.Context, do do, at handlers.Location, ts []handlers.Target) []handlers.Answer {
		return do(context.WithoutCancel(ctx), at, ts)
	})},
	{"something held between calls", "repeatable: second time", remembering},
	{"targets changed", "repeatable: changed its targets", cancelling(func(ctx context.Context, do do, at handlers.Location, ts []handlers.Target) []handlers.Answer {
		as := do(ctx, at, ts)
		ts[0].Pin = "changed"
		return as
	})},
	{"another operation than it says", "request: /v1/terminatejobs", func(c config) handlers.Handler {
		return broken{Handler: batch.New(c)[0], cancel: func(call answers) answers {
			call.Do = batch.New(c)[1].Cancel().Do
			return call
		}}
	}},
	{"more targets a request than AWS takes", "suite", func(c config) handlers.Handler {
		return broken{Handler: batch.New(c)[0], read: func(r readings) readings { r.Max++; return r }}
	}},
	{"a reading lost", "request", func(c config) handlers.Handler {
		return broken{Handler: batch.New(c)[0], read: func(r readings) readings {
			do := r.Do
			r.Do = func(ctx context.Context, at handlers.Location, ts []handlers.Target) []handlers.Reading {
				return append(do(ctx, at, ts[1:]), handlers.Reading{})
			}
			return r
		}}
	}},
	{"a field left out", "fields", fields(func(fs []handlers.Field) []handlers.Field { return fs[:1] })},
	{"a field that AWS does not have", "fields", fields(func(fs []handlers.Field) []handlers.Field {
		return append(fs, handlers.Field{Name: "force", Kind: handlers.Boolean})
	})},
	{"a bound from nowhere", "fields", fields(func(fs []handlers.Field) []handlers.Field { fs[0].Text.Max = 36; return fs })},
	{"a required field that may be empty", "fields", fields(func(fs []handlers.Field) []handlers.Field { fs[0].Text.Min = 0; return fs })},
	{"a required field that may be left out", "fields", fields(func(fs []handlers.Field) []handlers.Field { fs[0].Required = false; return fs })},
	{"parameters changed", "targets: changed its parameters", targets(func(p handlers.Parameters, ts []handlers.Target) []handlers.Target { p["seen"] = true; return ts })},
	{"two targets of one id", "targets", targets(func(_ handlers.Parameters, ts []handlers.Target) []handlers.Target { ts[0].ID = "same"; return ts })},
	{"a key that shares nothing", "targets", targets(func(_ handlers.Parameters, ts []handlers.Target) []handlers.Target { ts[0].Key = ts[0].ID; return ts })},
	{"cancelled, whatever the state", "judge: does not show that it stopped", judging(func(a handlers.Answer) handlers.Answer { a.Status = handlers.Cancelled; return a })},
	{"accepted, whatever the state", "judge: does not know", judging(func(a handlers.Answer) handlers.Answer { a.Status = handlers.Accepted; return a })},
	{"nothing, whatever the state", "judge: accepted at least", judging(func(a handlers.Answer) handlers.Answer { a.Status = ""; return a })},
	{"a status that is the worker's", "judge: not a handler's", judging(func(a handlers.Answer) handlers.Answer { a.Status = handlers.Expired; return a })},
	{"the state left out", "judge: after is", judging(func(a handlers.Answer) handlers.Answer { a.After = ""; return a })},
	{"a failure without a code", "judge: has no code", judging(func(a handlers.Answer) handlers.Answer { a.Err = nil; return a })},
	{"a prediction of everything", "predict: nobody knows", predicting(func(a handlers.Answer, r handlers.Reading) handlers.Answer {
		if a.Status == "" && r.Err == nil {
			a.Status = handlers.Accepted
		}
		return a
	})},
	{"a prediction of a state that was not read", "predict: could not be read", predicting(func(a handlers.Answer, r handlers.Reading) handlers.Answer {
		if r.Err != nil {
			a.Status = handlers.Accepted
		}
		return a
	})},
	{"no prediction, and no reason", "predict: does not say why", predicting(func(a handlers.Answer, _ handlers.Reading) handlers.Answer { a.Status = ""; return a })},
	{"a prediction that no call comes to", "predict: whatever was tried", predicting(func(a handlers.Answer, _ handlers.Reading) handlers.Answer {
		if a.Status == handlers.Accepted {
			a.Status = handlers.NotFound
		}
		return a
	})},
	{"a prediction that AWS fails", "predict: no state foretells it", predicting(func(a handlers.Answer, _ handlers.Reading) handlers.Answer { a.Status = handlers.Failed; return a })},
	{"what has ended predicted to be stopped", "predict: has ended", predicting(func(a handlers.Answer, _ handlers.Reading) handlers.Answer {
		if a.Status == handlers.AlreadyEnded {
			a.Status = handlers.Accepted
		}
		return a
	})},
	{"what runs predicted to have stopped", "predict: does not show that it stopped", predicting(func(a handlers.Answer, _ handlers.Reading) handlers.Answer {
		if a.Status == handlers.Accepted {
			a.Status = handlers.Cancelled
		}
		return a
	})},
	{"what is not there predicted to be taken", "predict: does not know", predicting(func(a handlers.Answer, _ handlers.Reading) handlers.Answer {
		if a.Status == handlers.NotFound {
			a.Status = handlers.Accepted
		}
		return a
	})},
	{"a panic in Predict", "predict: panicked", predicting(func(handlers.Answer, handlers.Reading) handlers.Answer { panic("no such state") })},
	{"a stronger action of another target", "stronger: is for", escalating(func(s handlers.Stronger) handlers.Stronger { s.Target.ID = "other"; return s }, nil)},
	{"a stronger action without end", "stronger: no end", escalating(func(s handlers.Stronger) handlers.Stronger { s.Action = "batch:CancelJob"; return s }, nil)},
	{"a stronger action of another service", "stronger: of the same service", escalating(func(s handlers.Stronger) handlers.Stronger { s.Action = "emr:CancelSteps"; return s }, nil)},
	{"a stronger action of whatever there is", "stronger: goes on", escalating(nil, func(handlers.Reading) bool { return true })},
	{"a page that was not had is an empty one", "listing: class none", listing(func(ctx context.Context, c config, at handlers.Location) handlers.Reading {
		sdk.NewFromConfig(c(at)).ListJobs(ctx, &sdk.ListJobsInput{JobQueue: aws.String("q")}, once)
		return handlers.Reading{Found: true, Detail: handlers.Page{}}
	})},
	{"a page in two requests", "listing: 2 HTTP requests", listing(func(ctx context.Context, c config, at handlers.Location) handlers.Reading {
		var err error
		for range 2 {
			_, err = sdk.NewFromConfig(c(at)).ListJobs(ctx, &sdk.ListJobsInput{JobQueue: aws.String("q")}, once)
		}
		e, _ := handlers.Classify(err, nil)
		return handlers.Reading{Err: e}
	})},
	{"a panic in Judge", "judge: panicked", judging(func(handlers.Answer) handlers.Answer { panic("no such state") })},
}

// TestDefectsAreCaught breaks a handler that conforms, in one way at a time, and wants the
// suite to notice.
func TestDefectsAreCaught(t *testing.T) {
	for _, d := range defects {
		t.Run(d.defect, func(t *testing.T) {
			s := suite()
			s.New = d.make
			wantCaught(t, handlertest.Check(s), d.caught)
		})
	}
}

// TestGapsInTheSuiteAreCaught: what a suite leaves out is not silently left untested.
func TestGapsInTheSuiteAreCaught(t *testing.T) {
	for about, gap := range map[string]func(*handlertest.Suite){
		"a state":            func(s *handlertest.Suite) { s.States = s.States[:len(s.States)-1] },
		"a documented error": func(s *handlertest.Suite) { s.Read.Whole = s.Read.Whole[:1] },
		"a resolver":         func(s *handlertest.Suite) { s.Resolve = &s.Read },
		"a resolver's last":  func(s *handlertest.Suite) { s.Last = &s.Read },
	} {
		t.Run(about, func(t *testing.T) {
			s := suite()
			gap(&s)
			wantCaught(t, handlertest.Check(s), "suite")
		})
	}
}

// TestWhatAGapMeans: a target that is left out is called again unless the suite says that its
// state is read, and then the handler must say that the call may have been the one to stop it.
func TestWhatAGapMeans(t *testing.T) {
	for _, mayHaveRun := range []bool{true, false} {
		s := suite()
		s.Cancel.Gap = handlers.Unsettled
		s.New = cancelling(func(ctx context.Context, do do, at handlers.Location, ts []handlers.Target) []handlers.Answer {
			as := do(ctx, at, ts)
			if slices.ContainsFunc(as, func(a handlers.Answer) bool { return a.Err == nil }) {
				for i := range as {
					if e := as[i].Err; e != nil && e.Class == handlers.Unanswered {
						as[i].Err = &handlers.Error{Class: handlers.Unsettled, Code: "LeftOut", MayHaveRun: mayHaveRun}
					}
				}
			}
			return as
		})
		problems := handlertest.Check(s)
		switch {
		case !mayHaveRun:
			wantCaught(t, problems, "missing: may have run")
		case len(problems) > 0:
			t.Errorf("%v", problems)
		}
	}
	s := suite()
	s.Cancel.Gap = handlers.Unsettled
	wantCaught(t, handlertest.Check(s), "missing: want status \"\" class unsettled")
}

func TestConformingHandlerHasNoProblems(t *testing.T) {
	for _, p := range handlertest.Check(suite()) {
		t.Errorf("%s: %v", p.Check, p.Err)
	}
}

func wantCaught(t *testing.T, problems []handlertest.Problem, caught string) {
	t.Helper()
	check, words, _ := strings.Cut(caught, ": ")
	for _, p := range problems {
		if p.Check == check && strings.Contains(p.Err.Error(), words) {
			return
		}
	}
	t.Errorf("not caught by %q; problems: %v", caught, problems)
}

// broken is a conforming handler with parts replaced.
type broken struct {
	handlers.Handler
	cancel  func(answers) answers
	read    func(readings) readings
	fields  func([]handlers.Field) []handlers.Field
	targets func(handlers.Parameters, []handlers.Target) []handlers.Target
	judge   func(handlers.Answer) handlers.Answer
	predict func(handlers.Answer, handlers.Reading) handlers.Answer
}

func (b broken) Cancel() answers { return through(b.cancel, b.Handler.Cancel()) }
func (b broken) Read() readings  { return through(b.read, b.Handler.Read()) }
func (b broken) Fields() []handlers.Field {
	return through(b.fields, b.Handler.Fields())
}

func (b broken) Targets(p handlers.Parameters) ([]handlers.Target, error) {
	ts, err := b.Handler.Targets(p)
	if b.targets != nil {
		ts = b.targets(p, ts)
	}
	return ts, err
}

func (b broken) Judge(t handlers.Target, tried handlers.Tried, r handlers.Reading) handlers.Answer {
	return through(b.judge, b.Handler.Judge(t, tried, r))
}

func (b broken) Predict(t handlers.Target, r handlers.Reading) handlers.Answer {
	a := b.Handler.Predict(t, r)
	if b.predict != nil {
		a = b.predict(a, r)
	}
	return a
}

// escalator is broken in its stronger action.
type escalator struct {
	handlers.Handler
	stronger func(handlers.Stronger) handlers.Stronger
	only     func(handlers.Reading) bool
}

func (e escalator) Stronger(t handlers.Target) (handlers.Stronger, bool) {
	s, ok := e.Handler.(handlers.Escalator).Stronger(t)
	return through(e.stronger, s), ok
}

func (e escalator) OnlyStronger(r handlers.Reading) bool {
	if e.only != nil {
		return e.only(r)
	}
	return e.Handler.(handlers.Escalator).OnlyStronger(r)
}

func escalating(stronger func(handlers.Stronger) handlers.Stronger, only func(handlers.Reading) bool) func(config) handlers.Handler {
	return func(c config) handlers.Handler { return escalator{batch.New(c)[0], stronger, only} }
}

// lister is broken in its listing.
type lister struct {
	handlers.Handler
	list func(context.Context, handlers.Location) handlers.Reading
}

func (lister) ListKey(handlers.Target) string { return "q" }

func (l lister) List() readings {
	return readings{Operation: "ListJobs", Max: 1, Do: handlers.One(func(ctx context.Context, at handlers.Location, _ handlers.Target) handlers.Reading {
		return l.list(ctx, at)
	})}
}

func listing(list func(context.Context, config, handlers.Location) handlers.Reading) func(config) handlers.Handler {
	return func(c config) handlers.Handler {
		return lister{batch.New(c)[0], func(ctx context.Context, at handlers.Location) handlers.Reading { return list(ctx, c, at) }}
	}
}

func once(o *sdk.Options) { o.Retryer = aws.NopRetryer{} }

func through[T any](f func(T) T, v T) T {
	if f == nil {
		return v
	}
	return f(v)
}

type do = func(context.Context, handlers.Location, []handlers.Target) []handlers.Answer

func cancelling(f func(context.Context, do, handlers.Location, []handlers.Target) []handlers.Answer) func(config) handlers.Handler {
	return func(c config) handlers.Handler {
		return broken{Handler: batch.New(c)[0], cancel: func(call answers) answers {
			inner := call.Do
			call.Do = func(ctx context.Context, at handlers.Location, ts []handlers.Target) []handlers.Answer {
				return f(ctx, inner, at, ts)
			}
			return call
		}}
	}
}

func fields(f func([]handlers.Field) []handlers.Field) func(config) handlers.Handler {
	return func(c config) handlers.Handler { return broken{Handler: batch.New(c)[0], fields: f} }
}

func targets(f func(handlers.Parameters, []handlers.Target) []handlers.Target) func(config) handlers.Handler {
	return func(c config) handlers.Handler { return broken{Handler: batch.New(c)[0], targets: f} }
}

func judging(f func(handlers.Answer) handlers.Answer) func(config) handlers.Handler {
	return func(c config) handlers.Handler { return broken{Handler: batch.New(c)[0], judge: f} }
}

func predicting(f func(handlers.Answer, handlers.Reading) handlers.Answer) func(config) handlers.Handler {
	return func(c config) handlers.Handler { return broken{Handler: batch.New(c)[0], predict: f} }
}

func byText(ctx context.Context, do do, at handlers.Location, ts []handlers.Target) []handlers.Answer {
	as := do(ctx, at, ts)
	for i := range as {
		if e := as[i].Err; e != nil && strings.Contains(e.Message, "Rate exceeded") {
			as[i].Err = &handlers.Error{Class: handlers.Throttled, Code: e.Code, Message: e.Message}
		}
	}
	return as
}

// remembering answers a target only the first time as AWS did.
func remembering(c config) handlers.Handler {
	seen := false
	return cancelling(func(ctx context.Context, do do, at handlers.Location, ts []handlers.Target) []handlers.Answer {
		if seen {
			return make([]handlers.Answer, len(ts))
		}
		seen = true
		return do(ctx, at, ts)
	})(c)
}

// byPosition takes the answer for as long and as ordered as the request, and leaves retries
// to the configuration.
func byPosition(c config) handlers.Handler {
	return cancelling(func(ctx context.Context, _ do, at handlers.Location, ts []handlers.Target) []handlers.Answer {
		in := &sdk.CancelJobsInput{Reason: aws.String("r")}
		for _, t := range ts {
			in.Jobs = append(in.Jobs, t.ID)
		}
		out, err := sdk.NewFromConfig(c(at)).CancelJobs(ctx, in)
		as := make([]handlers.Answer, len(ts))
		for i := range as {
			if as[i].Err, as[i].RequestID = handlers.Classify(err, nil); err == nil && i < len(out.Errors) {
				as[i].Err = &handlers.Error{Class: handlers.Unsettled, Code: aws.ToString(out.Errors[i].Code)}
			}
		}
		return as
	})(c)
}

// suite is a small one for batch:CancelJob; the handler's own is in its package.
func suite() handlertest.Suite {
	whole := []handlertest.Refusal{
		{Code: "ClientException", HTTP: 400, Want: handlertest.Want{Class: handlers.Refused}},
		{Code: "ServerException", HTTP: 500, Want: handlertest.Want{Class: handlers.Unavailable}},
	}
	asked := func(r handlertest.Request) []string {
		var in struct{ Jobs []string }
		if err := json.Unmarshal(r.Payload, &in); err != nil {
			return []string{err.Error()}
		}
		return in.Jobs
	}
	return handlertest.Suite{
		New: func(c config) handlers.Handler { return batch.New(c)[0] },
		Commands: func(n int) []handlers.Parameters {
			commands := make([]handlers.Parameters, n)
			for i := range commands {
				commands[i] = handlers.Parameters{"jobId": fmt.Sprintf("job-%d", i), "reason": "r"}
			}
			return commands
		},
		Cancel: handlertest.Peer{Asked: asked, Whole: whole, Items: []handlertest.Refusal{
			{Code: "ClientException", Want: handlertest.Want{Class: handlers.Unsettled}},
		}, Answer: func(_ handlertest.Request, items []handlertest.Item) handlertest.Response {
			var done, refused []string
			for _, it := range items {
				if it.Code == "" {
					done = append(done, fmt.Sprintf("%q", it.ID))
				} else {
					refused = append(refused, fmt.Sprintf(`{"job":%q,"code":%q,"message":%q}`, it.ID, it.Code, it.Message))
				}
			}
			return handlertest.Response{Body: fmt.Sprintf(`{"successful":[%s],"errors":[%s]}`, strings.Join(done, ","), strings.Join(refused, ","))}
		}},
		Read: handlertest.Peer{Asked: asked, Whole: whole, Answer: func(_ handlertest.Request, items []handlertest.Item) handlertest.Response {
			jobs := make([]string, 0, len(items))
			for _, it := range items {
				jobs = append(jobs, fmt.Sprintf(`{"jobId":%q,"status":%q}`, it.ID, it.State))
			}
			return handlertest.Response{Body: `{"jobs":[` + strings.Join(jobs, ",") + `]}`}
		}},
		States: []handlertest.State{
			{Name: "SUBMITTED"}, {Name: "PENDING"}, {Name: "RUNNABLE"}, {Name: "STARTING"}, {Name: "RUNNING"},
			{Name: "SUCCEEDED", Ended: true}, {Name: "FAILED", Ended: true},
		},
		Beyond: map[string]string{"reason": "the bound of CancelJobs"},
	}
}
