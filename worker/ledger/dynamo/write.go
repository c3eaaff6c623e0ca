package dynamo

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

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
	build func(stamp string, now time.Time) types.TransactWriteItem
	done  chan answer // takes one
}

// answer is what became of a write.
type answer struct {
	stored bool
	old    *record // what stood in its way, where neither stored nor err; nil: there is no item
	err    error   // ErrUnreadable, or what prevented it from being known
}

func newWrite(key string, size int, build func(stamp string, now time.Time) types.TransactWriteItem) *write {
	return &write{key: key, size: size + itemOverhead, build: build, done: make(chan answer, 1)}
}

// itemOverhead is what an item has beside its entry, progress and outcome, in a transaction's
// count of bytes: names, numbers, and the expressions, generously.
const itemOverhead = 1 << 10

func (l *Ledger) put(i item, condition string, values item) types.TransactWriteItem {
	return types.TransactWriteItem{Put: &types.Put{
		TableName: &l.table, Item: i, ConditionExpression: &condition, ExpressionAttributeValues: values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}}
}

func (l *Ledger) update(key, update, condition string, values item) types.TransactWriteItem {
	return types.TransactWriteItem{Update: &types.Update{
		TableName: &l.table, Key: item{"id": text(key)}, UpdateExpression: &update,
		ConditionExpression: aws.String(condition), ExpressionAttributeValues: values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}}
}

// change is what the holder of a claim writes.
type change struct {
	token  ledger.Token
	update string // the expression, after the stamp's part
	size   int
	values func(now time.Time) item
	// repeated says that a record which refused the change shows that it had been made before;
	// nil: none does.
	repeated func(*record) bool
	err      error // why it cannot be written
}

// isCurrent is the condition of every change: the token's claim is its key's newest, was not
// released and has not ended, and nothing was written since by the same process.
const isCurrent = "claim = :claim AND stage = :claimed AND stamp < :stamp"

func (l *Ledger) writeOf(c change) *write {
	return newWrite(c.token.Key, c.size, func(stamp string, now time.Time) types.TransactWriteItem {
		values := c.values(now)
		maps.Copy(values, item{":claim": number(c.token.Number), ":claimed": text(claimed), ":stamp": text(stamp)})
		return l.update(c.token.Key, "SET stamp = :stamp, "+c.update, isCurrent, values)
	})
}

func renewal(t ledger.Token, lease time.Duration) change {
	return change{
		token: t, update: "lease = :lease",
		values: func(now time.Time) item { return item{":lease": number(now.Add(lease).UnixNano())} },
	}
}

func progressing(u ledger.Update) change {
	encoded, err := encodeProgress(u.Progress)
	return change{
		token: u.Token, update: "progress = :progress", size: len(encoded), err: err,
		values: func(time.Time) item { return item{":progress": octets(encoded)} },
	}
}

func releasing(u ledger.Update) change {
	encoded, err := encodeProgress(u.Progress)
	return change{
		token: u.Token, update: "stage = :released, progress = :progress", size: len(encoded), err: err,
		values: func(time.Time) item {
			return item{":released": text(released), ":progress": octets(encoded)}
		},
		repeated: func(r *record) bool { return r.stage == released },
	}
}

func completing(t ledger.Token, outcome []byte) change {
	return change{
		token: t, update: "stage = :ended, outcome = :outcome, expires = :expires REMOVE progress, lease",
		size: len(outcome),
		values: func(now time.Time) item {
			return item{
				":ended": text(ended), ":outcome": octets(outcome),
				":expires": number(seconds(now.Add(ledger.Retention))),
			}
		},
		repeated: func(r *record) bool { return r.stage == ended && bytes.Equal(r.outcome, outcome) },
	}
}

// seconds rounds up, so that nothing is forgotten before its time.
func seconds(t time.Time) int64 { return int64(math.Ceil(float64(t.UnixMilli()) / 1000)) }

// verdict says what an answer means for the holder of a token. again: only the stamp was in
// the way, as where the token was given out by another ledger over the same table.
func (c change) verdict(a answer) (again bool, err error) {
	switch {
	case a.stored:
		return false, nil
	case a.old == nil || a.old.number != c.token.Number:
		return false, ledger.ErrFenced
	case c.repeated != nil && c.repeated(a.old):
		return false, nil
	case a.old.stage == claimed:
		return true, nil
	}
	return false, ledger.ErrFenced
}

// stamp draws the next stamp: Unix nanoseconds, or one more than the last, and who writes.
func (l *Ledger) stamp() string {
	return fmt.Sprintf("%016x.%s", l.stampAfter(uint64(l.now().UnixNano())-1), l.writer)
}

// stampAfter draws a number that is greater than n and than all that were drawn.
func (l *Ledger) stampAfter(n uint64) uint64 {
	for {
		last := l.stamped.Load()
		next := max(last, n) + 1
		if l.stamped.CompareAndSwap(last, next) {
			return next
		}
	}
}

// overtake makes the stamps that are drawn from now on follow another's. One of no known form remains in
// the way.
func (l *Ledger) overtake(stamp string) {
	n, _, _ := strings.Cut(stamp, ".")
	var at uint64
	if _, err := fmt.Sscanf(n, "%x", &at); err == nil {
		l.stampAfter(at)
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
