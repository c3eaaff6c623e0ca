package dynamo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/breaker"
	"github.com/rescindhq/rescind/worker/chance"
	"github.com/rescindhq/rescind/worker/ledger"
)

const (
	// maxActions is DynamoDB's bound for a transaction.
	maxActions = 100
	// maxBytes is below DynamoDB's 4 MB for a transaction, since what a change adds to is
	// not known here. Where DynamoDB counts more all the same, the transaction is halved.
	maxBytes = 3 << 20

	// attemptBound ends an attempt that is not answered: DynamoDB answers in milliseconds.
	attemptBound = 5 * time.Second
	// throttledBound and brokenBound are how long a request is repeated; see doc.go.
	throttledBound = 30 * time.Second
	brokenBound    = 3 * time.Second
	// The most that a backoff waits, and its first bound.
	throttledMost = 2 * time.Second
	firstBackoff  = 50 * time.Millisecond
)

// fate is what an attempt made of one write. The set is closed.
type fate int

const (
	// stored: it took effect, now or in an attempt whose reply was lost.
	stored fate = iota + 1
	// refused: its condition does not hold.
	refused
	// failed: the record can never be stored (ErrRejected), or DynamoDB refuses the caller.
	failed
	// untouched: another write of its transaction was refused; it goes again.
	untouched
	// conflicted: somebody else's transaction has the item just now.
	conflicted
	// throttled: the table gives no more just now.
	throttled
	// broken: no answer, or that the service is in trouble.
	broken
	// tooMuch: the transaction as a whole breaks a rule, or one of its writes does; alone it failed.
	tooMuch
)

// said is what an attempt said of one write.
type said struct {
	fate fate
	old  item  // refused
	err  error // nil where it was stored
}

// send answers every write: it repeats what may be repeated and parts what was refused from
// what only stood beside it. One request follows the other.
func (l *Ledger) send(writes []*write, b *backoff) {
	for len(writes) > 0 {
		var worst said
		writes, worst = l.try(writes, b)
		if worst.fate == untouched || len(writes) == 0 {
			continue
		}
		if worst.fate != tooMuch && !b.wait(context.Background(), worst.fate, l.closing.Done()) {
			for _, w := range writes {
				l.answer(w, answer{err: worst.err})
			}
			return
		}
		if half := len(writes) / 2; worst.fate != broken {
			l.send(writes[:half], b)
			writes = writes[half:]
		}
	}
}

// try makes one request and answers the writes that it settled. It returns those that go again, and
// the worst that was said of them.
func (l *Ledger) try(writes []*write, b *backoff) (again []*write, worst said) {
	for i, s := range l.attempt(writes) {
		switch s.fate {
		case stored, refused, failed:
			b.restart()
			l.answer(writes[i], conclude(writes[i], s))
		case untouched, conflicted, throttled, broken, tooMuch:
			again = append(again, writes[i])
			if s.fate > worst.fate {
				worst = s
			}
		}
	}
	return again, worst
}

// conclude makes an answer of the last word on a write.
func conclude(w *write, s said) answer {
	switch {
	case s.fate == stored:
		return answer{stored: true}
	case s.fate == failed:
		return answer{err: s.err}
	case len(s.old) == 0:
		return answer{}
	}
	if stamp, ok := s.old["stamp"].(*types.AttributeValueMemberS); ok && stamp.Value == w.stamp {
		return answer{stored: true} // by an attempt whose reply was lost
	}
	old, err := decode(s.old)
	return answer{old: old, err: err}
}

// attempt makes one request and says what it made of each write, in order.
func (l *Ledger) attempt(writes []*write) []said {
	parts := make([]types.TransactWriteItem, len(writes))
	now := l.now()
	for i, w := range writes {
		if w.stamp == "" {
			w.stamp = l.stamp()
		}
		parts[i] = w.build(w.stamp, now)
	}
	err := l.inTurn(context.Background(), func(ctx context.Context) error { return l.request(ctx, parts) })
	if cancelled, ok := errors.AsType[*types.TransactionCanceledException](err); ok {
		if all := reasons(cancelled, len(writes)); all != nil {
			return all
		}
		err = fmt.Errorf("cancelled for no reason: %w", cancelled)
		return slices.Repeat([]said{{fate: broken, err: err}}, len(writes))
	}
	s := judge(err)
	if s.fate == tooMuch && len(writes) == 1 {
		s.fate = failed
	}
	return slices.Repeat([]said{s}, len(writes))
}

// nothingMost is how many requests in a row may get nothing before they go one at a time.
const nothingMost = 5

// inTurn makes one request when it is its turn: while the table gives nothing, one goes at a time,
// whoever waits. One whose turn does not come within attemptBound fails as the last one did.
func (l *Ledger) inTurn(ctx context.Context, do func(context.Context) error) error {
	waiting, cancel := context.WithTimeout(ctx, attemptBound)
	defer cancel()
	defer context.AfterFunc(l.closing, cancel)()
	pass, ok := l.turn.Enter(waiting)
	if !ok {
		if why := l.turn.Why(); why != nil {
			return why
		}
		return waiting.Err()
	}
	attempt, cancelAttempt := context.WithTimeout(ctx, attemptBound)
	defer cancelAttempt()
	err := do(attempt)
	switch s := judge(err); {
	case ctx.Err() != nil:
		l.turn.Leave(pass, breaker.Unknown, nil) // it may be the caller that would not wait
	case s.fate == broken || s.fate == failed:
		l.turn.Leave(pass, breaker.Failed, err)
	default:
		l.turn.Leave(pass, breaker.Succeeded, nil)
	}
	return err
}

