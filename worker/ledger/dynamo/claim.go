package dynamo

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/rescindhq/rescind/worker/ledger"
)

// Claim implements [ledger.Ledger]. A key that was never claimed costs one write, and one that
// was claimed before another. A command of several targets is read first, so that the items
// beside it are written only once.
func (l *Ledger) Claim(ctx context.Context, e ledger.Entry, lease time.Duration) (*ledger.Claim, error) {
	c, err := l.claim(ctx, e, lease)
	if err != nil {
		return nil, fmt.Errorf("claiming %q: %w", e.Key, err)
	}
	return c, nil
}

// claimTries is how often a claim is decided anew because the item was changed between its look
// and its write: each change is some other worker's claim or end, and two are many.
const claimTries = 11

func (l *Ledger) claim(ctx context.Context, e ledger.Entry, lease time.Duration) (*ledger.Claim, error) {
	if e.Key == "" || strings.HasPrefix(e.Key, "/") {
		return nil, fmt.Errorf("%w: a key must not be empty, nor begin with a slash", ledger.ErrRejected)
	}
	var seen *record
	if several := distinct(e.Targets); len(several) > 1 {
		var err error
		if seen, err = l.get(ctx, e.Key); err != nil {
			return nil, err
		}
		if seen == nil || seen.forgotten(l.now()) {
			if err := l.index(ctx, e.Key, several); err != nil {
				return nil, err
			}
		}
	}
	for range claimTries {
		c, w := l.decide(e, seen, lease)
		if w == nil {
			return c, nil
		}
		if err := l.usable(ctx); err != nil {
			return nil, err
		}
		l.submit(w)
		a, err := await(ctx, w)
		if err != nil {
			// It may have taken effect: whoever claims next must not be held off by it.
			l.lose(w.stamp, lost{first: !c.Resumed, until: l.now().Add(lease)})
			return nil, err
		}
		if a.stored {
			return c, nil
		}
		if seen = a.old; seen == nil {
			// Refused for a reason that is not given: a store that does not know how to return it, or one
			// that has forgotten the item since.
			if seen, err = l.get(ctx, e.Key); err != nil {
				return nil, err
			}
		}
	}
	return &ledger.Claim{State: ledger.Held, Until: l.now()}, nil // by whoever changes it
}

// decide says what a claim finds in what was seen of its key (nil: nothing), and with which
// write it takes the key where it may. The write is conditional on what was seen.
func (l *Ledger) decide(e ledger.Entry, seen *record, lease time.Duration) (*ledger.Claim, *write) {
	now := l.now()
	c := &ledger.Claim{State: ledger.Claimed, Token: ledger.Token{Key: e.Key, Number: uint64(now.UnixNano())}}
	if seen == nil {
		return c, l.firstClaim(e, c.Token, noStamp, lease)
	}
	c.Token.Number = max(c.Token.Number, seen.number+1)
	own, ours := l.lost(seen.stamp)
	switch {
	case seen.forgotten(now):
		return c, l.firstClaim(e, c.Token, seen.stamp, lease)
	case seen.entry.Fingerprint != e.Fingerprint:
		return &ledger.Claim{State: ledger.OtherContent}, nil
	case seen.stage == ended:
		return &ledger.Claim{State: ledger.Ended, Outcome: seen.outcome}, nil
	case seen.stage == claimed && now.Before(seen.lease) && !ours:
		return &ledger.Claim{State: ledger.Held, Until: seen.lease}, nil
	}
	if !own.first {
		c.Resumed, c.Progress = true, seen.progress
	}
	return c, l.takeover(c.Token, seen.stamp, lease)
}

// noStamp is the stamp of no item.
const noStamp = "none"

// firstClaim writes the item of a key that is free or forgotten.
func (l *Ledger) firstClaim(e ledger.Entry, t ledger.Token, seen string, lease time.Duration) *write {
	whole := encodeEntry(e)
	size := len(e.Key) + len(e.Campaign)
	for _, target := range e.Targets {
		size += 2 * len(target)
	}
	return l.newClaim(t, size, func(stamp string, now time.Time) types.TransactWriteItem {
		whole["claim"], whole["stage"] = number(t.Number), text(claimed)
		whole["stamp"], whole["lease"] = text(stamp), number(now.Add(lease).UnixNano())
		return l.put(whole, "attribute_not_exists(id) OR stamp = :seen", item{":seen": text(seen)})
	})
}

// takeover claims a key that was claimed before. Whatever anybody stores meanwhile changes the
// stamp, and so refuses it.
func (l *Ledger) takeover(t ledger.Token, seen string, lease time.Duration) *write {
	return l.newClaim(t, 0, func(stamp string, now time.Time) types.TransactWriteItem {
		return l.update(t.Key, "SET claim = :claim, stage = :claimed, lease = :lease, stamp = :stamp", "stamp = :seen", item{
			":claim": number(t.Number), ":claimed": text(claimed), ":stamp": text(stamp),
			":lease": number(now.Add(lease).UnixNano()), ":seen": text(seen),
		})
	})
}

// newClaim has its stamp from the beginning, by which the ledger knows it again when it is lost.
func (l *Ledger) newClaim(t ledger.Token, size int, build func(string, time.Time) types.TransactWriteItem) *write {
	w := newWrite(t.Key, size, build)
	w.stamp = l.stamp()
	return w
}

// lost is a claim of this ledger that may have taken effect without anybody who has its token.
type lost struct {
	first bool // it was its key's first
	until time.Time
}

// mostLost is how many are remembered before those whose lease is over are swept out.
const mostLost = 4096

func (l *Ledger) lose(stamp string, c lost) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.losses) >= mostLost {
		now := l.now()
		maps.DeleteFunc(l.losses, func(_ string, old lost) bool { return !now.Before(old.until) })
	}
	l.losses[stamp] = c
}

func (l *Ledger) lost(stamp string) (lost, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, ok := l.losses[stamp]
	return c, ok
}

// get reads a command; nil where there is none.
func (l *Ledger) get(ctx context.Context, key string) (r *record, err error) {
	var found item
	err = l.read(ctx, func(ctx context.Context) error {
		found, err = l.getItem(ctx, key)
		return err
	})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return decode(found)
}

func (l *Ledger) getItem(ctx context.Context, id string) (item, error) {
	out, err := l.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &l.table, Key: item{"id": text(id)}, ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return nil, err
	}
	return out.Item, nil
}
