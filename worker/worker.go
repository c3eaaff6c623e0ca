package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"go.uber.org/zap"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/awsclient"
	"github.com/rescindhq/rescind/worker/buildinfo"
	"github.com/rescindhq/rescind/worker/credentials"
	"github.com/rescindhq/rescind/worker/outcome"
	"github.com/rescindhq/rescind/worker/pipeline"
	"github.com/rescindhq/rescind/worker/preflight"
	"github.com/rescindhq/rescind/worker/queue"
	"github.com/rescindhq/rescind/worker/quotas"
	"github.com/rescindhq/rescind/worker/results"
	"github.com/rescindhq/rescind/worker/trouble"
)

// Worker runs commands. Make one with New, and call Run once.
type Worker struct {
	o         Options
	gate      *pipeline.Gate
	trouble   *trouble.Peers
	pipeline  *pipeline.Pipeline
	queue     *queue.Subscriber
	events    *queue.Subscriber // of the state queue; nil: there is none
	publisher *results.Publisher
	metrics   *metrics
	// deadLetters are the dead-letter queues' URLs by queue.
	deadLetters map[string]string
	home        handlers.Location
	handlers    []handlers.Handler
	quotas      quotas.Table
	name        string    // tells workers of one deployment apart
	started     time.Time // when New was called
	running     atomic.Bool
	throttled   atomic.Pointer[string] // what was throttled most in the last minute; "": nothing was
}

// New checks queues and topic and puts a worker together. It reads their attributes and, where
// Options.Account is empty, asks STS who it is; it changes nothing. Errors say what to do; that of an
// option which cannot be used as it was given is a [*preflight.SettingError].
func New(ctx context.Context, o Options) (*Worker, error) {
	o = o.withDefaults()
	peers := trouble.New(o.Log.Named("trouble"))
	o.AWS.Credentials = ownCredentials(o.AWS.Credentials, peers, o.Chance)
	w := &Worker{o: o, gate: &pipeline.Gate{}, trouble: peers, name: workerName(), started: time.Now()}
	w.metrics = newMetrics(w)
	if o.Ledger == nil {
		return nil, errors.New("no ledger: set Options.Ledger")
	}
	key, took, err := preflight.Ask(ctx, o.Ledger.DeploymentKey)
	if err != nil {
		return nil, fmt.Errorf("RESCIND_LEDGER: the deployment's key cannot be read: %w", trouble.Explain(trouble.Ledger, o.LedgerName, err, took))
	}
	w.deadLetters = make(map[string]string)
	w.queue = queue.New(sqs.NewFromConfig(awsclient.Once(o.AWS)), queue.Options{
		MaxInFlight: o.MaxInFlight, Lease: pipeline.ClaimLease, Drain: o.Drain, Gate: w.gate, Key: key,
		DeadLetters: w.deadLetters, Trouble: w.trouble, Logger: o.Log.Named("queue"), Chance: o.Chance,
	})
	if o.StateQueueURL != "" {
		w.events = queue.New(sqs.NewFromConfig(awsclient.Once(o.AWS)), queue.Options{
			MaxInFlight: eventsInFlight, Lease: pipeline.ClaimLease, Drain: o.Drain, Gate: w.gate,
			Trouble: w.trouble, Logger: o.Log.Named("events"), Chance: o.Chance,
		})
	}
	checked, err := preflight.Check(ctx, w.queue, o.AWS, o.preflight())
	if err != nil {
		return nil, err
	}
	maps.Copy(w.deadLetters, checked.DeadLetters)
	w.home = handlers.Location{Account: checked.Account, Region: o.AWS.Region}
	w.readQuotas(ctx)
	w.assemble()
	return w, nil
}

// Check says what would keep New from making a worker with these options, all faults at once, each an error of
// one line. It looks at no ledger and, where AWS has no region, at the options alone; it changes nothing.
func Check(ctx context.Context, o Options) error {
	o = o.withDefaults()
	_, err := preflight.Check(ctx, queue.New(sqs.NewFromConfig(awsclient.Once(o.AWS)), queue.Options{}), o.AWS, o.preflight())
	return err
}

func (o Options) preflight() preflight.Options {
	return preflight.Options{
		QueueURLs: o.QueueURLs, StateQueueURL: o.StateQueueURL, DeadLetterURL: o.DeadLetterURL, TopicARN: o.TopicARN, Regions: o.Regions, Role: o.Role, Account: o.Account, Log: o.Log,
	}
}

