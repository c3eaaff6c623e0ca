package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker/outcome"
)

// fleet makes targets in a box and commands for them. The same seed makes the same fleet.
type fleet struct {
	sim  *awssim.Sim
	rand *rand.Rand
}

func newFleet(sim *awssim.Sim, seed uint64) *fleet {
	return &fleet{sim: sim, rand: rand.New(rand.NewPCG(seed, 0))}
}

// uuid draws an id of the form that AWS gives.
func (f *fleet) uuid() string {
	var id uuid.UUID
	for i := range id {
		id[i] = byte(f.rand.Uint32())
	}
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // version 4, variant of RFC 9562
	return id.String()
}

// The characters of ids that are no UUIDs.
const (
	hexadecimal = "0123456789abcdef"
	capitals    = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// code draws an id of n characters after a prefix.
func (f *fleet) code(prefix, from string, n int) string {
	id := make([]byte, n)
	for i := range id {
		id[i] = from[f.rand.IntN(len(from))]
	}
	return prefix + string(id)
}

// part is one service's share of the fleet. To add a service, add its part to parts.
type part struct {
	service string
	weight  int // of its targets among all
	// orders puts n targets into the box, and returns commands for all of them.
	orders func(f *fleet, n int) []order
	// shown puts n targets into the box for people to try commands on.
	shown func(f *fleet, n int) []shown
}

// parts has the weights by which a fleet of 5,000 takes each service about as long: what a call
// takes and how many there may be a second differ a thousandfold. The first makes up the number.
func parts() []part {
	return []part{
		{service: "batch", weight: 35, orders: batchOrders, shown: batchShown},
		{service: "emr", weight: 42, orders: emrOrders, shown: emrShown},
		{service: "fsx", weight: 2, orders: fsxOrders, shown: fsxShown},
		{service: "iot", weight: 5, orders: iotOrders, shown: iotShown},
		{service: "swf", weight: 16, orders: swfOrders, shown: swfShown},
	}
}

// order is one command of the fleet, and how its outcome is checked.
type order struct {
	body string
	// targets is how many targets it has.
	targets int
	// event is the id that its outcome must have; "" until it is sent where the queue message's
	// own id makes it, for a command that cannot be read.
	event string
	// again asks that the command be sent a second time, once its outcome is there: it must have
	// the same outcome, and make no call.
	again bool
	// want is the outcome's status; "" where the target's state alone tells.
	want handlers.Status
	// holds says what is wrong with an ending, by the target's state in the box when everything
	// has ended; nil: nothing is.
	holds func(got ending) error
}

// ending is what an outcome says became of a command.
type ending struct {
	status handlers.Status
	// each is the targets' own statuses by their ids, of a command that has several.
	each map[string]handlers.Status
}

// check says what is wrong with the outcome's ending; nil: nothing is.
func (o *order) check(got ending) error {
	if o.want != "" && got.status != o.want {
		return fmt.Errorf("is %s, want %s", got.status, o.want)
	}
	if o.holds == nil {
		return nil
	}
	return o.holds(got)
}

// sent notes the message's id.
func (o *order) sent(messageID string) {
	if o.event == "" {
		o.event = outcome.EventID("msg:" + messageID)
	}
}

// among says that a status is none of those that a target's state shows.
func among(got handlers.Status, target, state string, shows ...handlers.Status) error {
	if slices.Contains(shows, got) {
		return nil
	}
	return fmt.Errorf("is %s, but %s (%s) shows %v", got, target, state, shows)
}

// orders makes commands for n targets, a share for each service, and shuffles them.
func (f *fleet) orders(n int) []order {
	all, left, whole := []order(nil), n, 0
	services := parts()
	for _, p := range services {
		whole += p.weight
	}
	for _, p := range services[1:] {
		share := n * p.weight / whole
		left -= share
		all = append(all, p.orders(f, share)...)
	}
	all = append(all, services[0].orders(f, left)...)
	f.rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// kind is a sort of command in a service's share.
type kind struct {
	weight int // in the share
	make   func(f *fleet) order
}

// spread makes n commands of some kinds by their weights, at least one of each while n allows, the
// first kind last: it makes up the number.
func (f *fleet) spread(n int, kinds []kind) []order {
	whole := 0
	for _, k := range kinds {
		whole += k.weight
	}
	all := make([]order, 0, n)
	for _, k := range kinds[1:] {
		count := min(max(1, n*k.weight/whole), n-len(all))
		for range count {
			all = append(all, k.make(f))
		}
	}
	for len(all) < n {
		all = append(all, kinds[0].make(f))
	}
	return all
}

// command is a command with an id of its own, for one target.
func (f *fleet) command(members map[string]any) order {
	id := f.uuid()
	members["id"] = id
	key := id
	if members["dryRun"] == true {
		key = "dry/" + id // a dry run has a key space of its own
	}
	return order{body: text(members), targets: 1, event: outcome.EventID(key)}
}

// order is a command of an action on one target.
func (f *fleet) order(action string, parameters map[string]any) order {
	return f.command(map[string]any{"action": action, "parameters": parameters, "reason": overBudget, "requestedBy": "cost-guard"})
}

// text is a value as JSON.
func text(v any) string {
	body, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		panic(err) // texts, lists and booleans always marshal
	}
	return string(body)
}

// spare is a target that a command would stop, and what is wrong where one did.
type spare struct {
	action     string
	parameters map[string]any
	untouched  func() error
}

// guarded are the kinds of command that must not come to a call, and one that comes twice, which
// must come to no second one.
func guarded(put func(*fleet) spare, twice func(*fleet) order) []kind {
	past := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	return []kind{
		{1, notRun(put, handlers.DryRun, "dryRun", true)},
		{1, notRun(put, handlers.Expired, "expiresAt", past)},
		{1, notRun(put, handlers.Denied, "account", "999999999999")},
		{1, func(f *fleet) order { return f.invalid(put(f)) }},
		{1, func(f *fleet) order {
			o := twice(f)
			o.again = true
			return o
		}},
	}
}

// notRun is a command that a guard stops, because of a member.
func notRun(put func(*fleet) spare, want handlers.Status, member string, value any) func(*fleet) order {
	return func(f *fleet) order {
		s := put(f)
		o := f.command(map[string]any{"action": s.action, "parameters": s.parameters, member: value})
		o.want, o.holds = want, s.holds
		return o
	}
}

func (s spare) holds(got ending) error {
	if err := s.untouched(); err != nil {
		return fmt.Errorf("is %s, but %w", got.status, err)
	}
	return nil
}

// invalid is a command that breaks one rule or another.
func (f *fleet) invalid(s spare) order {
	named, misnamed := map[string]any{}, map[string]any{}
	for name, value := range s.parameters {
		named[name], misnamed[name+"s"] = value, value
	}
	bodies := []string{
		text(map[string]any{"id": f.uuid(), "action": s.action, "parameters": named, "reasn": overBudget}),
		text(map[string]any{"id": f.uuid(), "action": s.action, "parameters": misnamed}),
		text(map[string]any{"id": f.uuid(), "action": s.action + "s", "parameters": named}),
		text(map[string]any{"id": f.uuid(), "action": s.action, "parameters": []any{named}}),
		fmt.Sprintf("please stop %v", named),
	}
	return order{body: bodies[f.rand.IntN(len(bodies))], targets: 1, want: handlers.Invalid, holds: s.holds}
}

// shown is a target as rescind dev and rescind sim show it.
type shown struct {
	id, state string
	// action and parameters are what to try on it.
	action     string
	parameters map[string]any
}
