package dynamo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

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
const claimTries = 10

var errContended = errors.New("the item changed whenever it was to be claimed")

func (l *Ledger) claim(ctx context.Context, e ledger.Entry, lease time.Duration) (*ledger.Claim, error) {
	if err := l.usable(ctx, e.Key); err != nil {
		return nil, err
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
	for refusals := 0; ; {
		c, w := l.decide(e, seen, lease)
		if w == nil {
			return c, nil
		}
		a, err := l.do(ctx, w)
		if err == nil {
			err = a.err
		}
		if err != nil {
			// It may have taken effect: whoever claims next must not be held off by it.
			l.lose(w.stamp, lost{fresh: !c.Resumed, until: l.now().Add(lease)})
			return nil, err
		}
		if a.stored {
			return c, nil
		}
		if seen = a.old; seen == nil {
			// Refused for what is not told: a store that does not know how to return it, or one
			// that has forgotten the item since.
			if seen, err = l.get(ctx, e.Key); err != nil {
				return nil, err
			}
		}
		if refusals++; refusals > claimTries {
			return nil, errContended
		}
	}
}

// decide says what a claim finds in what was seen of its key (nil: nothing), and with which
// write it takes the key where it may. The write is conditional on what was seen.
func (l *Ledger) decide(e ledger.Entry, seen *record, lease time.Duration) (*ledger.Claim, *write) {
	now := l.now()
	c := &ledger.Claim{State: ledger.Claimed, Token: ledger.Token{Key: e.Key, Number: uint64(now.UnixNano())}}
	if seen == nil || seen.forgotten(now) {
		if seen != nil {
			c.Token.Number = max(c.Token.Number, seen.number+1)
		}
		return c, l.firstClaim(e, c.Token.Number, seen, lease)
	}
	if seen.entry.Fingerprint != e.Fingerprint {
		return &ledger.Claim{State: ledger.OtherContent}, nil
	}
	own, ours := l.lost(seen.stamp)
	switch {
	case seen.stage == ended:
		return &ledger.Claim{State: ledger.Ended, Outcome: seen.outcome}, nil
	case seen.stage == claimed && now.Before(seen.lease) && !ours:
		return &ledger.Claim{State: ledger.Held, Until: seen.lease}, nil
	}
	c.Token.Number = max(c.Token.Number, seen.number+1)
	if ours && own.fresh {
		return c, l.firstClaim(e, c.Token.Number, seen, lease)
	}
	c.Resumed, c.Progress = true, seen.progress
	return c, l.takeover(e.Key, c.Token.Number, seen.stamp, lease)
}

// begun is the progress of a command whose claim says that a call follows.
var begun = func() []byte {
	b, err := encodeProgress(ledger.Progress{Begun: true})
	if err != nil {
		panic(err) // a constant
	}
	return b
}()

// firstClaim writes the item of a key that is free, forgotten, or claimed by this ledger alone, whose
// caller never knew.
func (l *Ledger) firstClaim(e ledger.Entry, n uint64, seen *record, lease time.Duration) *write {
	base := encodeEntry(e)
	if e.Begun {
		base["progress"] = octets(begun)
	}
	size := len(e.Key) + len(e.Campaign)
	for _, t := range e.Targets {
		size += 2 * len(t)
	}
	w := l.newWrite(e.Key, size, func(stamp string, now time.Time) action {
		base["claim"], base["stage"] = number(n), text(string(claimed))
		base["stamp"], base["lease"] = text(stamp), number(now.Add(lease).UnixNano())
		if seen == nil {
			return action{put: base, condition: "attribute_not_exists(id)"}
		}
		return action{
			put: base, condition: "attribute_not_exists(id) OR stamp = :seen", values: item{":seen": text(seen.stamp)},
		}
	})
	w.stamp = l.stamp()
	return w
}

// takeover claims a key that was claimed before. Whatever anybody stores meanwhile changes the
// stamp, and so refuses it.
func (l *Ledger) takeover(key string, n uint64, seen string, lease time.Duration) *write {
	w := l.newWrite(key, 0, func(stamp string, now time.Time) action {
		return action{
			update:    "SET claim = :claim, stage = :claimed, lease = :lease, stamp = :stamp",
			condition: "stamp = :seen",
			values: item{
				":claim": number(n), ":claimed": text(string(claimed)), ":stamp": text(stamp),
				":lease": number(now.Add(lease).UnixNano()), ":seen": text(seen),
			},
		}
	})
	w.stamp = l.stamp()
	return w
}

// lost is a claim of this ledger that may have taken effect without anybody holding its token.
type lost struct {
	fresh bool // it was its key's first
	until time.Time
}

// mostLost is how many are kept before those whose lease is over are swept out.
const mostLost = 4096

func (l *Ledger) lose(stamp string, c lost) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.losses) >= mostLost {
		now := l.now()
		for s, old := range l.losses {
			if !now.Before(old.until) {
				delete(l.losses, s)
			}
		}
	}
	l.losses[stamp] = c
}

func (l *Ledger) lost(stamp string) (lost, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, ok := l.losses[stamp]
	return c, ok
}

// get reads a command's item; nil where there is none.
func (l *Ledger) get(ctx context.Context, key string) (*record, error) {
	yes := true
	var found item
	err := l.read(ctx, func(ctx context.Context) error {
		out, err := l.client.GetItem(ctx, &dynamodb.GetItemInput{
			TableName: &l.table, Key: item{"id": text(key)}, ConsistentRead: &yes,
		})
		if err == nil {
			found = out.Item
		}
		return err
	})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return decode(found)
}
