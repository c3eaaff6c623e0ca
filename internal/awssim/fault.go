package awssim

import (
	"hash/fnv"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// Fault says what may go wrong with requests of one kind. All chances are from 0 (never) to 1
// (always) and are drawn each for itself, in the order of the fields.
type Fault struct {
	// Late is the chance that a request takes LateBy longer, before anything is done.
	Late   float64
	LateBy time.Duration
	// Unsent is the chance that the connection is cut before anything is done.
	Unsent float64
	// Broken is the chance of a 5xx in place of doing anything; Denied that of a refusal for
	// want of permission.
	Broken, Denied float64
	// Doubtful is the chance of a 5xx after the request was carried out; Lost the chance that
	// the connection is cut then.
	Doubtful, Lost float64
	// Middlebox is the chance that something between client and service answers, and the service
	// never sees the request; MiddleboxAfter that it answers after the request was carried out.
	// Which of Answers it gives is drawn; none stands for those of [MiddleboxAnswers].
	Middlebox, MiddleboxAfter float64
	Answers                   []Answer
	// Refused is the chance that the request is refused for its credentials or its clock, by
	// RefusedCode, or by one that is drawn from those that AWS has for that.
	Refused     float64
	RefusedCode string
	// NoAnswer is the chance that nothing is done and no answer comes: the connection stands until
	// the client leaves, or the simulator is closed. NoAnswerAfter is the same after the request was
	// carried out.
	NoAnswer, NoAnswerAfter float64
	// Items is the chance, for each item of a bulk request, that it fails in an answer that
	// is otherwise 200. It has no meaning for operations without per-item answers.
	Items float64
	// ItemCode, where set, is the code of such an item; otherwise it is drawn from those
	// that the service has for passing errors.
	ItemCode string
	// Slow is the chance, for each item, that its change of state takes SlowBy longer.
	Slow   float64
	SlowBy time.Duration
	// Twice is the chance, for each message that ReceiveMessage hands out, that it comes twice,
	// as standard queues may: that one of the next receives has it again although it is in
	// flight, under a receipt handle of its own. It is drawn from the message's id and the number
	// of the delivery; Match is asked about the queue's name, as for all of a receive. A delivery
	// that is such a duplicate is not doubled once more.
	Twice float64
	// Stale is the chance, for each item and each read of it, that a read of a control plane shows
	// what was true StaleBy ago: an item that is younger is not known. Each read is drawn for itself,
	// so a later one may be staler. A listing that names no item is drawn as a whole.
	Stale   float64
	StaleBy time.Duration
	// Times, where above 0, spares an item that was seen so often before.
	Times int
	// Match, where set, spares the items for which it returns false.
	Match func(item string) bool
}

// Faults are rules by "service:Operation", "service:*" or "*"; the first of these that has a
// rule is the one that counts.
type Faults map[string]Fault

// FaultKind names what was done to a request, in the history.
type FaultKind string

// The faults that befall a whole request.
const (
	NoFault  FaultKind = ""
	Unsent   FaultKind = "unsent"
	Broken   FaultKind = "broken"
	Denied   FaultKind = "denied"
	Doubtful FaultKind = "doubtful"
	Lost     FaultKind = "lost"
	Down     FaultKind = "down" // by SetDown
	Hung     FaultKind = "hung" // by SetHang, and never answered

	Middlebox      FaultKind = "middlebox"
	MiddleboxAfter FaultKind = "middlebox after"
	Refused        FaultKind = "refused"
	NoAnswer       FaultKind = "no answer"
	NoAnswerAfter  FaultKind = "no answer after"
)

// CarriedOut reports whether a request that this befell had its effect, as far as the fault goes.
func (k FaultKind) CarriedOut() bool {
	switch k {
	case NoFault, Doubtful, Lost, MiddleboxAfter, NoAnswerAfter:
		return true
	case Unsent, Broken, Denied, Down, Hung, Middlebox, Refused, NoAnswer:
	}
	return false
}

type faults struct {
	seed uint64

	mu    sync.Mutex
	rules Faults
	// seen counts requests by operation and item, for operations that have a rule.
	seen map[sighting]uint32
}

type sighting struct{ service, operation, item string }

func newFaults(seed uint64, rules Faults) *faults {
	return &faults{seed: seed, rules: maps.Clone(rules), seen: map[sighting]uint32{}}
}

func (f *faults) set(rules Faults) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = maps.Clone(rules)
}

// draw notes that a request's items were seen and returns what befalls it; nil for nothing.
func (f *faults) draw(s *service.Service, operation string, items []string) *draws {
	f.mu.Lock()
	defer f.mu.Unlock()
	rule, ok := f.rules[s.Name+":"+operation]
	if !ok {
		rule, ok = f.rules[s.Name+":*"]
	}
	if !ok {
		rule, ok = f.rules["*"]
	}
	if !ok {
		return nil
	}
	d := &draws{rule: rule, seed: f.seed, service: s, operation: operation, seen: make(map[string]uint32, len(items))}
	for _, item := range items {
		if _, twice := d.seen[item]; twice {
			continue
		}
		key := sighting{s.Name, operation, item}
		d.seen[item] = f.seen[key]
		f.seen[key]++
	}
	if matching := slices.Collect(d.spared(maps.Keys(d.seen))); len(matching) > 0 {
		d.smallest = slices.Min(matching)
		d.any = true
	}
	return d
}

