package worker

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"go.uber.org/zap"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/ledger"
)

// Defaults of Options.
const (
	DefaultName        = "default"
	DefaultMaxInFlight = 5000
	DefaultPatience    = 5 * time.Minute
	DefaultMinReceives = 100
	DefaultDrain       = 25 * time.Second
)

// warnReceives is the maxReceiveCount below which the worker warns. A message that there is no
// place for in an outage is received some thirty times in its first hour and then, released for
// 11 minutes on average, five times an hour: a thousand outlasts a week.
const warnReceives = 1000

// Options says what a Worker works on. QueueURLs, TopicARN, Ledger, Account and AWS are
// required; the zero value of every other field means its default.
type Options struct {
	// Name of this deployment, in the source of its outcomes. Default "default".
	Name string
	// QueueURLs are standard queues of commands; the first is served first.
	QueueURLs []string
	// TopicARN is the topic that outcomes are published to.
	TopicARN string
	// DeadLetterURL is where the unreadable is buried. Default: each queue's redrive target.
	DeadLetterURL string
	// Ledger remembers commands. The worker does not close it.
	Ledger ledger.Ledger
	// Account is the worker's own: commands that name none are run in it.
	Account string
	// Regions are those that commands may name. Default: AWS.Region alone.
	Regions []string
	// Role is assumed for other accounts, "{account}" standing for the account. Default: none,
	// and commands for other accounts are denied.
	Role string
	// MaxInFlight is the most messages held at once. Default 5000.
	MaxInFlight int
	// Quotas replace what is published for operations.
	Quotas Quotas
	// Patience is how long a command is held by throttling or an outage before its message is
	// released. Default 5 minutes.
	Patience time.Duration
	// GiveUp is the age of a message at which its command ends. Default: each queue's
	// retention less a day, or half of it where that is under two days.
	GiveUp time.Duration
	// MinReceives is the least maxReceiveCount of a queue that the worker accepts. Default 100.
	MinReceives int
	// Drain is how long what is under way may take to finish once Run's context has ended.
	// Default 25 s.
	Drain time.Duration
	// AWS is the configuration of every client; its Region is the worker's own. Its HTTP client
	// must allow hundreds of connections to a host, or batches wait for connections.
	AWS aws.Config
	// Services are the services to register. Default: [Services].
	Services []Service
	// Log is told what an operator should know. Default: nothing is logged.
	Log *zap.Logger
}

func (o Options) withDefaults() Options {
	if o.Name == "" {
		o.Name = DefaultName
	}
	if len(o.Regions) == 0 {
		o.Regions = []string{o.AWS.Region}
	}
	if o.MaxInFlight == 0 {
		o.MaxInFlight = DefaultMaxInFlight
	}
	if o.Patience == 0 {
		o.Patience = DefaultPatience
	}
	if o.MinReceives == 0 {
		o.MinReceives = DefaultMinReceives
	}
	if o.Drain == 0 {
		o.Drain = DefaultDrain
	}
	if o.Services == nil {
		o.Services = Services()
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	o.AWS = withPlainBodies(o.AWS)
	return o
}

// Quotas are call rates by "service:Operation", or "service:*" for all of a service together.
// A rate of 0 is no limit.
type Quotas map[string]handlers.Quota

// ParseQuotas reads RESCIND_QUOTAS: "service:Operation=rate/burst", comma separated. Without a
// burst it is the rate. Rates are calls a second; a rate of 0 is no limit.
func ParseQuotas(text string) (Quotas, error) {
	quotas := make(Quotas)
	for each := range strings.SplitSeq(text, ",") {
		if each = strings.TrimSpace(each); each == "" {
			continue
		}
		name, value, ok := strings.Cut(each, "=")
		service, operation, named := strings.Cut(name, ":")
		service, operation = strings.TrimSpace(service), strings.TrimSpace(operation)
		if !ok || !named || service == "" || operation == "" {
			return nil, fmt.Errorf("quota %q must read service:Operation=rate/burst, for example batch:CancelJobs=20/40", each)
		}
		rateText, burstText, hasBurst := strings.Cut(value, "/")
		rate, err := quotaNumber(rateText)
		if err != nil {
			return nil, fmt.Errorf("quota %q: rate %w", each, err)
		}
		burst := rate
		if hasBurst {
			if burst, err = quotaNumber(burstText); err != nil {
				return nil, fmt.Errorf("quota %q: burst %w", each, err)
			}
		}
		key := service + ":" + operation
		if _, twice := quotas[key]; twice {
			return nil, fmt.Errorf("quota %q stands there twice", key)
		}
		quotas[key] = handlers.Quota{Rate: rate, Burst: burst}
	}
	return quotas, nil
}

// maxQuota is far above any AWS quota; it keeps sums of rates and times in range.
const maxQuota = 1e6

func quotaNumber(text string) (float64, error) {
	n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || !(n >= 0 && n <= maxQuota) {
		return 0, fmt.Errorf("%q must be a number from 0 to %.0f", strings.TrimSpace(text), maxQuota)
	}
	return n, nil
}
