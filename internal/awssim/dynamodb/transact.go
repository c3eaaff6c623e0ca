package dynamodb

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

const (
	// maxActions is the most actions of a transaction, maxTransaction the most bytes of its
	// items (API_TransactWriteItems).
	maxActions, maxTransaction = 100, 4 << 20
	// tokenLife is how long a ClientRequestToken is known (API_TransactWriteItems).
	tokenLife = 10 * time.Minute
)

type (
	// action is one of a transaction; it has one of the four.
	action struct {
		Put    *actionParts `json:"Put"`
		Update *actionParts `json:"Update"`
		Delete *actionParts `json:"Delete"`
		Check  *actionParts `json:"ConditionCheck"`
	}
	actionParts struct {
		addressed
		guarded
		Item   Item    `json:"Item"`
		Key    Item    `json:"Key"`
		Update *string `json:"UpdateExpression"`
	}
	transactInput struct {
		wanted
		Actions []action `json:"TransactItems"`
		Token   string   `json:"ClientRequestToken"`
	}
	transactOutput struct {
		Consumed []*consumed `json:"ConsumedCapacity,omitempty"`
	}
	// reason says what one action did to a transaction that was cancelled.
	reason struct {
		Code    string `json:"Code"`
		Message string `json:"Message,omitempty"`
		Item    Item   `json:"Item,omitempty"`
	}
	tokenKey struct{ account, region, token string }
	// seenToken is a transaction that was carried out.
	seenToken struct {
		fingerprint digest
		until       time.Time
	}
)

// tokens are the transactions of the last ten minutes, and when each may be forgotten.
type tokens struct {
	seen map[tokenKey]seenToken
	line []tokenKey
}

func (t *tokens) add(k tokenKey, s seenToken, now time.Time) {
	n := 0
	for ; n < len(t.line) && !t.seen[t.line[n]].until.After(now); n++ {
		delete(t.seen, t.line[n])
	}
	t.line = append(slices.Delete(t.line, 0, n), k)
	t.seen[k] = s
}

// written returns the write that an action asks for, and its table.
func (a action) written(known *expressions) (w *written, parts *actionParts, _ *service.Error) {
	n := 0
	for _, one := range [...]struct {
		parts *actionParts
		kind  writeKind
	}{{a.Put, put}, {a.Update, updated}, {a.Delete, removed}, {a.Check, checked}} {
		if one.parts == nil {
			continue
		}
		n++
		parts = one.parts
		w = &written{guarded: parts.guarded, kind: one.kind, item: parts.Item, given: parts.Key}
	}
	if n != 1 {
		return nil, nil, invalid("TransactItems can only contain one of Check, Put, Update or Delete")
	}
	if w.kind == updated && parts.Update == nil || w.kind == checked && parts.Condition == nil {
		return nil, nil, invalid("1 validation error detected: Value null at 'transactItems.member.expression' failed to satisfy constraint: Member must not be null")
	}
	return w, parts, w.prepare(known, parts.Update)
}

func (d *DynamoDB) transactNames(in *transactInput) []string {
	var names []string
	for _, a := range in.Actions {
		switch {
		case a.Put != nil:
			names = append(names, nameOf(a.Put.Item, d.keyNames(a.Put.TableName)))
		case a.Update != nil:
			names = append(names, nameOf(a.Update.Key, nil))
		case a.Delete != nil:
			names = append(names, nameOf(a.Delete.Key, nil))
		case a.Check != nil:
			names = append(names, nameOf(a.Check.Key, nil))
		}
	}
	return names
}

// step of a transaction: one action, and what it would do.
type transactStep struct {
	*written
	table     *table
	key       key
	old, made *record
}

