package awssim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/batch"
	"github.com/rescindhq/rescind/internal/awssim/dynamodb"
	"github.com/rescindhq/rescind/internal/awssim/emr"
	"github.com/rescindhq/rescind/internal/awssim/eventbridge"
	"github.com/rescindhq/rescind/internal/awssim/fsx"
	"github.com/rescindhq/rescind/internal/awssim/iam"
	"github.com/rescindhq/rescind/internal/awssim/iot"
	"github.com/rescindhq/rescind/internal/awssim/service"
	"github.com/rescindhq/rescind/internal/awssim/servicequotas"
	"github.com/rescindhq/rescind/internal/awssim/sns"
	"github.com/rescindhq/rescind/internal/awssim/sqs"
	"github.com/rescindhq/rescind/internal/awssim/stepfunctions"
	"github.com/rescindhq/rescind/internal/awssim/sts"
	"github.com/rescindhq/rescind/internal/awssim/swf"
)

// Options say what kind of AWS the simulator is. The zero value is one that is fast, keeps to the
// published quotas and never fails.
type Options struct {
	// Account and Region are those of unsigned requests and of the methods of Sim; account also
	// of keys that name no other. Default 123456789012 and us-east-1.
	Account string
	Region  string
	// BaseURL stands before the queue URLs that the methods of Sim return; default is that of
	// [Sim.Config]. Queue URLs in answers begin with the endpoint as the client named it. Either
	// kind holds at every address that the simulator is served on: it reads their last two segments.
	BaseURL string
	// Seed decides what the faults and the ids are.
	Seed uint64
	// Latency is how long every request takes before anything is done; default 0.
	Latency time.Duration
	// Quotas go over [DefaultQuotas], by the same names; one of rate 0 lifts a limit.
	Quotas map[string]Quota
	// Faults are what may go wrong; nil for nothing.
	Faults Faults
	// History keeps a record of every request. Counts are always there.
	History bool
	// Batch says how Batch jobs behave.
	Batch batch.Options
	// DynamoDB says how late DynamoDB is.
	DynamoDB dynamodb.Options
	// EMR says how EMR steps behave.
	EMR emr.Options
	// Events says where events of state changes go: of Batch jobs, EMR steps and executions of Step Functions.
	Events eventbridge.Options
	// FSx says how FSx data repository tasks behave.
	FSx fsx.Options
	// IoT says how IoT job executions behave.
	IoT iot.Options
	// StepFunctions says how Step Functions answers where AWS does not say.
	StepFunctions stepfunctions.Options
	// ServiceQuotas are the values that Service Quotas has. Quotas says what is throttled.
	ServiceQuotas []servicequotas.Quota
	// SWF says how the deciders of SWF workflows behave.
	SWF swf.Options
}

// Sim is one AWS simulator. Make it with New. Its methods are safe for concurrent use.
type Sim struct {
	options  Options
	services []*service.Service
	routes   map[*service.Service][]route // of those that are REST
	limiter  *limiter
	faults   *faults
	outages  *outages
	failures failures
	history  history
	ids      *ids

	events   *eventbridge.Bus
	sqs      *sqs.SQS
	sns      *sns.SNS
	sts      *sts.STS
	iam      *iam.IAM
	batch    *batch.Batch
	emr      *emr.EMR
	fsx      *fsx.FSx
	iot      *iot.IoT
	swf      *swf.SWF
	sfn      *stepfunctions.StepFunctions
	dynamodb *dynamodb.DynamoDB

	server     *http.Server
	background sync.WaitGroup // servers
	pipeOnce   sync.Once
	pipes      *pipes
	pipeClient *http.Transport

	mu      sync.Mutex
	closed  bool
	number  uint64
	stops   map[uint64]context.CancelFunc // one for each request that runs
	serving sync.WaitGroup                // requests; added to only while not closed
}