// request makes one request of several writes, or of one, which costs half as much alone.
func (l *Ledger) request(ctx context.Context, parts []types.TransactWriteItem) (err error) {
	switch p, u := parts[0].Put, parts[0].Update; {
	case len(parts) > 1:
		_, err = l.client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: parts})
	case p != nil:
		_, err = l.client.PutItem(ctx, &dynamodb.PutItemInput{
			TableName: p.TableName, Item: p.Item,
			ConditionExpression: p.ConditionExpression, ExpressionAttributeValues: p.ExpressionAttributeValues,
			ReturnValuesOnConditionCheckFailure: p.ReturnValuesOnConditionCheckFailure,
		})
	default:
		_, err = l.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName: u.TableName, Key: u.Key, UpdateExpression: u.UpdateExpression,
			ConditionExpression: u.ConditionExpression, ExpressionAttributeValues: u.ExpressionAttributeValues,
			ReturnValuesOnConditionCheckFailure: u.ReturnValuesOnConditionCheckFailure,
		})
	}
	return err
}

// reasons says why a transaction of n writes was cancelled, write by write; nil where DynamoDB does not.
func reasons(cancelled *types.TransactionCanceledException, n int) []said {
	all := make([]said, 0, n)
	for _, r := range cancelled.CancellationReasons {
		code := aws.ToString(r.Code)
		s := said{fate: untouched}
		if code != "" && code != "None" {
			s = said{fate: fateOf(code), old: r.Item, err: fmt.Errorf("%s: %s", code, aws.ToString(r.Message))}
		}
		if s.fate == 0 {
			s.fate = failed
		}
		all = append(all, s)
	}
	untold := !slices.ContainsFunc(all, func(s said) bool { return s.fate != untouched })
	if len(all) != n || untold {
		return nil
	}
	return all
}

// fateOf says what DynamoDB means by a code: of a request, or of one write in a transaction that was
// cancelled. 0: it is none that these can have.
func fateOf(code string) fate {
	switch strings.TrimSuffix(code, "Exception") {
	case "ConditionalCheckFailed", "TransactionCanceled": // for what, see reasons
		return refused
	case "TransactionConflict", "TransactionInProgress":
		return conflicted
	case "ProvisionedThroughputExceeded", "ThrottlingError", "Throttling", "RequestLimitExceeded":
		return throttled
	case "ValidationError", "Validation", "ItemCollectionSizeLimitExceeded":
		return tooMuch // of a write's own fault, or of any write where all together are too large
	case "InternalServerError", "ServiceUnavailable", "InternalFailure":
		return broken
	}
	return 0
}

// judge says what the error of a request means for each of its writes.
func judge(err error) said {
	if err == nil {
		return said{fate: stored}
	}
	s := said{fate: broken, err: err}
	if handlers.OriginOf(err) != handlers.FromService {
		return s // a code in it is not DynamoDB's word about this request
	}
	if answered, ok := errors.AsType[smithy.APIError](err); ok {
		if f := fateOf(answered.ErrorCode()); f != 0 {
			s.fate = f
			if check, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
				s.old = check.Item
			}
			if f == tooMuch {
				s.err = fmt.Errorf("%w: %w", ledger.ErrRejected, err)
			}
			return s
		}
	}
	if response, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		if code := response.HTTPStatusCode(); code >= http.StatusBadRequest && code < http.StatusInternalServerError {
			s.fate = failed
		}
	}
	return s
}

// backoff counts what one request, and what was cut from it, has waited. It is ready once it has its chance.
type backoff struct {
	chance *rand.Rand
	n      int
	since  time.Time
}

// restart counts anew: something was answered.
func (b *backoff) restart() { *b = backoff{chance: b.chance} }

// wait waits before the next attempt and says whether there is to be one: not beyond the
// bound for what is wrong, nor once closing is closed or ctx has ended.
func (b *backoff) wait(ctx context.Context, why fate, closing <-chan struct{}) bool {
	now := time.Now()
	if b.since.IsZero() {
		b.since = now
	}
	bound := throttledBound
	if why == broken {
		bound = brokenBound
	}
	if now.Sub(b.since) >= bound {
		return false
	}
	most := min(throttledMost, firstBackoff<<min(b.n, 10))
	b.n++
	pause := time.NewTimer(chance.Below(b.chance, most) + 1)
	defer pause.Stop()
	select {
	case <-pause.C:
		return true
	case <-closing:
		return false
	case <-ctx.Done():
		return false
	}
}

// read makes a request that may simply be made again, until it is answered, ctx ends, or the
// bounds that writes have are over.
func (l *Ledger) read(ctx context.Context, do func(context.Context) error) error {
	b := backoff{chance: l.chance}
	for {
		err := l.inTurn(ctx, do)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if s := judge(err); s.fate != throttled && s.fate != broken {
			return s.err // an ErrRejected is of what the caller asked for: one command's
		} else if !b.wait(ctx, s.fate, l.closing.Done()) {
			return errors.Join(ctx.Err(), err)
		}
	}
}
