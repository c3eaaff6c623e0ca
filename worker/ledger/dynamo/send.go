package dynamo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
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
	// failed: DynamoDB refused it for good.
	failed
	// untouched: another write of its transaction was refused; it goes again.
	untouched
	// conflicted: somebody else's transaction has the item just now.
	conflicted
	// throttled: the table gives no more just now.
	throttled
	// broken: no answer, or that the service is in trouble.
	broken
	// tooMuch: the transaction as a whole breaks a rule, or one of its writes does.
	tooMuch
)

// said is what an attempt said of one write.
type said struct {
	fate fate
	old  item  // refused
	err  error // of the last five
}

// send answers every write: it repeats what may be repeated and parts what was refused from
// what only stood beside it. One request follows the other.
func (l *Ledger) send(writes []*write, b *backoff) {
	var later []*write // they met another's transaction: what did not need not wait for them
	for len(writes)+len(later) > 0 {
		var worst said
		if len(writes) == 0 {
			writes, later = later, nil
		}
		writes, later, worst = l.try(writes, later, b)
		switch {
		case worst.fate == 0, worst.fate == conflicted && len(writes) > 0:
			continue
		case worst.fate != tooMuch && !b.wait(context.Background(), worst.fate, l.closing):
			for _, w := range append(writes, later...) {
				l.answer(w, answer{err: worst.err})
			}
			return
		}
		if half := len(writes) / 2; half > 0 && (worst.fate == throttled || worst.fate == tooMuch) {
			l.send(writes[:half], b)
			writes = writes[half:]
		}
	}
}

// try makes one request and answers the writes that it settled. It returns those that go again,
// later with those that met another's transaction, and the worst that was said.
func (l *Ledger) try(writes, later []*write, b *backoff) (again, _ []*write, worst said) {
	for i, s := range l.attempt(writes) {
		switch s.fate {
		case stored, refused, failed:
			b.restart()
			l.answer(writes[i], conclude(writes[i], s))
			continue
		case untouched:
			again = append(again, writes[i])
		case conflicted:
			later = append(later, writes[i])
		case throttled, broken, tooMuch:
			again = append(again, writes[i])
		}
		if s.fate > worst.fate && s.fate != untouched {
			worst = s
		}
	}
	return again, later, worst
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
	ctx, cancel := context.WithTimeout(context.Background(), attemptBound)
	defer cancel()
	actions := make([]action, len(writes))
	now := l.now()
	for i, w := range writes {
		if w.stamp == "" {
			w.stamp = l.stamp()
		}
		actions[i] = w.build(w.stamp, now)
	}
	var err error
	if len(writes) == 1 {
		err = l.alone(ctx, writes[0].key, actions[0])
	} else {
		err = l.together(ctx, writes, actions)
	}
	all := make([]said, len(writes))
	if cancelled, ok := errors.AsType[*types.TransactionCanceledException](err); ok {
		return reasons(all, cancelled)
	}
	s := judge(err)
	if s.fate == tooMuch && len(writes) == 1 {
		s.fate = failed
	}
	for i := range all {
		all[i] = s
	}
	return all
}

func (l *Ledger) alone(ctx context.Context, key string, a action) error {
	var err error
	if a.put != nil {
		_, err = l.client.PutItem(ctx, &dynamodb.PutItemInput{
			TableName: &l.table, Item: a.put,
			ConditionExpression: &a.condition, ExpressionAttributeValues: a.values,
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		})
	} else {
		_, err = l.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName: &l.table, Key: item{"id": text(key)}, UpdateExpression: &a.update,
			ConditionExpression: &a.condition, ExpressionAttributeValues: a.values,
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		})
	}
	return err
}

func (l *Ledger) together(ctx context.Context, writes []*write, actions []action) error {
	parts := make([]types.TransactWriteItem, len(actions))
	for i, a := range actions {
		if a.put != nil {
			parts[i].Put = &types.Put{
				TableName: &l.table, Item: a.put,
				ConditionExpression: aws.String(a.condition), ExpressionAttributeValues: a.values,
				ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
			}
			continue
		}
		parts[i].Update = &types.Update{
			TableName: &l.table, Key: item{"id": text(writes[i].key)}, UpdateExpression: aws.String(a.update),
			ConditionExpression: aws.String(a.condition), ExpressionAttributeValues: a.values,
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		}
	}
	_, err := l.client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: parts})
	return err
}

// reasons reads why a transaction was cancelled, item by item.
func reasons(all []said, cancelled *types.TransactionCanceledException) []said {
	told := len(cancelled.CancellationReasons) == len(all)
	why := false
	for i := range all {
		if !told {
			all[i] = said{fate: broken, err: fmt.Errorf("%d reasons for %d writes: %w",
				len(cancelled.CancellationReasons), len(all), cancelled)}
			continue
		}
		all[i] = reason(cancelled.CancellationReasons[i])
		why = why || all[i].fate != untouched
	}
	if told && !why {
		for i := range all {
			all[i] = said{fate: broken, err: fmt.Errorf("cancelled for no reason: %w", cancelled)}
		}
	}
	return all
}

func reason(r types.CancellationReason) said {
	code := aws.ToString(r.Code)
	err := fmt.Errorf("%s: %s", code, aws.ToString(r.Message))
	switch code {
	case "None", "":
		return said{fate: untouched}
	case "ConditionalCheckFailed":
		return said{fate: refused, old: r.Item}
	case "TransactionConflict":
		return said{fate: conflicted, err: err}
	case "ProvisionedThroughputExceeded", "ThrottlingError":
		return said{fate: throttled, err: err}
	}
	return said{fate: failed, err: err}
}

// judge says what the error of a request means for each of its writes.
func judge(err error) said {
	if err == nil {
		return said{fate: stored}
	}
	if check, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
		return said{fate: refused, old: check.Item}
	}
	if answered, ok := errors.AsType[smithy.APIError](err); ok {
		switch answered.ErrorCode() {
		case "TransactionConflictException", "TransactionInProgressException":
			return said{fate: conflicted, err: err}
		case "ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded", "Throttling":
			return said{fate: throttled, err: err}
		case "ValidationException":
			return said{fate: tooMuch, err: err}
		case "InternalServerError", "InternalServerErrorException", "ServiceUnavailable", "InternalFailure":
			return said{fate: broken, err: err}
		}
	}
	if response, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		if code := response.HTTPStatusCode(); code >= http.StatusBadRequest && code < http.StatusInternalServerError {
			return said{fate: failed, err: err}
		}
	}
	return said{fate: broken, err: err}
}

// backoff counts what one request, and what was cut from it, has waited. The zero value is ready.
type backoff struct {
	n     int
	since time.Time
}

// restart counts anew: something was answered.
func (b *backoff) restart() { *b = backoff{} }

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
	pause := time.NewTimer(rand.N(most) + 1)
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
	var b backoff
	for {
		attempt, cancel := context.WithTimeout(ctx, attemptBound)
		err := do(attempt)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if s := judge(err); s.fate != throttled && s.fate != broken {
			return err
		} else if !b.wait(ctx, s.fate, l.closing) {
			return errors.Join(ctx.Err(), err)
		}
	}
}
