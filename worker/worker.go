package worker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
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
	"github.com/rescindhq/rescind/worker/command"
	"github.com/rescindhq/rescind/worker/crew"
	"github.com/rescindhq/rescind/worker/queue"
	"github.com/rescindhq/rescind/worker/results"
)

// Worker runs commands. Make one with New, and call Run once.
type Worker struct {
	o         Options
	gate      *gate
	memory    *memory
	lanes     *lanes
	road      *road
	queue     *queue.Subscriber
	strays    *queue.Subscriber // of dead-letter queues
	dead      []string          // their URLs
	straying  sync.WaitGroup    // what takes from them
	publisher *results.Publisher
	crew      crew.Crew // what makes requests to SQS and SNS
	metrics   *metrics
	running   atomic.Bool
}

// New checks the queues and puts a worker together. It reads queue attributes and, where
// Options.Account is empty, asks STS who it is; it changes nothing. Errors say what to do.
func New(ctx context.Context, o Options) (*Worker, error) {
	o = o.withDefaults()
	w := &Worker{o: o, gate: &gate{}}
	w.metrics = newMetrics(w)
	deadLetters := make(map[string]string)
	api := sqs.NewFromConfig(once(o.AWS))
	w.queue = queue.New(api, queue.Options{
		MaxInFlight: o.MaxInFlight, Lease: claimLease, Drain: o.Drain, Gate: w.gate,
		DeadLetters: deadLetters, Go: w.crew.Go, Logger: o.Log.Named("queue"), Plenty: func(held int) bool { return w.road.busy(held) || w.lanes.plenty() },
	})
	giveUps := make(map[string]time.Duration)
	var facts []queueFacts
	if len(o.QueueURLs) == 0 {
		return nil, errors.New("no queue: set RESCIND_QUEUE_URL")
	}
	for _, url := range o.QueueURLs {
		if _, twice := giveUps[url]; twice {
			return nil, fmt.Errorf("queue %s is named twice (RESCIND_QUEUE_URL)", url)
		}
		found, err := w.inspect(ctx, url)
		if err != nil {
			return nil, err
		}
		deadLetters[url], giveUps[url] = found.deadLetter, found.giveUp
		facts = append(facts, found)
		if o.Account == "" {
			o.Account = found.account
		}
	}
	home := handlers.Place{Account: o.Account, Region: o.AWS.Region}
	if id, err := whoAmI(ctx, o); err != nil {
		return nil, err
	} else if id != "" {
		home.Account = id
	}
	var sources map[string]source
	w.dead, sources = w.findStrays(ctx, api, facts)
	w.publisher = results.New(sns.NewFromConfig(once(o.AWS)), results.Options{
		Go: w.crew.Go, Logger: o.Log.Named("results"),
		OnDown: func(err error) { w.gate.set("results topic", err) },
		OnUp:   func() { w.gate.set("results topic", nil) },
	})
	w.memory = &memory{ledger: o.Ledger, gate: w.gate, log: o.Log.Named("ledger"), held: make(map[string]*journey)}
	w.lanes = newLanes(o.Quotas, w.memory.begin, w.queue.Flowing)
	var all []handlers.Handler
	for _, service := range o.Services {
		all = append(all, service(places(o, home))...)
	}
	w.road = &road{
		o: o, home: home, giveUps: giveUps, sources: sources, decoder: command.NewDecoder(all, home), handlers: byAction(all),
		memory: w.memory, lanes: w.lanes, window: newWindow(o.MaxInFlight, o.Patience, w.lanes, w.recall), announce: w.publish, name: workerName(), log: o.Log.Named("road"),
	}
	return w, nil
}

func (w *Worker) recall(key holdingKey, most int) int { return w.queue.Recall(key, most) }

func byAction(all []handlers.Handler) map[handlers.Action]handlers.Handler {
	m := make(map[handlers.Action]handlers.Handler, len(all))
	for _, h := range all {
		m[h.Action()] = h
	}
	return m
}

