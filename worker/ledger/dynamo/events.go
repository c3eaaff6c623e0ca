package dynamo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/rescindhq/rescind/worker/ledger"
)

// eventPrefix begins the id of an event's item: id, in, state, reason, at (N, Unix nanoseconds) and expires. No command's
// id begins with a slash.
const eventPrefix = "/event/"

// maxIDBytes is DynamoDB's bound for a partition key.
const maxIDBytes = 2048

// PutEvents implements [ledger.Ledger]. Up to 25 share a request, one for each target.
func (l *Ledger) PutEvents(ctx context.Context, events ...ledger.Event) []error {
	errs := make([]error, len(events))
	var newest []ledger.Event
	for i, e := range events {
		switch {
		case e.Target == "" || len(eventPrefix)+len(e.Target) > maxIDBytes:
			errs[i] = fmt.Errorf("storing an event of %q: %w: the target's name is too long, or empty", e.Target, ledger.ErrRejected)
		default:
			newest = slices.DeleteFunc(newest, func(other ledger.Event) bool { return other.Target == e.Target })
			newest = append(newest, e)
		}
	}
	failed := make(map[string]error)
	for part := range slices.Chunk(newest, maxBatchWrite) {
		if err := l.putEvents(ctx, part); err != nil {
			for _, e := range part {
				failed[e.Target] = fmt.Errorf("storing an event of %q: %w", e.Target, err)
			}
		}
	}
	for i, e := range events {
		if errs[i] == nil {
			errs[i] = failed[e.Target]
		}
	}
	return errs
}

func (l *Ledger) putEvents(ctx context.Context, events []ledger.Event) error {
	if err := l.usable(ctx); err != nil {
		return err
	}
	left := make([]types.WriteRequest, len(events))
	expires := number(seconds(l.now().Add(ledger.EventRetention)))
	for i, e := range events {
		left[i].PutRequest = &types.PutRequest{Item: item{
			"id": text(eventPrefix + e.Target), "in": text(e.In), "state": text(e.State), "reason": text(e.Reason),
			"at": number(e.At.UnixNano()), "expires": expires,
		}}
	}
	return l.writeAll(ctx, left)
}

// Events implements [ledger.Ledger], with one read for up to 100 targets.
func (l *Ledger) Events(ctx context.Context, targets ...string) (map[string]ledger.Event, error) {
	found := make(map[string]ledger.Event)
	ids := make([]string, 0, len(targets))
	for _, t := range distinct(targets) {
		if t != "" && len(eventPrefix)+len(t) <= maxIDBytes {
			ids = append(ids, eventPrefix+t)
		}
	}
	err := l.usable(ctx)
	for part := range slices.Chunk(ids, maxBatchGet) {
		var items []item
		if err == nil {
			items, err = l.getItems(ctx, part)
		}
		for _, i := range items {
			r := reader{item: i}
			e := ledger.Event{
				Target: strings.TrimPrefix(r.text("id"), eventPrefix), In: r.text("in"), State: r.text("state"), Reason: r.text("reason"),
				At: time.Unix(0, r.int("at")).UTC(),
			}
			if over := r.int("expires") <= seconds(l.now()); r.err == nil && !over {
				found[e.Target] = e
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("looking up events: %w", err)
	}
	return found, nil
}
