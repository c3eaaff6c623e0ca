package simulation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
)

// This file is trouble that is nobody's word about a target: credentials, roles, what stands
// between worker and AWS, and targets that fail for ever beside good ones.

const (
	account = "123456789012" // the workers' own
	role    = "arn:aws:iam::{account}:role/rescind"
)

func roleOf(account string) string { return strings.ReplaceAll(role, "{account}", account) }

// failure is a failure of the simulator for a while; for ever where For is 0.
type failure struct {
	awssim.Failure

	At, For time.Duration
}

// noKeys is a time in which the workers' own credential endpoint gives no keys, and how.
type noKeys struct {
	At, For time.Duration
	Way     way
}

// way is how an endpoint gives no keys. The set is closed.
type way string

// The ways.
const (
	refusesKeys  way = "refuses"
	emptyKeys    way = "answers nothing"
	hangsForKeys way = "hangs"
	brokenKeys   way = "answers no JSON"
)

func ways() []way { return []way{refusesKeys, emptyKeys, hangsForKeys, brokenKeys} }

// foul makes such trouble.
func (p *planner) foul() {
	window := func(f awssim.Failure) {
		p.Failures = append(p.Failures, failure{Failure: f, At: p.between(0, p.Chaos), For: p.between(5*time.Second, 3*time.Minute)})
	}
	if p.maybe(0.25) { // something in between, before one service or all of them
		window(awssim.Failure{
			Service: pick(p, append([]string{"", "sqs", "sns", "dynamodb"}, planes...)...),
			Kind:    pick(p, awssim.Middlebox, awssim.Middlebox, awssim.MiddleboxAfter), Answer: pick(p, awssim.MiddleboxAnswers()...),
		})
	}
	if p.maybe(0.2) { // the keys of everyone, or of one process
		window(awssim.Failure{
			Caller: pick(p, "", "W1.1", "W2.1", "W1.2"), Kind: awssim.Refused,
			Code: pick(p, "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException", "RequestTimeTooSkewed", "RequestInTheFuture"),
		})
	}
	for _, account := range p.Accounts {
		if p.maybe(0.6) {
			window(awssim.Failure{
				Service: "sts", Operation: "AssumeRole", Item: roleOf(account),
				Kind: pick(p, awssim.Denied, awssim.NoAnswer, awssim.Broken, awssim.Middlebox), Answer: pick(p, awssim.MiddleboxAnswers()...),
			})
			p.Failures[len(p.Failures)-1].At = p.between(0, 30*time.Second) // that is when roles are assumed first
		}
		if p.maybe(0.3) {
			window(awssim.Failure{Account: account, Kind: awssim.Refused, Code: pick(p, "ExpiredTokenException", "InvalidClientTokenId")})
		}
	}
	if p.maybe(0.3) {
		p.Keys = p.between(20*time.Second, 3*time.Minute)
		for range 1 + p.IntN(2) {
			p.Endpoint = append(p.Endpoint, noKeys{At: p.between(0, p.Chaos), For: p.between(5*time.Second, 2*time.Minute), Way: pick(p, ways()...)})
		}
	}
	for _, t := range p.Targets {
		if t.Fails {
			// What is slow to be called again after a throttle is not delayed by others.
			maps.DeleteFunc(p.Quotas, func(name string, _ awssim.Quota) bool { return strings.HasPrefix(name, planeOf(t.Action)+":") })
			p.Failures = append(p.Failures, failure{Failure: awssim.Failure{
				Service: planeOf(t.Action), Item: t.item(), Kind: awssim.Broken,
			}})
		}
	}
}

// planeOf is what the simulator calls the service of an action.
func planeOf(action handlers.Action) string {
	switch service := action.Service(); service {
	case "emr":
		return "elasticmapreduce"
	case "stepfunctions":
		return "states"
	default:
		return service
	}
}

// How targets that fail for ever are looked at.
const (
	// lateGiveUp is the least age at which commands are given up in a plan with such targets: good
	// ones have ended long before.
	lateGiveUp = time.Hour
	// promptly is how long a command may take that is sent in the calm, beside targets that always
	// fail; promptlyEMR the same where a call is had every two seconds.
	promptly    = 90 * time.Second
	promptlyEMR = 180 * time.Second
	// secondWave is how long after the calm began some of the good commands are sent.
	secondWave = time.Minute
)

func promptlyFor(a handlers.Action) time.Duration {
	if a == cancelSteps {
		return promptlyEMR
	}
	return promptly
}

