package doctor

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/rescindhq/rescind/worker/awsclient"
	"github.com/rescindhq/rescind/worker/permissions"
	"github.com/rescindhq/rescind/worker/preflight"
	"github.com/rescindhq/rescind/worker/queue"
	"github.com/rescindhq/rescind/worker/quotas"
	"github.com/rescindhq/rescind/worker/trouble"
)

// Result is what a check came to. The set is closed.
type Result string

// The results.
const (
	Good    Result = "good"
	Warning Result = "warning" // a worker starts, and something is risky or missing
	Mend    Result = "mend"    // a worker does not start, loses something, or cannot do its work
	Unknown Result = "unknown" // it could not be checked
)

// Line is one check.
type Line struct {
	Check   string `json:"check"`   // what was looked at: "queue retention"
	Subject string `json:"subject"` // of what: a URL, an ARN, a variable, a region
	Result  Result `json:"result"`
	Says    string `json:"says"` // what was found
	Do      string `json:"do"`   // what to do; "" where there is nothing. After a line end and two spaces stands a command
}

// Options is what a worker would be given, and whom to ask about.
type Options struct {
	AWS       aws.Config // without a region, nothing of AWS is asked
	Preflight preflight.Options
	Ledger    string // "bolt:PATH" or "dynamodb:TABLE"
	Quotas    quotas.Set
	// Admin is the address of a worker's /readyz and /metrics, "host:port".
	Admin string
	// Permissions says what is switched on: Name, Handlers, DryRunOnly and Role. What the resources are called is found out.
	Permissions permissions.Deployment
	// WorkerRole is the ARN of the role or user whose permissions are checked. Default: whoever makes the check.
	WorkerRole string
}

// bound is how long all checks may take together. Each question has 10 s, and most are asked at the same time.
const bound = 40 * time.Second

// doctor is one round of checks.
type doctor struct {
	o      Options
	aws    aws.Config // of one attempt for each request
	sqs    *sqs.Client
	queues *queue.Subscriber
	faults []preflight.Fault

	account, caller string // of the credentials; "": not known
}

// Run makes all checks, and returns a line for each, in an order that depends on the options alone. It changes nothing.
func Run(ctx context.Context, o Options) []Line {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	d := &doctor{o: o, aws: awsclient.Once(o.AWS)}
	d.sqs = sqs.NewFromConfig(d.aws)
	d.queues = queue.New(d.sqs, queue.Options{})
	var identity, topic, ledger, limits, process []Line
	var deployed queues
	var asking sync.WaitGroup
	asking.Go(func() { d.faults = preflight.Each(ctx, d.queues, d.aws, o.Preflight) })
	asking.Go(func() { ledger = d.checkLedger(ctx) })
	asking.Go(func() { process = d.checkProcess(ctx) })
	online := o.AWS.Region != ""
	if online {
		asking.Go(func() { identity = d.checkIdentity(ctx) })
		asking.Go(func() { deployed = d.readQueues(ctx) })
		asking.Go(func() { topic = d.checkTopic(ctx) })
	}
	asking.Wait()
	lines := d.faulty(preflight.OfSettings)
	if !online {
		lines = append(lines, Line{"AWS", "", Unknown, "not checked: queues, topic, permissions and quotas, without credentials or a region", "correct what is said here of the credentials"})
		return slices.Concat(lines, d.faulty(preflight.OfQueue, preflight.OfDeadLetters, preflight.OfStateQueue, preflight.OfTopic), ledger, process)
	}
	if d.isFaulty(preflight.OfCredentials) { // preflight says why there are none
		identity = append(d.faulty(preflight.OfCredentials), identity[1:]...)
	}
	var allowed []Line
	asking.Go(func() { limits = d.checkQuotas(ctx, deployed.account) })
	asking.Go(func() { allowed = d.checkPermissions(ctx, &deployed) })
	asking.Wait()
	return slices.Concat(lines, identity, d.queueLines(&deployed), d.faulty(preflight.OfTopic), topic, ledger, allowed, limits, process)
}

// faulty are the lines of what would keep a worker from starting.
func (d *doctor) faulty(of ...preflight.Subject) (lines []Line) {
	for _, f := range d.faults {
		if slices.Contains(of, f.Of) {
			lines = append(lines, faultLine(string(f.Of), f.Name, f.Err))
		}
	}
	return lines
}

// isFaulty reports whether there is such a line.
func (d *doctor) isFaulty(of preflight.Subject) bool {
	return slices.ContainsFunc(d.faults, func(f preflight.Fault) bool { return f.Of == of })
}

// FaultLine is the line of what keeps a worker from starting, in the worker's words. What may not be read is not known.
func FaultLine(check, subject string, err error) Line { return faultLine(check, subject, err) }

func faultLine(check, subject string, err error) Line {
	if action, denied := trouble.Denied(err); denied {
		return deniedLine(check, subject, action, err)
	}
	says, do, told := strings.Cut(err.Error(), "; do: ")
	if !told {
		says, do, told = strings.Cut(says, "\n  ") // commands
		do = "make it:\n  " + do
	}
	if !told {
		do = "correct this; until then no worker starts"
	}
	return Line{check, subject, Mend, says, do}
}

// deniedLine is the line of a check that may not be made.
func deniedLine(check, subject, action string, err error) Line {
	why, _, _ := strings.Cut(err.Error(), "; do: ")
	do := "allow it to whoever runs this check"
	if action != "" {
		do = "allow " + action + " to whoever runs this check"
	}
	return Line{check, subject, Unknown, "not checked: " + why, do}
}

// unread is the line of a check whose question was not answered as it should be.
func unread(check, subject string, kind trouble.Kind, err error, took time.Duration) Line {
	explained := trouble.Explain(kind, "", err, took)
	if action, denied := trouble.Denied(err); denied {
		return deniedLine(check, subject, action, explained)
	}
	why, do, _ := strings.Cut(explained.Error(), "; do: ")
	if errors.Is(err, context.Canceled) {
		why = "it was stopped"
	}
	if do == "" {
		do = "try again"
	}
	return Line{check, subject, Unknown, "not checked: " + why, do}
}

// plural says how many there are of what a noun names.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return itoa(n) + " " + noun + "s"
}
