package simulation

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"
)

// order is one message.
type order struct {
	At time.Duration
	// ID is the key that the command stands under, its own id or its envelope's.
	ID   string
	Body string
	// Targets are indices into the plan's.
	Targets  []int
	Kind     kind
	Envelope envelope  `json:",omitempty"`
	Expires  time.Time `json:",omitzero"`
	// Confirm and Escalate are the command's own.
	Confirm  time.Duration `json:",omitzero"`
	Escalate time.Duration `json:",omitzero"`
	// Calm: it is sent when all else has gone wrong, and nothing does but targets that always fail.
	Calm bool `json:",omitzero"`
	// Forged is the attribute of a deferred copy that its sender put on it, "" for none.
	Forged forgery `json:",omitempty"`
}

// forgery is how a sender makes the attribute by which a worker knows its own deferred copies.
type forgery string

// The forgeries.
const (
	otherID   forgery = "of another message, without the HMAC"
	otherCopy forgery = "of another message's copy"
	noJSON    forgery = "no JSON"
)

func forgeries() []forgery { return []forgery{otherID, otherCopy, noJSON} }

// kind says which outcomes an order may have. The set is closed.
type kind string

// The kinds.
const (
	plain   kind = "plain"
	garbage kind = "garbage" // cannot be read
	expires kind = "expires" // has an expiresAt
	dry     kind = "dry"
	foreign kind = "foreign" // for an account or a region that no policy allows
	reuse   kind = "reuse"   // its id stands for another command too
)

func kinds() []kind { return []kind{plain, garbage, expires, dry, foreign, reuse} }

// calls is whether commands of a kind may be called.
func (k kind) calls() bool {
	switch k {
	case plain, expires, reuse:
		return true
	case garbage, dry, foreign:
	}
	return false
}

// envelope is what a command comes in. The set is closed.
type envelope string

// The envelopes.
const (
	bare            envelope = ""
	cloudEvent      envelope = "CloudEvents"
	eventBridge     envelope = "EventBridge"
	notification    envelope = "SNS"
	notifiedOfEvent envelope = "SNS around CloudEvents"
)

func envelopes() []envelope {
	return []envelope{bare, cloudEvent, eventBridge, notification, notifiedOfEvent}
}

// wrap puts a command into an envelope that is named after it.
func (e envelope) wrap(name, command string) string {
	switch e {
	case bare:
	case cloudEvent:
		return fmt.Sprintf(`{"specversion":"1.0","type":"io.rescind.command.v1","source":"/simulation","id":%q,"data":%s}`, name, command)
	case eventBridge:
		return fmt.Sprintf(`{"version":"0","id":%q,"detail-type":"Cancel","source":"simulation","resources":[],"detail":%s}`, name, command)
	case notification:
		return fmt.Sprintf(`{"Type":"Notification","MessageId":%q,"TopicArn":"arn:aws:sns:us-east-1:123456789012:commands","Message":%s}`, name, strconv.Quote(command))
	case notifiedOfEvent:
		return notification.wrap(name, cloudEvent.wrap(name, command))
	}
	return command
}

// id is that of a command which brings none, in an envelope of that name.
func (e envelope) id(name string) string {
	switch e {
	case bare:
	case cloudEvent, notifiedOfEvent:
		var text []byte
		for _, part := range []string{"/simulation", name} {
			text = append(binary.BigEndian.AppendUint64(text, uint64(len(part))), part...)
		}
		sum := sha256.Sum256(text)
		return "ce:" + hex.EncodeToString(sum[:])
	case eventBridge:
		return "eb:" + name
	case notification:
		return "sns:" + name
	}
	return name
}

// garbages are bodies that cannot be read as commands.
var garbages = []string{
	`{"id":`, `[]`, `{"id":"x","action":"batch:CancelJob","parameters":{"jobId":""}}`, `{"action":"s3:DeleteBucket","parameters":{}}`,
	`{"specversion":"1.0","type":"com.example.other","source":"/simulation","id":"o","data":{}}`,
	`{"Type":"SubscriptionConfirmation","MessageId":"s","TopicArn":"arn:aws:sns:us-east-1:123456789012:commands","Token":"t"}`,
	`{"id":"e","detail-type":"Cancel","source":"simulation"}`,
}

