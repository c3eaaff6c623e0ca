package demo

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker/outcome"
)

// Fleet puts targets into a simulator and makes commands for them. The same seed makes the same
// fleet. It is not safe for concurrent use.
type Fleet struct {
	sim  *awssim.Sim
	rand *rand.Rand
}

// NewFleet returns a fleet without targets.
func NewFleet(sim *awssim.Sim, seed uint64) *Fleet {
	return &Fleet{sim: sim, rand: rand.New(rand.NewPCG(seed, 0))}
}

// uuid draws a UUID of version 4, as AWS makes them.
func (f *Fleet) uuid() string {
	var id uuid.UUID
	for i := range id {
		id[i] = byte(f.rand.Uint32())
	}
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // version 4, variant of RFC 9562
	return id.String()
}

// Alphabets of ids that are not UUIDs.
const (
	hexadecimal = "0123456789abcdef"
	capitals    = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// randomID draws an id: a prefix and n characters of an alphabet.
func (f *Fleet) randomID(prefix, alphabet string, n int) string {
	id := make([]byte, n)
	for i := range id {
		id[i] = alphabet[f.rand.IntN(len(alphabet))]
	}
	return prefix + string(id)
}

// service is one AWS service's share of the fleet. To add a service, add it to services.
type service struct {
	name   string
	api    string // the prefix of its operations; "": the name
	weight int    // its share of all targets
	// commands puts n targets into the simulator and returns commands for all of them.
	commands func(f *Fleet, n int) []command
	// samples puts n targets into the simulator for people to try commands on.
	samples func(f *Fleet, n int) []Sample
}

// services returns every service of the fleet. The weights make each service take about as long
// for 5,000 targets, although their quotas and batch sizes differ a thousandfold. The first service gets the targets that rounding leaves over.
func services() []service {
	return []service{
		{name: "batch", weight: 62, commands: batchCommands, samples: batchSamples},
		{name: "emr", api: "elasticmapreduce", weight: 10, commands: emrCommands, samples: emrSamples},
		{name: "fsx", weight: 2, commands: fsxCommands, samples: fsxSamples},
		{name: "iot", weight: 5, commands: iotCommands, samples: iotSamples},
		{name: "stepfunctions", api: "states", weight: 5, commands: stepFunctionsCommands, samples: stepFunctionsSamples},
		{name: "swf", weight: 16, commands: swfCommands, samples: swfSamples},
	}
}

// Services returns the names of the services that the fleet has targets in.
func Services() []string {
	var names []string
	for _, s := range services() {
		names = append(names, s.name)
	}
	return names
}

// command is one command of the fleet, and what its outcome must be.
type command struct {
	body    string
	service string // whose share of the fleet it is
	targets int    // how many targets the command names
	// eventID is the id that the outcome must have. It is "" until the command is sent if the
	// command cannot be read: its outcome's id is then derived from the SQS message id.
	eventID string
	// repeat asks that the command be sent a second time after its outcome was published. The
	// same outcome must be published again, without another call.
	repeat bool
	// want is the outcome's status; "" if only the target's state decides.
	want handlers.Status
	// verify compares a result with the target's state in the simulator after the run; nil if
	// there is nothing to compare.
	verify func(got result) error
}

// result is what an outcome reports.
type result struct {
	status handlers.Status
	// targets has each target's status by its id, if the command has several targets.
	targets map[string]handlers.Status
}

// check returns an error that begins "is …" if the result is wrong.
func (c *command) check(got result) error {
	if c.want != "" && got.status != c.want {
		return fmt.Errorf("is %s, want %s", got.status, c.want)
	}
	if c.verify == nil {
		return nil
	}
	return c.verify(got)
}

// sent records the message id that SQS gave the command.
func (c *command) sent(messageID string) {
	if c.eventID == "" {
		c.eventID = outcome.EventID("msg:" + messageID)
	}
}

// oneOf returns an error unless a status is one of those that its target's state allows.
func oneOf(got handlers.Status, target, state string, allowed ...handlers.Status) error {
	if slices.Contains(allowed, got) {
		return nil
	}
	return fmt.Errorf("is %s, but %s is %s, which allows %v", got, target, state, allowed)
}

// commands puts n targets into the simulator, spread over all services, and returns commands for
// them in random order.
func (f *Fleet) commands(n int) []command {
	var all []command
	left, weights := n, 0
	list := services()
	for _, s := range list {
		weights += s.weight
	}
	add := func(s service, n int) {
		for _, c := range s.commands(f, n) {
			c.service = s.name
			all = append(all, c)
		}
	}
	for _, s := range list[1:] {
		share := n * s.weight / weights
		left -= share
		add(s, share)
	}
	add(list[0], left)
	f.rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// kind is one kind of command in a service's share.
type kind struct {
	weight int // in the share
	make   func(f *Fleet) command
}

// distribute makes n commands of the given kinds in proportion to their weights, and at least one
// of each kind as far as n allows. The first kind gets what rounding leaves over.
func (f *Fleet) distribute(n int, kinds []kind) []command {
	weights := 0
	for _, k := range kinds {
		weights += k.weight
	}
	all := make([]command, 0, n)
	for _, k := range kinds[1:] {
		count := min(max(1, n*k.weight/weights), n-len(all))
		for range count {
			all = append(all, k.make(f))
		}
	}
	for len(all) < n {
		all = append(all, kinds[0].make(f))
	}
	return all
}

// newCommand makes a command for one target from its JSON members, and gives it an id.
func (f *Fleet) newCommand(members map[string]any) command {
	id := f.uuid()
	members["id"] = id
	key := id
	if members["dryRun"] == true {
		key = "dry/" + id // a dry run has a key space of its own
	}
	return command{body: jsonText(members), targets: 1, eventID: outcome.EventID(key)}
}

// commandFor makes a command of an action for one target.
func (f *Fleet) commandFor(action string, parameters map[string]any) command {
	return f.newCommand(map[string]any{"action": action, "parameters": parameters, "reason": overBudget, "requestedBy": "cost-guard"})
}

// escalatingCommand makes a command that takes the stronger action of a target that has not stopped in time.
func (f *Fleet) escalatingCommand(action string, parameters map[string]any) command {
	return f.newCommand(map[string]any{
		"action": action, "parameters": parameters, "reason": overBudget, "requestedBy": "cost-guard", "escalate": escalateAfter,
	})
}

// jsonText returns a value as JSON.
func jsonText(v any) string {
	body, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		panic(err) // strings, lists and booleans always marshal
	}
	return string(body)
}

// untouched is a target that the worker must not call, although a call would stop it.
type untouched struct {
	action     string
	parameters map[string]any
	check      func() error // returns an error if the target was called
}

// commonKinds are kinds of command that every service's share has: commands that must cause no
// call, for targets that put makes, and a command that is sent twice and must cause one call only.
func commonKinds(put func(*Fleet) untouched, repeated func(*Fleet) command) []kind {
	past := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	return []kind{
		{1, notRun(put, handlers.DryRun, "dryRun", true)},
		{1, notRun(put, handlers.Expired, "expiresAt", past)},
		{1, notRun(func(f *Fleet) untouched { return put(f).in(otherAccount) }, handlers.Denied, "account", otherAccount)},
		{1, func(f *Fleet) command { return f.invalidCommand(put(f)) }},
		{1, func(f *Fleet) command {
			c := repeated(f)
			c.repeat = true
			return c
		}},
	}
}

// notRun makes commands that are not run because of the value of one member.
func notRun(put func(*Fleet) untouched, want handlers.Status, member string, value any) func(*Fleet) command {
	return func(f *Fleet) command {
		u := put(f)
		c := f.newCommand(map[string]any{"action": u.action, "parameters": u.parameters, member: value})
		c.want, c.verify = want, u.verify
		return c
	}
}

// otherAccount is none that the worker may call in.
const otherAccount = "999999999999"

// in returns the target with an account in the ARNs among its parameters: a command must not contradict them.
func (u untouched) in(account string) untouched {
	u.parameters = maps.Clone(u.parameters)
	for name, value := range u.parameters {
		if arn, ok := value.(string); ok {
			u.parameters[name] = strings.Replace(arn, ":123456789012:", ":"+account+":", 1)
		}
	}
	return u
}

func (u untouched) verify(got result) error {
	if err := u.check(); err != nil {
		return fmt.Errorf("is %s, but %w", got.status, err)
	}
	return nil
}

// invalidCommand makes a command that breaks a rule; which rule is drawn.
func (f *Fleet) invalidCommand(u untouched) command {
	misnamed := map[string]any{}
	for name, value := range u.parameters {
		misnamed[name+"s"] = value
	}
	bodies := []string{
		jsonText(map[string]any{"id": f.uuid(), "action": u.action, "parameters": u.parameters, "reasn": overBudget}),
		jsonText(map[string]any{"id": f.uuid(), "action": u.action, "parameters": misnamed}),
		jsonText(map[string]any{"id": f.uuid(), "action": u.action + "s", "parameters": u.parameters}),
		jsonText(map[string]any{"id": f.uuid(), "action": u.action, "parameters": []any{u.parameters}}),
		fmt.Sprintf("please stop %v", u.parameters),
	}
	return command{body: bodies[f.rand.IntN(len(bodies))], targets: 1, want: handlers.Invalid, verify: u.verify}
}

// Sample is a target for people to try commands on.
type Sample struct {
	ID    string
	State string // in the service's own words
	// Action and Parameters are those of a command that suits the target.
	Action     string
	Parameters map[string]any
}

// Samples puts n targets of each service into the simulator, in various states.
func (f *Fleet) Samples(n int) []Sample {
	var all []Sample
	for _, s := range services() {
		all = append(all, s.samples(f, n)...)
	}
	return all
}