// readQuotas finds out which quotas are in force, and says so. Service Quotas is asked once, at start, and not
// waited for long.
func (w *Worker) readQuotas(ctx context.Context) {
	w.handlers = made(w.o.Services, locations(w.o, w.home, w.trouble))
	w.quotas = quotas.Table{Given: w.o.Quotas, Account: w.home.Account}
	began := time.Now()
	var err error
	w.quotas.PerRegion, err = quotas.OfAccount(ctx, awsclient.Once(w.o.AWS), w.o.Regions)
	if err != nil {
		w.o.Log.Info("not all of the account's own quotas can be read from Service Quotas; those built in are taken for the rest (servicequotas:ListServiceQuotas would allow it)",
			zap.NamedError("why", trouble.Explain("", "", err, time.Since(began))))
	}
}

// assemble makes the parts that need all that New has found out.
func (w *Worker) assemble() {
	o := w.o
	w.publisher = results.New(w.metrics.meter.Topic(sns.NewFromConfig(awsclient.Once(o.AWS))), results.Options{
		Logger: o.Log.Named("results"), Trouble: w.trouble, Chance: o.Chance,
		OnDown: func(err error) { w.gate.Set(theTopic, err) },
		OnUp:   func() { w.gate.Set(theTopic, nil) },
	})
	w.pipeline = pipeline.New(pipeline.Options{
		Name: o.Name, Worker: w.name, Home: w.home, Regions: o.Regions, OtherAccounts: o.Role != "",
		MaxInFlight: o.MaxInFlight, Quota: w.quotas.At, Confirm: o.Confirm, StateEvents: o.StateQueueURL != "", Patience: o.Patience, GiveUp: o.GiveUp,
		Handlers: w.handlers, Ledger: w.metrics.meter.Ledger(o.Ledger), Publish: w.publish, Gate: w.gate, Trouble: w.trouble, TopicARN: o.TopicARN, Log: o.Log.Named("pipeline"), Chance: o.Chance,
	})
}

// publish publishes an outcome, and counts it unless it was published before.
func (w *Worker) publish(ctx context.Context, o *pipeline.Outcome) error {
	m := message.NewMessageWithContext(ctx, o.ID, o.Event)
	m.Metadata = outcome.Attributes(o.Data)
	if err := w.publisher.Publish(w.o.TopicARN, m); err != nil {
		return err
	}
	w.metrics.published(o)
	return nil
}

// ownCredentials bounds the worker's own credentials, where it signs its requests.
func ownCredentials(from aws.CredentialsProvider, peers *trouble.Peers, jitter *rand.Rand) aws.CredentialsProvider {
	if from == nil || aws.IsCredentialsProvider(from, aws.AnonymousCredentials{}) {
		return from
	}
	return credentials.New(from, credentials.Own, peers, jitter)
}

// locations makes the AWS configuration of each account and region: the worker's own
// credentials, or the role of another account, which its regions share.
func locations(o Options, home handlers.Location, peers *trouble.Peers) func(handlers.Location) aws.Config {
	base := awsclient.Once(o.AWS)
	base.APIOptions = append(base.APIOptions[:len(base.APIOptions):len(base.APIOptions)], awsclient.WithRequestID)
	roles := handlers.PerLocation(func(of handlers.Location) *credentials.Source {
		role := strings.ReplaceAll(o.Role, "{account}", of.Account)
		provider := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(base), role,
			func(a *stscreds.AssumeRoleOptions) { a.RoleSessionName = "rescind-" + o.Name })
		return credentials.New(provider, role, peers, o.Chance)
	})
	return func(at handlers.Location) aws.Config {
		c := base.Copy()
		c.Region = at.Region
		if at.Account != home.Account {
			c.Credentials = roles(handlers.Location{Account: at.Account})
		}
		return c
	}
}

// Run takes commands until ctx ends, and then stops in order: no new polls; what is under way
// finishes, is published and settled; the rest is released at once. It returns nil once
// nothing is left, at the latest Options.Drain and some seconds later.
func (w *Worker) Run(ctx context.Context) error {
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: closeBound}, zapAdapter{w.o.Log.Named("router")})
	if err != nil {
		return fmt.Errorf("making the router: %w", err)
	}
	w.consume(router, w.o.QueueURLs[0])
	if w.events != nil {
		router.AddConsumerHandler(w.o.StateQueueURL, w.o.StateQueueURL, w.events, w.pipeline.HandleEvent)
	}

	// Everything here outlives ctx: its end begins the drain, and only that ends the rest.
	lasting, end := context.WithCancel(context.WithoutCancel(ctx))
	var keeping, routing sync.WaitGroup
	keeping.Go(func() { w.pipeline.KeepClaims(lasting) })
	keeping.Go(func() { w.pipeline.DropIdle(lasting) })
	keeping.Go(func() { w.sayWork(lasting) })
	var routed error
	ended := make(chan struct{})
	routing.Go(func() {
		defer close(ended)
		routed = router.Run(context.WithoutCancel(ctx))
	})
	select {
	case <-router.Running():
		err = w.take(lasting, router)
	case <-ended:
	}
	if err == nil {
		select {
		case <-ctx.Done():
		case <-ended:
			err = errors.New("the router ended by itself")
		}
	}
	err = errors.Join(err, w.drain(router))
	routing.Wait()
	w.pipeline.Close()
	end()
	keeping.Wait()
	defer w.trouble.Close()
	return errors.Join(err, routed, w.publisher.Close())
}