// orders makes a command for each target, or for several steps of a cluster, and among them
// copies and all that is refused.
func (p *planner) orders() {
	steps := map[string][]int{}
	for i, t := range p.Targets {
		if t.Action == cancelSteps && p.maybe(0.7) {
			steps[t.Group] = append(steps[t.Group], i)
			continue
		}
		p.order(fmt.Sprintf("c-%d", i), pick(p, plain, plain, plain, plain, plain, plain, expires, dry, foreign, reuse), i)
	}
	for _, cluster := range []string{"j-1", "j-2"} {
		for all := steps[cluster]; len(all) > 0; {
			n := min(1+p.IntN(8), len(all))
			p.order(fmt.Sprintf("m-%d", all[0]), pick(p, plain, plain, plain, expires), all[:n]...)
			all = all[n:]
		}
	}
	for i, o := range p.Commands {
		switch {
		case o.Kind == plain && p.maybe(0.15): // a second command for the same targets
			p.share(o.Targets)
			p.order(fmt.Sprintf("d-%d", i), plain, o.Targets...)
		case o.Kind == dry && o.Envelope == bare && p.maybe(0.3): // the same id for what is meant
			p.share(o.Targets)
			p.command(o.ID, plain, bare, o.Targets...)
		case p.maybe(0.15): // the same command once more
			again := o
			again.At = p.when()
			p.Commands = append(p.Commands, again)
		}
	}
	for range p.IntN(3) {
		p.Commands = append(p.Commands, order{At: p.when(), Kind: garbage, Body: pick(p, garbages...)})
	}
	for i := range p.Commands {
		if p.maybe(0.1) {
			p.Commands[i].Forged = pick(p, forgeries()...)
		}
	}
}

func (p *planner) share(targets []int) {
	for _, t := range targets {
		p.Targets[t].Shared = true
	}
}

// when is now for half of the messages, and some time before the end of the chaos for the rest.
func (p *planner) when() time.Duration {
	if p.maybe(0.5) {
		return 0
	}
	return p.between(0, p.Chaos)
}

// order makes a command, and puts it into an envelope where its id stands for no other.
func (p *planner) order(name string, k kind, targets ...int) {
	e := bare
	if k != reuse && p.maybe(0.3) {
		e = pick(p, envelopes()[1:]...)
	}
	if k == foreign && p.Targets[targets[0]].Action == stopExecution {
		k = plain // its ARN says where it is, and a command that says otherwise is invalid
	}
	p.command(name, k, e, targets...)
	if k == reuse {
		p.Commands = append(p.Commands, order{
			At: p.when(), ID: name, Kind: reuse,
			Body: fmt.Sprintf(`{"id":%q,"action":"batch:CancelJob","parameters":{"jobId":"other-%s"}}`, name, name),
		})
	}
}

func (p *planner) command(name string, k kind, e envelope, targets ...int) {
	o := order{At: p.when(), ID: name, Kind: k, Envelope: e, Targets: targets}
	extra := ""
	switch k {
	case expires:
		o.Expires = begin.Add(o.At + p.between(-10*time.Second, 3*time.Minute))
		extra = fmt.Sprintf(`,"expiresAt":%q`, o.Expires.Format(time.RFC3339Nano))
	case dry:
		extra = `,"dryRun":true`
	case foreign:
		extra = `,"region":"eu-north-1"`
		if len(p.Accounts) == 0 && p.maybe(0.5) {
			extra = `,"account":"210987654321"` // no role is configured
		}
	case plain, garbage, reuse:
	}
	if action := p.Targets[targets[0]].Action; p.maybe(0.4) && (k == plain || k == expires) {
		o.Confirm = p.between(time.Second, 6*time.Minute)
		if stronger[action] != "" && p.maybe(0.6) {
			o.Escalate = o.Confirm / 2
			extra += fmt.Sprintf(`,"escalate":%q`, o.Escalate)
		}
		if o.Escalate == 0 || p.maybe(0.5) { // without it, it is twice escalate
			extra += fmt.Sprintf(`,"confirm":%q`, o.Confirm)
		}
	}
	if account := p.Targets[targets[0]].Account; account != "" {
		extra += fmt.Sprintf(`,"account":%q`, account)
	}
	id := fmt.Sprintf(`"id":%q,`, name)
	if e != bare && p.maybe(0.5) {
		id, o.ID = "", e.id(name)
	}
	o.Body = e.wrap(name, fmt.Sprintf(`{%s"action":%q,"parameters":{%s}%s}`, id, p.Targets[targets[0]].Action, p.parameters(name, targets), extra))
	p.Commands = append(p.Commands, o)
}
