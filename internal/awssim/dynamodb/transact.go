package dynamodb

import (
	"context"
	"hash/maphash"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

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
	// action is one of a transaction; it has one of the three.
	action struct {
		Put    *writeInput `json:"Put"`
		Update *writeInput `json:"Update"`
		Delete *writeInput `json:"Delete"`
	}
	transactInput struct {
		Actions []action `json:"TransactItems"`
		Token   string   `json:"ClientRequestToken"`
	}
	// reason says what one action did to a transaction that was cancelled.
	reason struct {
		Code    string `json:"Code"`
		Message string `json:"Message,omitempty"`
		Item    Item   `json:"Item,omitempty"`
	}
	tokenID struct{ account, region, token string }
	// seenToken is a transaction that was carried out.
	seenToken struct {
		request uint64
		until   time.Time
	}
	// tokens are the transactions of the last ten minutes, and in which order they may be forgotten.
	tokens struct {
		seen map[tokenID]seenToken
		line []tokenID
	}
)

func (t *tokens) add(id tokenID, s seenToken, now time.Time) {
	n := 0
	for ; n < len(t.line) && !t.seen[t.line[n]].until.After(now); n++ {
		delete(t.seen, t.line[n])
	}
	t.line = append(slices.Delete(t.line, 0, n), id)
	t.seen[id] = s
}

var requestSeed = maphash.MakeSeed()

// request is a hash of the actions, by which a repetition is distinguished from another request under the same
// token. The SDK for Go writes maps in any order, and the same numbers may be written in several ways.
func (in *transactInput) request() (uint64, error) {
	text, err := json.Marshal(in.Actions, json.Deterministic(true))
	return maphash.Bytes(requestSeed, text), err
}

func (d *DynamoDB) transactNames(in *transactInput) []string {
	var names []string
	for _, a := range in.Actions {
		if a.Put != nil {
			names = append(names, d.itemNames(a.Put.TableName, a.Put.Item)...)
		}
		for _, of := range []*writeInput{a.Update, a.Delete} {
			if of != nil {
				names = append(names, d.itemNames(of.TableName, of.Key)...)
			}
		}
	}
	return names
}

// prepare parses the write that an action asks for.
func (a *action) prepare() (w *written, refusal *service.Error) {
	n := 0
	for i, of := range []*writeInput{a.Put, a.Update, a.Delete} {
		if of != nil {
			n++
			w, refusal = of.prepare([]writeKind{put, change, remove}[i])
		}
	}
	switch {
	case n != 1:
		return nil, invalid("TransactItems can only contain one of Check, Put, Update or Delete")
	case a.Update != nil && a.Update.Update == nil:
		return nil, invalid("1 validation error detected: Value null at 'transactItems.member.update.updateExpression' failed to satisfy constraint: Member must not be null")
	}
	return w, refusal
}

// transactWriteItems does all of its actions or none.
func (d *DynamoDB) transactWriteItems(_ context.Context, c *service.Call, in *transactInput) (*service.Empty, error) {
	if len(in.Actions) == 0 || len(in.Actions) > maxActions {
		return nil, invalid("1 validation error detected: Value at 'transactItems' failed to satisfy constraint: Member must have length between 1 and %d", maxActions)
	}
	if len(in.Token) > 36 {
		return nil, invalid("1 validation error detected: Value '%s' at 'clientRequestToken' failed to satisfy constraint: Member must have length less than or equal to 36", in.Token)
	}
	writes := make([]*written, len(in.Actions))
	for i, a := range in.Actions {
		var refusal *service.Error
		if writes[i], refusal = a.prepare(); refusal != nil {
			return nil, refusal
		}
	}
	request, err := in.request()
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.locateAll(c, writes); err != nil {
		return nil, err
	}
	now := time.Now()
	token := tokenID{c.Account, c.Region, in.Token}
	if seen, ok := d.tokens.seen[token]; ok && seen.until.After(now) {
		if seen.request != request {
			return nil, service.Refuse("IdempotentParameterMismatchException", "The request uses the same client token as a previous, but non-identical request. Do not reuse a client token with different requests, unless the requests are identical")
		}
		return &service.Empty{}, nil
	}
	if refusal := tryAll(c, writes); refusal != nil {
		return nil, refusal
	}
	for _, w := range writes {
		w.table.write(w.key, w.made, now)
	}
	if in.Token != "" {
		d.tokens.add(token, seenToken{request, now.Add(tokenLife)}, now)
	}
	return &service.Empty{}, nil
}

// locateAll finds what each write is about. What is wrong with the request itself refuses it.
func (d *DynamoDB) locateAll(c *service.Call, writes []*written) error {
	type place struct {
		table *table
		key   string
	}
	seen := make(map[place]bool, len(writes))
	for _, w := range writes {
		if err := w.locate(d, c); err != nil {
			return err
		}
		at := place{w.table, w.key}
		if seen[at] {
			return invalid("Transaction request cannot include multiple operations on one item")
		}
		seen[at] = true
	}
	return nil
}

// tryAll works out what each write makes of its item. If one cannot be done it refuses all, and says
// of each why.
func tryAll(c *service.Call, writes []*written) *service.Error {
	reasons, failed, size := make([]reason, len(writes)), false, 0
	for i, w := range writes {
		reasons[i].Code = "None"
		if failure := c.Fails(w.key); failure != nil {
			reasons[i], failed = reason{Code: failure.Code, Message: failure.Message}, true
		} else if refusal := w.try(); refusal != nil {
			reasons[i], failed = reasonOf(refusal), true
		}
		size += w.made.size()
	}
	if size > maxTransaction && !failed { // by which reason AWS says so is not documented
		reasons[0], failed = reason{Code: "ValidationError", Message: "Collection size of the transaction's items exceeds 4 MB"}, true
	}
	if !failed {
		return nil
	}
	codes := make([]string, len(reasons))
	for i, r := range reasons {
		codes[i] = r.Code
	}
	refusal := service.Refuse("TransactionCanceledException", "Transaction cancelled, please refer cancellation reasons for specific reasons [%s]", strings.Join(codes, ", "))
	refusal.Fields = map[string]any{"CancellationReasons": reasons}
	return refusal
}

// reasonOf makes a refusal of one write a reason.
func reasonOf(refusal *service.Error) reason {
	if refusal.Code == "ConditionalCheckFailedException" {
		item, _ := refusal.Fields["Item"].(Item)
		return reason{"ConditionalCheckFailed", refusal.Message, item}
	}
	return reason{Code: "ValidationError", Message: refusal.Message}
}
