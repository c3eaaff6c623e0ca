package worker

import (
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"go.uber.org/zap"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/awsclient"
	"github.com/rescindhq/rescind/worker/chance"
	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/quotas"
)

// Defaults of Options.
const (
	DefaultName        = "default"
	DefaultMaxInFlight = 5000
	DefaultPatience    = 5 * time.Minute
	DefaultGiveUp      = 72 * time.Hour
	DefaultDrain       = 25 * time.Second
)

// Options says what a Worker works on. QueueURLs, TopicARN, Ledger, Account and AWS are
// required; the zero value of every other field means its default.
type Options struct {
	// Name of this deployment, in the source of its outcomes. Default "default".
	Name string
	// QueueURLs are standard queues of commands; the first is served first.
	QueueURLs []string
	// TopicARN is the topic that outcomes are published to.
	TopicARN string
	// DeadLetterURL is where the unreadable is sent. Default: each queue's redrive target.
	DeadLetterURL string
	// StateQueueURL is a queue of AWS's own events of state changes, as an EventBridge rule sends them. Default: none, and
	// proof is looked for by reads alone.
	StateQueueURL string
	// Ledger remembers commands. The worker does not close it.
	Ledger ledger.Ledger
	// LedgerName is what the log calls it, such as "bolt:rescind.db".
	LedgerName string
	// Account is the worker's own: commands that name none are run in it.
	Account string
	// Regions are those that commands may name. Default: AWS.Region alone.
	Regions []string
	// Role is assumed for other accounts, "{account}" standing for the account. Default: none,
	// and commands for other accounts are denied.
	Role string
	// MaxInFlight is the most messages held at once. Default 5000.
	MaxInFlight int
	// Quotas go over what Service Quotas says of the account, and that over what is published.
	Quotas Quotas
	// Confirm is how long to look for proof that what AWS took has stopped, where a command does not say; 12
	// hours at most. Default: not at all.
	Confirm time.Duration
	// Patience is how long a command is held by throttling or an outage before its message is
	// deferred. Default 5 minutes.
	Patience time.Duration
	// GiveUp is the age of a command, from when it was first sent, at which it ends. Default 72 hours.
	GiveUp time.Duration
	// Drain is how long what is under way may take to finish once Run's context has ended.
	// Default 25 s.
	Drain time.Duration
	// AWS is the configuration of every client; its Region is the worker's own. Its HTTP client
	// must allow hundreds of connections to a host, or batches wait for connections.
	AWS aws.Config
	// Chance is where all jitter comes from; see package chance. Default: a source of a seed drawn now.
	Chance *rand.Rand
	// Services are the services to register. Default: [Services].
	Services []Service
	// Log gets what an operator should know. Default: nothing is logged.
	Log *zap.Logger
}

// Quotas are call rates by "service:Operation"; see [quotas.Set].
type Quotas = quotas.Set

// ParseQuotas reads RESCIND_QUOTAS for the [Services]; see [quotas.Parse].
func ParseQuotas(text string) (Quotas, error) {
	return quotas.Parse(text, made(Services(), func(handlers.Location) aws.Config { return aws.Config{} }))
}

func (o Options) withDefaults() Options {
	o.Chance = chance.Or(o.Chance)
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
	if o.GiveUp == 0 {
		o.GiveUp = DefaultGiveUp
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
	o.AWS = awsclient.WithPlainBodies(o.AWS)
	return o
}