// New returns a simulator with no queue, topic or job in it. It starts no goroutine.
func New(o Options) *Sim {
	o.Account = cmp.Or(o.Account, "123456789012")
	o.Region = cmp.Or(o.Region, "us-east-1")
	o.BaseURL = strings.TrimSuffix(cmp.Or(o.BaseURL, pipeBase), "/")
	s := &Sim{
		options: o,
		limiter: newLimiter(o.Quotas),
		faults:  newFaults(o.Seed, o.Faults),
		outages: newOutages(),
		history: history{full: o.History, counts: map[string]*Count{}},
		ids:     &ids{seed: o.Seed},
		stops:   map[uint64]context.CancelFunc{},
		routes:  map[*service.Service][]route{},
	}
	s.sqs = sqs.New(o.Seed)
	s.sns = sns.New(o.Seed, s.sqs)
	s.events = eventbridge.New(o.Seed, o.Events, s.sqs)
	s.sts = sts.New(o.Seed)
	s.iam = iam.New()
	s.batch = batch.New(o.Seed, o.Batch, s.events)
	s.emr = emr.New(o.Seed, o.EMR, s.events)
	s.fsx = fsx.New(o.FSx)
	s.iot = iot.New(o.IoT)
	s.swf = swf.New(o.SWF)
	s.sfn = stepfunctions.New(o.StepFunctions, s.events)
	s.dynamodb = dynamodb.New(o.DynamoDB)
	s.register(s.sqs.Service())
	s.register(s.sns.Service())
	s.register(s.sts.Service())
	s.register(s.iam.Service())
	s.register(s.batch.Service())
	s.register(s.emr.Service())
	s.register(s.fsx.Service())
	s.register(s.iot.Service())
	s.register(s.swf.Service())
	s.register(s.sfn.Service())
	s.register(s.dynamodb.Service())
	s.register(servicequotas.New(o.ServiceQuotas).Service())
	// No timeouts: a connection that the server closes for being idle would now and then be
	// the one that a client has just chosen, and look like a fault that nobody asked for.
	s.server = &http.Server{Handler: s.Handler()}
	return s
}

// register adds a service, with AWS's common answers where it has none of its own.
func (s *Sim) register(in *service.Service) {
	in.Signing = cmp.Or(in.Signing, in.Name)
	if in.Throttled == nil {
		in.Throttled = service.Refuse("ThrottlingException", "Rate exceeded")
	}
	if in.Denied == nil {
		in.Denied = &service.Error{Status: http.StatusForbidden, Code: "AccessDeniedException", Message: "The caller is not authorized to perform this action."}
	}
	if len(in.Broken) == 0 {
		in.Broken = []*service.Error{unavailable}
	}
	s.routes[in] = routesOf(in)
	s.services = append(s.services, in)
	slices.SortFunc(s.services, func(a, b *service.Service) int { return strings.Compare(a.Name, b.Name) })
}

// SetFaults replaces all rules, from the next request on. What was seen so far still counts.
func (s *Sim) SetFaults(rules Faults) { s.faults.set(rules) }

// SetQuota changes one quota, by a name as in [DefaultQuotas]; its buckets start full.
func (s *Sim) SetQuota(name string, q Quota) { s.limiter.set(name, q) }

// SetDown makes a service, by its name ("sns"), answer 503 to everything, or work again.
func (s *Sim) SetDown(service string, down bool) { s.outages.setDown(service, "", down) }

// SetDownIn does the same in one region.
func (s *Sim) SetDownIn(service, region string, down bool) {
	s.outages.setDown(service, region, down)
}

// SetHang makes a service keep everything waiting, or go on: what waited is then served.
func (s *Sim) SetHang(service string, hang bool) { s.outages.setHang(service, hang) }

// ListenAndServe serves on a TCP address until Close, and then returns nil.
func (s *Sim) ListenAndServe(addr string) error {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return fmt.Errorf("listening for AWS requests: %w", err)
	}
	return s.Serve(l)
}

// Serve serves on a listener until Close, and then returns nil. It closes the listener.
func (s *Sim) Serve(l net.Listener) error {
	if err := s.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving AWS requests: %w", err)
	}
	return nil
}

// Close cuts every connection and returns when no request runs any more. It leaves no
// goroutine but those of callers of Serve, which return by themselves.
func (s *Sim) Close() error {
	s.mu.Lock()
	s.closed = true
	for _, stop := range s.stops {
		stop()
	}
	s.mu.Unlock()
	err := s.server.Close()
	s.serving.Wait()
	s.events.Close()
	s.background.Wait()
	s.pipeOnce.Do(func() {}) // whatever Config made is seen here
	if s.pipeClient != nil {
		s.pipeClient.CloseIdleConnections()
	}
	if err != nil {
		return fmt.Errorf("closing the AWS simulator: %w", err)
	}
	return nil
}

// enter counts a request in; ok is false once the simulator is closed. The context it returns
// ends with the request's and with the simulator; leave counts the request out.
func (s *Sim) enter(ctx context.Context) (_ context.Context, leave func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, false
	}
	s.serving.Add(1)
	s.number++
	number := s.number
	ctx, cancel := context.WithCancel(ctx)
	s.stops[number] = cancel
	return ctx, func() {
		s.mu.Lock()
		delete(s.stops, number)
		s.mu.Unlock()
		cancel()
		s.serving.Done()
	}, true
}

// ids are request ids: distinct, and the same for the same seed and number.
type ids struct {
	seed   uint64
	number atomic.Uint64
}

func (i *ids) next() string {
	n := i.number.Add(1)
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", uint32(i.seed>>32), uint16(i.seed>>16), i.seed>>4&0xfff, i.seed&0xfff, n)
}