func (w *Worker) consume(router *message.Router, queueURL string) {
	router.AddConsumerHandler(queueURL, queueURL, w.queue, w.pipeline.Handle)
}

// take subscribes to the queues after the first, one after the other, since they are served in
// the order of their subscriptions.
func (w *Worker) take(ctx context.Context, router *message.Router) error {
	for _, url := range w.o.QueueURLs[1:] {
		w.consume(router, url)
		if err := router.RunHandlers(ctx); err != nil {
			return fmt.Errorf("subscribing to %s: %w", url, err)
		}
	}
	w.running.Store(true)
	w.sayStart()
	return nil
}

// sayStart logs what this worker is, and the quotas that are in force, by where they are from.
func (w *Worker) sayStart() {
	b := buildinfo.Read()
	fields := []zap.Field{
		zap.String("name", w.o.Name), zap.String("version", b.Version), zap.String("commit", cmp.Or(b.Commit, "unknown")), zap.String("worker", w.name),
		zap.String("endpoint", cmp.Or(aws.ToString(w.o.AWS.BaseEndpoint), "AWS")), zap.String("account", w.home.Account), zap.Strings("regions", w.o.Regions),
		zap.Strings("queues", w.o.QueueURLs), zap.Strings("deadLetterQueues", slices.Compact(slices.Sorted(maps.Values(w.deadLetters)))),
		zap.String("topic", w.o.TopicARN), zap.String("ledger", w.o.LedgerName),
	}
	if w.o.StateQueueURL != "" {
		fields = append(fields, zap.String("stateQueue", w.o.StateQueueURL))
	}
	if own, ok := w.o.AWS.Credentials.(*credentials.Source); ok {
		fields = append(fields, zap.String("credentials", own.From()))
	}
	w.o.Log.Info("taking commands", fields...)
	for _, region := range w.o.Regions {
		fields := []zap.Field{zap.String("region", region)}
		in := w.quotas.InForce(handlers.Location{Account: w.home.Account, Region: region}, w.handlers)
		for _, from := range slices.Sorted(maps.Keys(in)) {
			fields = append(fields, zap.String(string(from), in[from]))
		}
		w.o.Log.Info("quotas in force, in calls a second and calls at once, by where they are from", fields...)
	}
}

// eventsInFlight is the most events of state changes held at once: each is a write of the ledger.
const eventsInFlight = 1000

// closeBound is how long the router waits for handlers that did not end with their contexts.
const closeBound = 10 * time.Second

// drain is the order of stopping; see the package documentation of queue.
func (w *Worker) drain(router *message.Router) error {
	w.running.Store(false)
	w.o.Log.Info("stopping: finishing what is under way, releasing the rest", zap.Duration("within", w.o.Drain))
	w.queue.StopReceiving()
	if w.events != nil {
		w.events.StopReceiving()
	}
	w.pipeline.Drain()
	cut := time.AfterFunc(w.o.Drain, w.pipeline.Close)
	defer cut.Stop()
	var drained sync.WaitGroup
	drained.Go(w.queue.Drain)
	if w.events != nil {
		drained.Go(w.events.Drain) // beside the other one: together they have Options.Drain
	}
	drained.Wait()
	err := router.Close()
	if err != nil {
		err = fmt.Errorf("closing the router: %w", err)
	}
	err = errors.Join(err, w.queue.Close())
	if w.events != nil {
		err = errors.Join(err, w.events.Close())
	}
	if err != nil {
		w.o.Log.Error("stopped, but not in order", zap.Error(err))
		return err
	}
	w.o.Log.Info("stopped")
	return nil
}

// Ready says what keeps the worker from taking commands, by component; nothing: it takes them.
func (w *Worker) Ready() map[string]error {
	reasons := w.gate.Reasons()
	if reasons == nil {
		reasons = make(map[string]error)
	}
	if err := w.queue.Health(); err != nil {
		reasons[theQueue] = err
	}
	switch {
	case w.pipeline.Draining():
		reasons["worker"] = errors.New("stopping")
	case !w.running.Load():
		reasons["worker"] = errors.New("not running")
	}
	return reasons
}

// workerName tells workers of one deployment apart.
func workerName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}
