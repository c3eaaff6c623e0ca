package dynamo

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"strings"
	"time"

	"github.com/rescindhq/rescind/worker/ledger"
)

// write is one conditional write of one item.
type write struct {
	key  string
	size int // of the item after it, roughly, in bytes
	// stamp is left in the item. A claim has its own from the beginning; that of any other
	// write is drawn when it is its key's turn.
	stamp string
	// build makes the write for a stamp, anew for each attempt: leases count from then.
	build func(stamp string, now time.Time) action
	done  chan answer // takes one
}

// action is a write as DynamoDB has it.
type action struct {
	put       item   // the whole item; nil: an update
	update    string // of the item, where put is nil
	condition string
	values    item // what update and condition name
}

// answer is what became of a write.
type answer struct {
	stored bool
	old    *record // what stood in its way, where neither stored nor err; nil: there is no item
	err    error   // ErrUnreadable, or what kept it from being known
}

func (l *Ledger) newWrite(key string, size int, build func(stamp string, now time.Time) action) *write {
	return &write{key: key, size: size + itemOverhead, build: build, done: make(chan answer, 1)}
}

// itemOverhead is what an item has beside its entry, progress and outcome, in a transaction's
// count of bytes: names, numbers, and the expressions, generously.
const itemOverhead = 1 << 10

// change is what the holder of a claim writes: set is an update expression without the stamp.
type change struct {
	set, remove string
	values      func(now time.Time) item
	size        int
	// repeated says that a record which refused the change shows that it had been made before.
	repeated func(*record) bool
}

func never(*record) bool { return false }

// holding is the condition of every change: the token's claim is its key's newest, was not
// released and has not ended, and nothing was written since by the same process.
const holding = "claim = :claim AND stage = :claimed AND stamp < :stamp"

func (l *Ledger) changeOf(t ledger.Token, c change) *write {
	return l.newWrite(t.Key, c.size, func(stamp string, now time.Time) action {
		values := item{":claim": number(t.Number), ":claimed": text(string(claimed)), ":stamp": text(stamp)}
		maps.Copy(values, c.values(now))
		update := "SET stamp = :stamp"
		if c.set != "" {
			update += ", " + c.set
		}
		if c.remove != "" {
			update += " REMOVE " + c.remove
		}
		return action{update: update, condition: holding, values: values}
	})
}

func renewal(lease time.Duration) change {
	return change{
		set:      "lease = :lease",
		values:   func(now time.Time) item { return item{":lease": number(now.Add(lease).UnixNano())} },
		repeated: never,
	}
}

func progressing(encoded []byte) change {
	return change{
		set: "progress = :progress", size: len(encoded), repeated: never,
		values: func(time.Time) item { return item{":progress": octets(encoded)} },
	}
}

func releasing(encoded []byte) change {
	return change{
		set: "stage = :released, progress = :progress", size: len(encoded),
		values: func(time.Time) item {
			return item{":released": text(string(released)), ":progress": octets(encoded)}
		},
		repeated: func(r *record) bool { return r.stage == released },
	}
}

func completing(outcome []byte, retention time.Duration) change {
	return change{
		set: "stage = :ended, outcome = :outcome, expires = :expires", remove: "progress, lease",
		size: len(outcome),
		values: func(now time.Time) item {
			return item{
				":ended": text(string(ended)), ":outcome": octets(outcome),
				":expires": number(seconds(now.Add(retention))),
			}
		},
		repeated: func(r *record) bool { return r.stage == ended && bytes.Equal(r.outcome, outcome) },
	}
}

// seconds rounds up, so that nothing is forgotten before its time.
func seconds(t time.Time) int64 { return int64(math.Ceil(float64(t.UnixMilli()) / 1000)) }

// verdict says what an answer means for the holder of a token. again: only the stamp was in
// the way, as where the token was given out by another ledger over the same table.
func verdict(t ledger.Token, c change, a answer) (again bool, err error) {
	switch {
	case a.err != nil:
		return false, a.err
	case a.stored:
		return false, nil
	case a.old == nil || a.old.number != t.Number:
		return false, ledger.ErrFenced
	case c.repeated(a.old):
		return false, nil
	case a.old.stage == claimed:
		return true, nil
	}
	return false, ledger.ErrFenced
}

// stamp draws the next stamp: Unix nanoseconds, or one more than the last, and who writes.
func (l *Ledger) stamp() string {
	now := uint64(l.now().UnixNano())
	for {
		last := l.stamped.Load()
		next := max(now, last+1)
		if l.stamped.CompareAndSwap(last, next) {
			return fmt.Sprintf("%016x.%s", next, l.writer)
		}
	}
}

// stampAfter makes the stamps that are drawn from now on follow another's.
func (l *Ledger) stampAfter(stamp string) {
	var n uint64
	if _, err := fmt.Sscanf(strings.SplitN(stamp, ".", 2)[0], "%x", &n); err != nil {
		return // a stamp of no known form; the write will be refused again, and then fails
	}
	for {
		last := l.stamped.Load()
		if n <= last || l.stamped.CompareAndSwap(last, n) {
			return
		}
	}
}

// submit sends a write when it is its key's turn.
func (l *Ledger) submit(w *write) {
	l.mu.Lock()
	line, busy := l.lines[w.key]
	if busy {
		l.lines[w.key] = append(line, w)
		l.mu.Unlock()
		return
	}
	l.lines[w.key] = nil
	l.mu.Unlock()
	l.group.Go(w, func(struct{}) {})
}

// answer answers a write and lets the next one for its key go.
func (l *Ledger) answer(w *write, a answer) {
	l.mu.Lock()
	line := l.lines[w.key]
	if len(line) == 0 {
		delete(l.lines, w.key)
	} else {
		l.lines[w.key] = line[1:]
	}
	l.mu.Unlock()
	w.done <- a
	if len(line) > 0 {
		l.group.Go(line[0], func(struct{}) {})
	}
}
