package dynamo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/rescindhq/rescind/worker/ledger"
)

const (
	// besidePrefix begins the id of an item beside a command of several targets.
	besidePrefix = "/target/"
	// besideHash is how many hexadecimal digits tell one command's targets apart.
	besideHash = 32
	// besideMargin is how long after its first claim a command is taken to end at the latest:
	// SQS keeps a message 14 days at most.
	besideMargin = 15 * 24 * time.Hour

	maxBatchWrite = 25  // DynamoDB's bound for BatchWriteItem
	maxBatchGet   = 100 // and for BatchGetItem
)

func besideID(key, target string) string {
	sum := sha256.Sum256([]byte(target))
	return besidePrefix + hex.EncodeToString(sum[:])[:besideHash] + "/" + key
}

// keyOf returns the key of the command that an index named.
func keyOf(id string) string {
	if hashed, beside := strings.CutPrefix(id, besidePrefix); beside && len(hashed) > besideHash+1 {
		return hashed[besideHash+1:]
	}
	return id
}

func distinct(targets []string) []string {
	if len(targets) < 2 {
		return targets
	}
	all := slices.Clone(targets)
	slices.Sort(all)
	return slices.Compact(all)
}

// index writes the items beside a command of several targets. Writing them twice is harmless.
func (l *Ledger) index(ctx context.Context, key string, targets []string) error {
	expires := number(seconds(l.now().Add(besideMargin + ledger.Retention)))
	for part := range slices.Chunk(targets, maxBatchWrite) {
		left := make([]types.WriteRequest, len(part))
		for i, t := range part {
			left[i].PutRequest = &types.PutRequest{Item: item{
				"id": text(besideID(key, t)), "target": text(t), "expires": expires,
			}}
		}
		err := l.writeAll(ctx, left)
		if err != nil {
			return fmt.Errorf("writing the index of its targets: %w", err)
		}
	}
	return nil
}

// writeAll writes items, maxBatchWrite at most, under no condition.
func (l *Ledger) writeAll(ctx context.Context, left []types.WriteRequest) error {
	return l.read(ctx, func(ctx context.Context) error {
		out, err := l.client.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{
			RequestItems: map[string][]types.WriteRequest{l.table: left},
		})
		if err != nil {
			return err
		}
		if left = out.UnprocessedItems[l.table]; len(left) > 0 {
			return errUnprocessed()
		}
		return nil
	})
}

// errUnprocessed stands for a throttle that DynamoDB tells by leaving part of a batch undone.
func errUnprocessed() error {
	return &types.ProvisionedThroughputExceededException{Message: aws.String("part of the batch was not processed")}
}

// ByCampaign implements [ledger.Ledger]. It reads 16 shards of an index, which lags moments
// behind, and then the commands themselves. Records that cannot be read are left out, and make the
// last word an ErrUnreadable.
func (l *Ledger) ByCampaign(ctx context.Context, campaign string, yield func(ledger.Record) bool) error {
	if campaign == "" {
		return l.usable(ctx)
	}
	var values []string
	for shard := range shards {
		values = append(values, campaignShard(campaign, shard))
	}
	f := finder{Ledger: l, yield: yield, match: func(e ledger.Entry) bool { return e.Campaign == campaign }}
	if err := f.find(ctx, "campaign", values...); err != nil {
		return fmt.Errorf("looking up campaign %q: %w", campaign, err)
	}
	return nil
}

// ByTarget implements [ledger.Ledger], like ByCampaign.
func (l *Ledger) ByTarget(ctx context.Context, target string, yield func(ledger.Record) bool) error {
	if target == "" {
		return l.usable(ctx)
	}
	f := finder{Ledger: l, yield: yield, match: func(e ledger.Entry) bool { return slices.Contains(e.Targets, target) }}
	if err := f.find(ctx, "target", target); err != nil {
		return fmt.Errorf("looking up target %q: %w", target, err)
	}
	return nil
}

