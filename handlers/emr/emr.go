// Package emr cancels steps of Amazon EMR clusters: emr:CancelSteps. It owns what EMR's
// answers mean; it knows no queue, no quota of its own making and no retry.
//
// One call takes up to 256 steps of one cluster and one option, and answers step by step.
// SUBMITTED is answer enough: the step is accepted. FAILED comes without a code, but with a
// reason in words; where they are documented and name the step's state they decide, and
// otherwise, as for a step that the answer leaves out, ListSteps does, ten steps a call
// (judge.go). Proof for many is read by ListSteps too, of the steps that are CANCELLED.
package emr

import (
	"context"
	"regexp"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/emr"
	"github.com/aws/aws-sdk-go-v2/service/emr/types"
	"github.com/rescindhq/rescind/handlers"
)

// Bounds of EMR's own (facts/aws.json: core.emr.batch, and the fields of CancelSteps).
const (
	maxCancel = 256 // step ids in one CancelSteps
	maxList   = 10  // step ids in one ListSteps
	maxID     = 256 // characters of a cluster's or a step's id
)

// Quotas for an account in a region (facts/aws.json: core.emr.quotas_per_account_region).
var (
	cancelQuota  = handlers.Quota{Rate: 0.5, Burst: 10}
	listQuota    = handlers.Quota{Rate: 0.5, Burst: 10}
	serviceQuota = handlers.Quota{Rate: 5, Burst: 25}
)

// client is the part of the SDK that the handler calls.
type client interface {
	CancelSteps(context.Context, *sdk.CancelStepsInput, ...func(*sdk.Options)) (*sdk.CancelStepsOutput, error)
	ListSteps(context.Context, *sdk.ListStepsInput, ...func(*sdk.Options)) (*sdk.ListStepsOutput, error)
}

type handler struct {
	clients func(handlers.Location) client
}

// New returns the handler of emr:CancelSteps. config gives the SDK configuration (region,
// credentials, endpoint) for a location; it is asked when a location is first called and must be
// safe for concurrent use. Whatever retries it configures are turned off.
func New(config func(handlers.Location) aws.Config) []handlers.Handler {
	return []handlers.Handler{&handler{clients: handlers.PerLocation(func(at handlers.Location) client {
		return sdk.NewFromConfig(config(at), func(o *sdk.Options) {
			// One attempt: the lane owns retries. An SDK that retried would spend quota which
			// the lane does not count, and hide the throttling that the lane slows for.
			o.Retryer = aws.NopRetryer{}
			o.RetryMaxAttempts = 1
		})
	})}}
}

// Action is emr:CancelSteps.
func (h *handler) Action() handlers.Action { return "emr:CancelSteps" }

// idText is what EMR says of cluster and step ids. An empty one is surely wrong, though EMR
// documents a least length of 0. The pattern is that of aws.json, whose surrogate pairs are
// the characters beyond U+FFFF: the characters that XML 1.0 allows.
var idText = handlers.Text{
	Min: 1, Max: maxID,
	Pattern: regexp.MustCompile(`[\x{20}-\x{D7FF}\x{E000}-\x{FFFD}\x{10000}-\x{10FFFF}\r\n\t]*`),
	Rule:    "must not hold U+FFFE, U+FFFF or control characters other than tab, line feed and carriage return",
}

// Fields are those of CancelSteps.
func (h *handler) Fields() []handlers.Field {
	return []handlers.Field{
		{Name: "ClusterId", Kind: handlers.String, Required: true, Text: idText},
		{Name: "StepIds", Kind: handlers.Strings, Required: true, Text: idText, MinItems: 1, MaxItems: maxCancel, Unique: true},
		{Name: "StepCancellationOption", Kind: handlers.String, Text: handlers.Text{Enum: []string{
			string(types.StepCancellationOptionSendInterrupt), string(types.StepCancellationOptionTerminateProcess),
		}}},
	}
}

// request is what a cancelling request says beside the steps.
type request struct{ cluster, option string }

// Targets returns one target for each step. Steps of one cluster and option share a call,
// steps of one cluster a read. No option is not the same key as SEND_INTERRUPT, the default:
// what the command says is what is sent.
func (h *handler) Targets(p handlers.Parameters) ([]handlers.Target, error) {
	r := request{cluster: p.Text("ClusterId"), option: p.Text("StepCancellationOption")}
	steps := p.Texts("StepIds")
	targets := make([]handlers.Target, len(steps))
	for i, id := range steps {
		targets[i] = r.target(id)
	}
	return targets, nil
}

// target is a step as a request names it. An option has no slash: no two requests have one key.
func (r request) target(step string) handlers.Target {
	return handlers.Target{ID: step, Key: r.option + "/" + r.cluster, ReadKey: r.cluster, Params: r}
}

// Stronger is the option TERMINATE_PROCESS.
func (h *handler) Stronger(t handlers.Target) (handlers.Stronger, bool) {
	r, _ := t.Params.(request)
	strongest := string(types.StepCancellationOptionTerminateProcess)
	isStrongest := r.option == strongest
	r.option = strongest
	return handlers.Stronger{Action: h.Action(), Target: r.target(t.ID), Name: "CancelSteps with TERMINATE_PROCESS"}, !isStrongest
}

// OnlyStronger is never: an interrupt may stop a step in any state in which one can be stopped.
func (h *handler) OnlyStronger(handlers.Reading) bool { return false }

// Cancel is CancelSteps. It must be given at least one target.
func (h *handler) Cancel() handlers.Call[handlers.Answer] {
	return handlers.Call[handlers.Answer]{
		Operation: "CancelSteps", Max: maxCancel, Quota: cancelQuota, ServiceQuota: serviceQuota, Do: h.cancel,
		Gather: gather,
	}
}

// gather is a quarter of the time in which AWS gives one call of CancelSteps back, which takes 256 steps. A
// burst of 100 steps of ten clusters would else spend the ten calls of the bucket on its first steps,
// and the rest would take 18 s.
const gather = 500 * time.Millisecond

// Read is ListSteps, filtered by step ids. It must be given at least one target.
func (h *handler) Read() handlers.Call[handlers.Reading] {
	return handlers.Call[handlers.Reading]{
		Operation: "ListSteps", Max: maxList, Quota: listQuota, ServiceQuota: serviceQuota, Do: h.list,
	}
}

// codes of a request that was refused as a whole: EMR does not say which step, if any, was at
// fault, and has the same code for an unknown cluster. InternalServerError, HTTP 400 here,
// means the same as from every service.
var codes = handlers.Codes{"InvalidRequestException": handlers.Refused}

// classify is the class of a request that failed as a whole.
func classify(err error) (*handlers.Error, string) {
	e, id := handlers.Classify(err, codes)
	if e.Class == handlers.Final {
		// A refusal that is not documented may be one step's fault like one that is.
		e.Class = handlers.Refused
	}
	return e, id
}