// once makes clients make one attempt: queue and results own their retries.
func once(c aws.Config) aws.Config {
	c = c.Copy()
	c.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	return c
}

// queueFacts is what a worker takes from a queue's attributes.
type queueFacts struct {
	url, arn, account string
	deadLetter        string // URL: where the worker buries
	redriveARN        string // where SQS does, after maxReceives; "" and 0: nowhere
	maxReceives       int
	giveUp, retention time.Duration
}

// inspect refuses queues on which commands could be lost or could not be told.
func (w *Worker) inspect(ctx context.Context, url string) (queueFacts, error) {
	a, err := w.queue.Inspect(ctx, url)
	if err != nil {
		return queueFacts{}, fmt.Errorf("reading the attributes of queue %s: %w", url, err)
	}
	if a.FIFO {
		return queueFacts{}, fmt.Errorf("queue %s is a FIFO queue: use a standard queue, since one message of a group would hold up all behind it", url)
	}
	f := queueFacts{
		url: url, arn: a.ARN, deadLetter: w.o.DeadLetterURL, redriveARN: a.DeadLetterARN, maxReceives: a.MaxReceiveCount,
		giveUp: w.o.GiveUp, retention: a.Retention,
	}
	if f.deadLetter == "" {
		if a.DeadLetterARN == "" {
			return queueFacts{}, fmt.Errorf("queue %s has no dead-letter queue: give it a redrive policy (maxReceiveCount %d or more), or set RESCIND_DLQ_URL", url, warnReceives)
		}
		if f.deadLetter, err = w.queue.DeadLetterURL(ctx, a.DeadLetterARN); err != nil {
			return queueFacts{}, fmt.Errorf("finding the dead-letter queue of %s: %w; or set RESCIND_DLQ_URL", url, err)
		}
	}
	switch {
	case a.MaxReceiveCount == 0:
	case a.MaxReceiveCount < w.o.MinReceives:
		return queueFacts{}, fmt.Errorf("queue %s gives up on a message after %d receives (maxReceiveCount), and an outage would use them up: raise it to %d or more, or lower RESCIND_MIN_RECEIVES (%d)",
			url, a.MaxReceiveCount, warnReceives, w.o.MinReceives)
	case a.MaxReceiveCount < warnReceives:
		w.o.Log.Warn("queue gives up on a message after few receives; 1,000 outlasts an outage of days",
			zap.String("queue", url), zap.Int("maxReceiveCount", a.MaxReceiveCount))
	}
	if f.giveUp == 0 {
		f.giveUp = a.Retention - 24*time.Hour
		if a.Retention < 48*time.Hour {
			f.giveUp = a.Retention / 2
		}
	}
	if a.Retention > 0 && f.giveUp >= a.Retention {
		return queueFacts{}, fmt.Errorf("queue %s deletes messages after %s, before their commands would end at an age of %s: lower RESCIND_GIVE_UP, or raise the queue's retention",
			url, a.Retention, f.giveUp)
	}
	if parts := strings.Split(a.ARN, ":"); len(parts) == 6 {
		f.account = parts[4]
	}
	return f, nil
}

// whoAmI asks STS for the worker's own account. An endpoint that answers but does not offer
// STS, as an emulator may, leaves it to what is known already, if anything is.
func whoAmI(ctx context.Context, o Options) (string, error) {
	out, err := sts.NewFromConfig(o.AWS).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err == nil {
		return aws.ToString(out.Account), nil
	}
	var answered interface{ HTTPStatusCode() int }
	if errors.As(err, &answered) && o.Account != "" {
		switch answered.HTTPStatusCode() {
		case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
			o.Log.Warn("STS does not say which account this is; taking the queue's", zap.String("account", o.Account), zap.Error(err))
			return "", nil
		}
	}
	return "", fmt.Errorf("asking STS which account this is: %w; are credentials and AWS_ENDPOINT_URL right?", err)
}