// draws are the faults of one request.
type draws struct {
	rule      Fault
	seed      uint64
	service   *service.Service
	operation string
	seen      map[string]uint32
	smallest  string // of the items that the rule does not spare
	any       bool   // there is such an item
}

// spared leaves out the items that the rule spares.
func (d *draws) spared(items func(func(string) bool)) func(func(string) bool) {
	return func(yield func(string) bool) {
		for item := range items {
			if d.hits(item) && !yield(item) {
				return
			}
		}
	}
}

func (d *draws) hits(item string) bool {
	if d.rule.Times > 0 && d.seen[item] >= uint32(d.rule.Times) {
		return false
	}
	return d.rule.Match == nil || d.rule.Match(item)
}

// roll returns a number of 64 even bits for one item and one question.
func (d *draws) roll(question, item string) uint64 { return d.rollAt(question, item, d.seen[item]) }

// rollAt is roll for an item that was seen so often before.
func (d *draws) rollAt(question, item string, seen uint32) uint64 {
	h := fnv.New64a()
	for _, part := range [...]string{question, d.service.Name, d.operation, item} {
		_, _ = h.Write([]byte(part))
		_, _ = h.Write([]byte{0xff}) // in no UTF-8 text: parts cannot run into each other
	}
	// FNV leaves its high bits uneven for short texts; the finisher of SplitMix64 spreads them.
	x := h.Sum64() ^ d.seed*0x9e3779b97f4a7c15 ^ uint64(seen)<<32
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (d *draws) happens(chance float64, question, item string) bool {
	return chance > 0 && under(chance, d.roll(question, item))
}

func under(chance float64, roll uint64) bool { return float64(roll>>11)/(1<<53) < chance }

// delay is how much longer the whole request takes.
func (d *draws) delay() time.Duration {
	if d == nil || !d.any || !d.happens(d.rule.Late, "late", d.smallest) {
		return 0
	}
	return d.rule.LateBy
}

// whole is what befalls the whole request.
func (d *draws) whole() FaultKind {
	if d == nil || !d.any {
		return NoFault
	}
	for _, may := range [...]struct {
		chance float64
		kind   FaultKind
	}{
		{d.rule.Unsent, Unsent},
		{d.rule.Broken, Broken},
		{d.rule.Denied, Denied},
		{d.rule.Doubtful, Doubtful},
		{d.rule.Lost, Lost},
		{d.rule.Middlebox, Middlebox},
		{d.rule.MiddleboxAfter, MiddleboxAfter},
		{d.rule.Refused, Refused},
		{d.rule.NoAnswer, NoAnswer},
		{d.rule.NoAnswerAfter, NoAnswerAfter},
	} {
		if d.happens(may.chance, string(may.kind), d.smallest) {
			return may.kind
		}
	}
	return NoFault
}

// failure is the 5xx that the whole request is answered with.
func (d *draws) failure(*service.Service) *service.Error {
	return d.service.Broken[d.roll("which", d.smallest)%uint64(len(d.service.Broken))]
}

// foreign is what something in between answers the whole request.
func (d *draws) foreign() *Answer {
	all := d.rule.Answers
	if len(all) == 0 {
		all = middleboxAnswers
	}
	return &all[d.roll("which answer", d.smallest)%uint64(len(all))]
}

// refusal is how the whole request is refused for its credentials.
func (d *draws) refusal() *service.Error {
	code := d.rule.RefusedCode
	if code == "" {
		code = refusals[d.roll("which refusal", d.smallest)%uint64(len(refusals))]
	}
	return refusalFor(code)
}

// Fails implements service.Draws.
func (d *draws) Fails(item string) *service.Error {
	if !d.hits(item) || len(d.service.ItemErrors) == 0 || !d.happens(d.rule.Items, "item", item) {
		return nil
	}
	if d.rule.ItemCode != "" {
		return &service.Error{Code: d.rule.ItemCode, Message: "Asked for as a fault."}
	}
	return d.service.ItemErrors[d.roll("which item error", item)%uint64(len(d.service.ItemErrors))]
}

// Slow implements service.Draws.
func (d *draws) Slow(item string) time.Duration {
	if !d.hits(item) || !d.happens(d.rule.Slow, "slow", item) {
		return 0
	}
	return d.rule.SlowBy
}

// Twice implements service.Draws.
func (d *draws) Twice(item string, delivery uint32) bool {
	return d.any && d.rule.Twice > 0 && under(d.rule.Twice, d.rollAt("twice", item, delivery))
}