// transactWriteItems does all of its actions or none.
func (d *DynamoDB) transactWriteItems(_ context.Context, c *service.Call, in *transactInput) (*transactOutput, error) {
	if len(in.Actions) == 0 || len(in.Actions) > maxActions {
		return nil, invalid("1 validation error detected: Value at 'transactItems' failed to satisfy constraint: Member must have length between 1 and %d", maxActions)
	}
	if len(in.Token) > 36 {
		return nil, invalid("1 validation error detected: Value '%s' at 'clientRequestToken' failed to satisfy constraint: Member must have length less than or equal to 36", in.Token)
	}
	if refusal := in.checked(); refusal != nil {
		return nil, refusal
	}
	steps := make([]transactStep, len(in.Actions))
	names := make([]string, len(in.Actions))
	for i, a := range in.Actions {
		w, parts, refusal := a.written(&d.known)
		if refusal != nil {
			return nil, refusal
		}
		steps[i].written, names[i] = w, parts.TableName
	}
	var fingerprint digest
	if in.Token != "" {
		fingerprint = in.fingerprint()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	token := tokenKey{c.Account, c.Region, in.Token}
	known := false
	if seen, ok := d.tokens.seen[token]; ok && in.Token != "" && seen.until.After(now) {
		if seen.fingerprint != fingerprint {
			return nil, service.Refuse("IdempotentParameterMismatchException", "The request uses the same client token as a previous, but non-identical request. Do not reuse a client token with different requests, unless the requests are identical")
		}
		known = true
	}
	if err := d.locateAll(c, steps, names); err != nil {
		return nil, err
	}
	if known {
		return &transactOutput{Consumed: in.repeated(steps)}, nil
	}
	if reasons := tryAll(c, steps); reasons != nil {
		return nil, cancelled(reasons)
	}
	out := &transactOutput{Consumed: in.cost(steps)}
	for _, s := range steps {
		if s.kind != checked {
			s.table.write(s.old, s.made, now)
		}
	}
	if in.Token != "" {
		d.tokens.add(token, seenToken{fingerprint, now.Add(tokenLife)}, now)
	}
	return out, nil
}

// locateAll finds what each action is about. What is wrong with the request itself refuses it.
func (d *DynamoDB) locateAll(c *service.Call, steps []transactStep, names []string) (err error) {
	type item struct {
		*table
		key
	}
	seen := make(map[item]bool, len(steps))
	for i := range steps {
		s := &steps[i]
		if s.table, err = d.find(c, names[i]); err != nil {
			return err
		}
		var refusal *service.Error
		if s.key, refusal = s.locate(s.table); refusal != nil {
			return refusal
		}
		if at := (item{s.table, s.key}); seen[at] {
			return invalid("Transaction request cannot include multiple operations on one item")
		} else {
			seen[at] = true
		}
		s.old = s.table.get(s.key)
	}
	return nil
}

// tryAll works out what each action makes of its item; it returns the reasons, one for each
// action, if one cannot be done.
func tryAll(c *service.Call, steps []transactStep) []reason {
	reasons := make([]reason, len(steps))
	failed, size := false, 0
	for i := range steps {
		s := &steps[i]
		reasons[i].Code = "None"
		if failure := c.Fails(s.name(s.table)); failure != nil {
			reasons[i], failed = reason{Code: failure.Code, Message: failure.Message}, true
			continue
		}
		var refusal *service.Error
		if s.made, refusal = s.try(s.table, s.key, s.old); refusal != nil {
			reasons[i], failed = reasonOf(refusal), true
			continue
		}
		if s.made != nil && s.kind != checked {
			size += s.made.size
		}
	}
	if size > maxTransaction && !failed { // by which reason AWS says so is not documented
		reasons[0], failed = reason{Code: "ValidationError", Message: "Collection size of the transaction's items exceeds 4 MB"}, true
	}
	if !failed {
		return nil
	}
	return reasons
}

// reasonOf makes a refusal of one action a reason.
func reasonOf(refusal *service.Error) reason {
	switch refusal.Code {
	case "ConditionalCheckFailedException":
		item, _ := refusal.Fields["Item"].(Item)
		return reason{"ConditionalCheckFailed", refusal.Message, item}
	case "ValidationException":
		return reason{Code: "ValidationError", Message: refusal.Message}
	}
	return reason{Code: refusal.Code, Message: refusal.Message}
}

func cancelled(reasons []reason) *service.Error {
	codes := make([]string, len(reasons))
	for i, r := range reasons {
		codes[i] = r.Code
	}
	refusal := service.Refuse("TransactionCanceledException", "Transaction cancelled, please refer cancellation reasons for specific reasons [%s]", strings.Join(codes, ", "))
	refusal.Fields = map[string]any{"CancellationReasons": reasons}
	return refusal
}

// cost is what a transaction costs: each write twice what it would cost alone, once to prepare
// and once to commit ("DynamoDB transactions", capacity management). What an index writes is
// taken to be done once more too: that is not documented.
func (in *transactInput) cost(steps []transactStep) []*consumed {
	return in.perTable(steps, func(s transactStep) *consumed {
		n := 2 * s.table.writeUnits(s.old, s.made)
		return &consumed{Units: n, Write: n}
	})
}

// repeated is what a transaction costs whose token is known: reads, and twice (API_TransactWriteItems).
func (in *transactInput) repeated(steps []transactStep) []*consumed {
	return in.perTable(steps, func(s transactStep) *consumed {
		size := 0
		if s.old != nil {
			size = s.old.size
		}
		n := 2 * readUnits(size, true)
		return &consumed{Units: n, Read: n}
	})
}

// perTable adds up by table, in the order in which tables are named first.
func (in *transactInput) perTable(steps []transactStep, of func(transactStep) *consumed) []*consumed {
	if !in.asked() {
		return nil
	}
	var out []*consumed
	for _, s := range steps {
		c := of(s)
		c.Table = s.table.name
		if i := slices.IndexFunc(out, func(o *consumed) bool { return o.Table == c.Table }); i >= 0 {
			out[i].Units += c.Units
			out[i].Read += c.Read
			out[i].Write += c.Write
			continue
		}
		out = append(out, c)
	}
	return out
}