// Ended implements [ledger.Ledger], with one read for up to 100 keys. Keys that begin with a slash are
// no commands'.
func (l *Ledger) Ended(ctx context.Context, keys ...string) (found []ledger.Record, err error) {
	f := finder{Ledger: l, match: func(ledger.Entry) bool { return true }, yield: func(r ledger.Record) bool {
		if r.Ended {
			found = append(found, r)
		}
		return true
	}}
	keys = slices.DeleteFunc(distinct(slices.Clone(keys)), func(key string) bool { return key == "" || key[0] == '/' })
	err = l.usable(ctx)
	for part := range slices.Chunk(keys, maxBatchGet) {
		if err == nil {
			err = f.yieldAll(ctx, part)
		}
	}
	if err = errors.Join(append(f.unreadable, err)...); err != nil {
		return found, fmt.Errorf("looking up what has ended: %w", err)
	}
	return found, nil
}

// finder is one lookup.
type finder struct {
	*Ledger
	match func(ledger.Entry) bool
	yield func(ledger.Record) bool

	stopped    bool    // yield wants no more
	unreadable []error // of records that were left out
}

// find yields the commands that match among those that an index has under values.
func (f *finder) find(ctx context.Context, index string, values ...string) error {
	if err := f.usable(ctx); err != nil {
		return err
	}
	known := map[string]bool{} // an item beside an earlier command of its key names it twice
	for _, value := range values {
		for from := (item)(nil); ; {
			keys, next, err := f.page(ctx, index, value, from)
			if err != nil {
				return err
			}
			keys = slices.DeleteFunc(keys, func(key string) bool {
				twice := known[key]
				known[key] = true
				return twice
			})
			for part := range slices.Chunk(keys, maxBatchGet) {
				if err := f.yieldAll(ctx, part); err != nil || f.stopped {
					return errors.Join(append(f.unreadable, err)...)
				}
			}
			if from = next; len(from) == 0 {
				break
			}
		}
	}
	return errors.Join(f.unreadable...)
}

// page reads one page of an index.
func (l *Ledger) page(ctx context.Context, index, value string, from item) (keys []string, next item, err error) {
	var out *dynamodb.QueryOutput
	err = l.read(ctx, func(ctx context.Context) error {
		out, err = l.client.Query(ctx, &dynamodb.QueryInput{
			TableName: &l.table, IndexName: &index, ExclusiveStartKey: from,
			KeyConditionExpression:    aws.String(index + " = :value"),
			ExpressionAttributeValues: item{":value": text(value)},
		})
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	for _, i := range out.Items {
		keys = append(keys, keyOf((&reader{item: i}).text("id")))
	}
	return keys, out.LastEvaluatedKey, nil
}

// yieldAll reads commands and yields those that match.
func (f *finder) yieldAll(ctx context.Context, keys []string) error {
	found, err := f.getItems(ctx, keys)
	if err != nil {
		return err
	}
	for _, i := range found {
		r, err := decode(i)
		if err != nil {
			f.unreadable = append(f.unreadable, err)
			continue
		}
		if r.forgotten(f.now()) || !f.match(r.entry) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if !f.yield(ledger.Record{Entry: r.entry, Ended: r.stage == ended, Progress: r.progress, Outcome: r.outcome}) {
			f.stopped = true
			return nil
		}
	}
	return nil
}

// getItems reads up to maxBatchGet items. Those that are not there are left out.
func (l *Ledger) getItems(ctx context.Context, ids []string) (found []item, err error) {
	keys := make([]item, len(ids))
	for i, id := range ids {
		keys[i] = item{"id": text(id)}
	}
	left := map[string]types.KeysAndAttributes{l.table: {Keys: keys, ConsistentRead: aws.Bool(true)}}
	err = l.read(ctx, func(ctx context.Context) error {
		for len(left[l.table].Keys) > 0 {
			out, err := l.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: left})
			if err != nil {
				return err
			}
			found = append(found, out.Responses[l.table]...)
			left = out.UnprocessedKeys
			if len(out.Responses[l.table]) == 0 && len(left[l.table].Keys) > 0 {
				return errUnprocessed()
			}
		}
		return nil
	})
	return found, err
}