// places makes the AWS configuration of each account and region: the worker's own
// credentials, or the role of another account.
func places(o Options, home handlers.Place) func(handlers.Place) aws.Config {
	base := once(o.AWS)
	return func(at handlers.Place) aws.Config {
		c := base.Copy()
		c.Region = at.Region
		if at.Account != home.Account {
			role := strings.ReplaceAll(o.Role, "{account}", at.Account)
			c.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(o.AWS), role,
				func(a *stscreds.AssumeRoleOptions) { a.RoleSessionName = "rescind-" + o.Name }))
		}
		return c
	}
}

// Run takes commands until ctx ends, and then stops in order: no new polls; what is under way
// finishes, is published and settled; the rest is released at once. It returns nil once
// nothing is left, at the latest Options.Drain and some seconds later.
func (w *Worker) Run(ctx context.Context) error {
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: w.o.Drain + 2*flushBound}, zapAdapter{w.o.Log.Named("router")})
	if err != nil {
		return fmt.Errorf("making the router: %w", err)
	}
	defer w.crew.Close()
	router.AddMiddleware(w.road.recoverer)
	w.consume(router, w.o.QueueURLs[0])

	// Everything here outlives ctx: its end begins the drain, and only that ends the rest.
	lasting, end := context.WithCancel(context.WithoutCancel(ctx))
	var keeping, routing sync.WaitGroup
	keeping.Go(func() { w.memory.keep(lasting) })
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
	w.lanes.close()
	end()
	keeping.Wait()
	return errors.Join(err, routed, w.publisher.Close())
}

func (w *Worker) consume(router *message.Router, queueURL string) {
	router.AddConsumerHandler(queueURL, queueURL, w.queue, w.road.handle)
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
	if err := w.takeStrays(ctx); err != nil {
		return err
	}
	w.running.Store(true)
	w.o.Log.Info("taking commands", zap.Strings("queues", w.o.QueueURLs), zap.String("topic", w.o.TopicARN),
		zap.String("account", w.road.home.Account), zap.Strings("regions", w.o.Regions))
	return nil
}

// handOver is time enough for a message to pass from the subscription to its handler.
const handOver = 10 * time.Millisecond

// flushBound is how long settling may take after the drain.
const flushBound = 10 * time.Second

// drain is the order of stopping; see the package documentation of queue.
func (w *Worker) drain(router *message.Router) error {
	w.running.Store(false)
	w.o.Log.Info("stopping: finishing what is under way, releasing the rest", zap.Duration("within", w.o.Drain))
	w.road.draining.Store(true)
	w.queue.StopReceiving()
	w.strays.StopReceiving()
	w.lanes.drain()
	w.road.window.close()
	// What the router has in its hands may begin, and is released by the road's first line:
	// while the router closes it would only wait.
	time.Sleep(handOver)
	cut := time.AfterFunc(w.o.Drain, w.lanes.close)
	defer cut.Stop()
	var closing sync.WaitGroup
	var queueErr, straysErr error
	closing.Go(func() { queueErr = w.queue.Close() })
	closing.Go(func() {
		straysErr = w.strays.Close()
		w.straying.Wait()
	})
	routerErr := router.Close()
	closing.Wait()
	if routerErr != nil {
		routerErr = fmt.Errorf("closing the router: %w", routerErr)
	}
	err := errors.Join(routerErr, queueErr, straysErr)
	w.o.Log.Info("stopped", zap.Error(err))
	return err
}

// Ready says what keeps the worker from taking commands, by component; nothing: it takes them.
func (w *Worker) Ready() map[string]error {
	reasons := w.gate.reasons()
	if reasons == nil {
		reasons = make(map[string]error)
	}
	if err := w.queue.Health(); err != nil {
		reasons["queue"] = err
	}
	switch {
	case w.road.draining.Load():
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
