package dynamo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
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
	if n := len(besidePrefix) + besideHash + 1; id[:min(len(id), len(besidePrefix))] == besidePrefix && len(id) > n {
		return id[n:]
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
	expires := number(seconds(l.now().Add(besideMargin + l.retention)))
	for part := range slices.Chunk(targets, maxBatchWrite) {
		left := make([]types.WriteRequest, len(part))
		for i, t := range part {
			left[i].PutRequest = &types.PutRequest{Item: item{
				"id": text(besideID(key, t)), "target": text(t), "expires": expires,
			}}
		}
		err := l.read(ctx, func(ctx context.Context) error {
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
		if err != nil {
			return fmt.Errorf("writing the index of its targets: %w", err)
		}
	}
	return nil
}

// errUnprocessed stands for a throttle that DynamoDB tells by leaving part of a batch undone.
func errUnprocessed() error {
	return &types.ProvisionedThroughputExceededException{Message: aws.String("part of the batch was not processed")}
}

// ByCampaign implements [ledger.Ledger]. It reads 16 shards of an index, which lags moments
// behind, and then the commands themselves. No command is of the campaign "". Records that
// cannot be read are left out, and make the last word an ErrUnreadable.
func (l *Ledger) ByCampaign(ctx context.Context, campaign string, yield func(ledger.Record) bool) error {
	var values []string
	for shard := range shards {
		if campaign != "" {
			values = append(values, campaignShard(campaign, shard))
		}
	}
	err := l.lookup(ctx, "campaign", values, yield, func(e ledger.Entry) bool { return e.Campaign == campaign })
	if err != nil {
		return fmt.Errorf("looking up campaign %q: %w", campaign, err)
	}
	return nil
}

// ByTarget implements [ledger.Ledger], like ByCampaign.
func (l *Ledger) ByTarget(ctx context.Context, target string, yield func(ledger.Record) bool) error {
	var values []string
	if target != "" {
		values = append(values, target)
	}
	err := l.lookup(ctx, "target", values, yield, func(e ledger.Entry) bool {
		return slices.Contains(e.Targets, target)
	})
	if err != nil {
		return fmt.Errorf("looking up target %q: %w", target, err)
	}
	return nil
}

// lookup yields the commands that match among those that an index has under values.
func (l *Ledger) lookup(ctx context.Context, name string, values []string,
	yield func(ledger.Record) bool, match func(ledger.Entry) bool,
) error {
	if l.closed() {
		return errClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	var unreadable []error
	known := map[string]bool{} // an item beside an earlier command of its key names it twice
	for _, value := range values {
		var from item
		for {
			keys, next, err := l.query(ctx, name, value, from)
			if err != nil {
				return err
			}
			keys = slices.DeleteFunc(keys, func(key string) bool {
				twice := known[key]
				known[key] = true
				return twice
			})
			for part := range slices.Chunk(keys, maxBatchGet) {
				goOn, err := l.yieldAll(ctx, part, match, yield)
				if err != nil && !errors.Is(err, ledger.ErrUnreadable) {
					return err
				}
				unreadable = append(unreadable, err)
				if !goOn {
					return errors.Join(unreadable...)
				}
			}
			if from = next; len(from) == 0 {
				break
			}
		}
	}
	return errors.Join(unreadable...)
}

// query reads one page of an index.
func (l *Ledger) query(ctx context.Context, name, value string, from item) (keys []string, next item, err error) {
	err = l.read(ctx, func(ctx context.Context) error {
		out, err := l.client.Query(ctx, &dynamodb.QueryInput{
			TableName: &l.table, IndexName: &name, ExclusiveStartKey: from,
			KeyConditionExpression:    aws.String(name + " = :value"),
			ExpressionAttributeValues: item{":value": text(value)},
		})
		if err != nil {
			return err
		}
		keys, next = make([]string, 0, len(out.Items)), out.LastEvaluatedKey
		for _, i := range out.Items {
			if id, ok := i["id"].(*types.AttributeValueMemberS); ok {
				keys = append(keys, keyOf(id.Value))
			}
		}
		return nil
	})
	return keys, next, err
}

// yieldAll reads commands and yields those that match. It says whether to go on.
func (l *Ledger) yieldAll(ctx context.Context, keys []string, match func(ledger.Entry) bool,
	yield func(ledger.Record) bool,
) (goOn bool, err error) {
	ids := make([]item, len(keys))
	for i, key := range keys {
		ids[i] = item{"id": text(key)}
	}
	yes := true
	left := map[string]types.KeysAndAttributes{l.table: {Keys: ids, ConsistentRead: &yes}}
	var found []item
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
	if err != nil {
		return false, err
	}
	var unreadable []error
	for _, i := range found {
		r, err := decode(i)
		if err != nil {
			unreadable = append(unreadable, err)
			continue
		}
		if r.forgotten(l.now()) || !match(r.entry) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if !yield(ledger.Record{Entry: r.entry, Ended: r.stage == ended, Progress: r.progress, Outcome: r.outcome}) {
			return false, errors.Join(unreadable...)
		}
	}
	return true, errors.Join(unreadable...)
}