// calm makes targets that fail for ever, among those that there are and with a lane's worth of
// good ones once nothing else goes wrong.
func (p *planner) calm() {
	if p.MaxReceives < 100 || p.GiveUp > 0 || p.maybe(0.6) {
		return
	}
	// All else must be long over before they end; and a worker that is delayed by them for all of
	// its patience shows that it is.
	p.GiveUp, p.Patience = p.between(lateGiveUp, lateGiveUp+30*time.Minute), 5*time.Minute
	for range 1 + p.IntN(3) {
		p.Targets[p.IntN(len(p.Targets))].Fails = true
	}
	action := pick(p, cancelJob, terminateJob, cancelSteps, cancelJobExecution, cancelThingJob, cancelWorkflow, terminateWorkflow, cancelTask, stopExecution)
	// Three of a lane are no outage of it, with those that there are.
	bad := 3
	for _, t := range p.Targets {
		if t.Fails && t.Action == action {
			bad--
		}
	}
	for range bad + 20 + p.IntN(20) {
		i := len(p.Targets)
		t := target{Action: action, Fate: alive, Fails: bad > 0}
		bad--
		p.name(&t, i)
		p.Targets = append(p.Targets, t)
		p.command(fmt.Sprintf("calm-%d", i), plain, bare, i)
		o := &p.Commands[len(p.Commands)-1]
		o.Calm, o.At = true, 0
		if !t.Fails && p.maybe(0.5) {
			o.At = secondWave // when the lane has been left with the bad ones
		}
	}
	p.Shuffle(len(p.Commands), func(i, j int) { p.Commands[i], p.Commands[j] = p.Commands[j], p.Commands[i] })
}

// fail begins and ends failures at their times, and returns when there are credentials for good.
func (w *world) fail() {
	var all sync.WaitGroup
	for _, f := range w.plan.Failures {
		if f.For == 0 {
			w.sim.Break(f.Failure)
			continue
		}
		all.Go(func() {
			time.Sleep(f.At)
			mend := w.sim.Break(f.Failure)
			time.Sleep(f.For)
			mend()
		})
	}
	for _, n := range w.plan.Endpoint {
		all.Go(func() { time.Sleep(n.At + n.For) })
	}
	all.Wait()
}

// credentials are those of a process: keys from an endpoint such as a container or an instance has.
func (w *world) credentials(name string) aws.CredentialsProvider {
	keys := endpointcreds.New("http://169.254.170.2/keys", func(o *endpointcreds.Options) {
		o.HTTPClient = endpoint{w, name}
	})
	return aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		w.asking.Add(1) // the cache asks on a goroutine that outlives its caller
		defer w.asking.Done()
		return keys.Retrieve(ctx)
	}))
}

// endpoint is a credential endpoint as one process sees it.
type endpoint struct {
	*world
	name string
}

// keysWithin is what rescind worker bounds a request for keys by. Without it the SDK's own cache
// would wait for one that hangs, with everyone who asks later, for ever.
const keysWithin = 3 * time.Second

var errNoKeys = errors.New("the credential endpoint does not answer")

// Do implements aws.HTTPClient.
func (e endpoint) Do(r *http.Request) (*http.Response, error) {
	answer := func(status int, body string) (*http.Response, error) {
		return &http.Response{
			StatusCode: status, Request: r, ProtoMajor: 1, ProtoMinor: 1,
			Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)),
		}, nil
	}
	since := time.Since(begin)
	for _, n := range e.plan.Endpoint {
		if since < n.At || since >= n.At+n.For {
			continue
		}
		e.journal.note(string(n.Way))
		switch n.Way {
		case refusesKeys:
			return answer(http.StatusForbidden, `{"code":"AccessDeniedException","message":"no role is attached"}`)
		case emptyKeys:
			return answer(http.StatusOK, "")
		case brokenKeys:
			return answer(http.StatusOK, `{"AccessKeyId":`)
		case hangsForKeys:
			select {
			case <-r.Context().Done():
			case <-time.After(keysWithin):
			case <-e.over:
			}
			return nil, errNoKeys
		}
	}
	keys := map[string]any{"AccessKeyId": e.name, "SecretAccessKey": "secret", "Token": "token"}
	if e.plan.Keys > 0 {
		keys["Expiration"] = time.Now().Add(e.plan.Keys).UTC().Format(time.RFC3339)
	}
	body, err := json.Marshal(keys)
	if err != nil {
		return nil, err
	}
	return answer(http.StatusOK, string(body))
}

// troubled: at some time between two there were no credentials, or all of SQS's requests failed.
func (c *checker) troubled(from, to time.Time) bool {
	overlaps := func(at, lasts time.Duration) bool {
		return begin.Add(at).Before(to) && (lasts == 0 || begin.Add(at+lasts).After(from))
	}
	return slices.ContainsFunc(c.Plan.Failures, func(f failure) bool {
		return (f.Service == "" || f.Service == "sqs") && f.Account == "" && overlaps(f.At, f.For)
	}) || slices.ContainsFunc(c.Plan.Endpoint, func(n noKeys) bool { return overlaps(n.At, n.For) })
}

// prompt: a good command that was sent in the calm is not delayed by targets that always fail.
func (c *checker) prompt(o order, s sent, e event) {
	bad := slices.ContainsFunc(o.Targets, func(at int) bool { return c.Plan.Targets[at].Fails })
	if o.Calm && !bad && e.At.Sub(s.At) > promptlyFor(c.Plan.Targets[o.Targets[0]].Action) {
		c.fault("%s: sent at %s when all was well but some targets, and its outcome was published %s later", o.ID, clock(s.At), e.At.Sub(s.At))
	}
}
