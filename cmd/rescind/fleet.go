package main

import (
	"fmt"
	"math/rand/v2"
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

// part is one service's share of the fleet. To add a service, add its part to parts.
type part struct {
	service string
	// orders puts the targets of n commands into the box, and returns the commands.
	orders func(f *fleet, n int) []order
	// targets puts n targets into the box for people to try commands on.
	targets func(f *fleet, n int) []shown
}

func parts() []part {
	return []part{
		{service: "batch", orders: batchOrders, targets: batchShown},
	}
}

// order is one command of the fleet, and how its outcome is checked.
type order struct {
	body string
	// event is the id that its outcome must have; "" until it is sent where the queue message's
	// own id makes it, for a command that cannot be read.
	event string
	// again asks that the command be sent a second time, once its outcome is there: it must have
	// the same outcome, and make no call.
	again bool
	// want is the outcome's status; "" where the target's state alone tells.
	want handlers.Status
	// holds says what is wrong with a status, by the target's state in the box when everything
	// has ended; nil: nothing is.
	holds func(got handlers.Status) error
}

// check says what is wrong with the outcome's status; nil: nothing is.
func (o *order) check(got handlers.Status) error {
	if o.want != "" && got != o.want {
		return fmt.Errorf("is %s, want %s", got, o.want)
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

// shown is a target as rescind dev shows it.
type shown struct {
	id, state string
	// action and parameter are what to try on it: "batch:CancelJob" and "jobId".
	action, parameter string
}

// orders makes n commands, an equal share for each service, and shuffles them.
func (f *fleet) orders(n int) []order {
	all := make([]order, 0, n)
	services := parts()
	for i, p := range services {
		share := (n - len(all)) / (len(services) - i)
		all = append(all, p.orders(f, share)...)
	}
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

// past is when commands expire that have expired already.
func past() time.Time { return time.Now().Add(-time.Hour).UTC().Truncate(time.Second) }

// command is a command with an id of its own.
func (f *fleet) command(members map[string]any) order {
	id := f.uuid()
	members["id"] = id
	body, err := json.Marshal(members, json.Deterministic(true))
	if err != nil {
		panic(err) // texts and booleans always marshal
	}
	key := id
	if members["dryRun"] == true {
		key = "dry/" + id // a dry run has a key space of its own
	}
	return order{body: string(body), event: outcome.EventID(key)}
}
