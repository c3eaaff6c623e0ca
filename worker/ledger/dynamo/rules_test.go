package dynamo_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/ledger/dynamo"
)

// A clock that is wrong shifts the moment of a takeover, and breaks no rule.
func TestClocksThatDiffer(t *testing.T) {
	for name, skew := range map[string]time.Duration{"ahead": 5 * time.Minute, "behind": -5 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, cfg := simulated(t, awssim.Options{})
				right := open(t, cfg, dynamo.Options{})
				wrong := open(t, cfg, dynamo.Options{Now: func() time.Time { return time.Now().Add(skew) }})
				defer right.Close()
				defer wrong.Close()
				last := ledger.Token{}
				take := func(l *dynamo.Ledger) ledger.Token {
					c, err := l.Claim(t.Context(), entry(1), lease)
					if err != nil || c.State != ledger.Claimed || c.Token.Number <= last.Number {
						t.Fatalf("claim after %d: %+v, %v", last.Number, c, err)
					}
					old := last
					last = c.Token
					if old.Number > 0 {
						for _, l := range []*dynamo.Ledger{right, wrong} {
							if err := l.Renew(t.Context(), lease, old)[0]; !errors.Is(err, ledger.ErrFenced) {
								t.Errorf("renewing with a claim taken over: %v", err)
							}
						}
					}
					return c.Token
				}
				take(right)
				time.Sleep(lease + max(-skew, 0)) // who is behind sees the lease end later
				take(wrong)
				time.Sleep(lease + max(skew, 0))
				token := take(right)
				// Stamps of both clocks meet in one record.
				for _, l := range []*dynamo.Ledger{right, wrong, right, wrong} {
					if err := l.Progress(t.Context(), ledger.Update{Token: token, Progress: ledger.Progress{Begun: true}})[0]; err != nil {
						t.Error(err)
					}
				}
				if err := wrong.Complete(t.Context(), token, []byte("done")); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A request that was given up for lost may still reach DynamoDB, after later ones.
func TestALateRequestChangesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, l *dynamo.Ledger, w *wire) {
		token := claimAll(t, l, 1)[0]
		w.keep = true
		store := func(calls int) {
			u := ledger.Update{Token: token, Progress: ledger.Progress{Attempts: ledger.Attempts{Calls: calls}}}
			if err := l.Progress(t.Context(), u)[0]; err != nil {
				t.Fatal(err)
			}
		}
		store(1)
		store(2)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://awssim.internal/", bytes.NewReader(w.bodies[0]))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Amz-Target", "DynamoDB_20120810.UpdateItem")
		request.Header.Set("Content-Type", "application/x-amz-json-1.0")
		request.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=123456789012/20000101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0")
		late, err := w.HTTPClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		said, _ := io.ReadAll(late.Body)
		_ = late.Body.Close()
		if !strings.Contains(string(said), "ConditionalCheckFailedException") {
			t.Errorf("the late request was answered %d %s", late.StatusCode, said)
		}
		time.Sleep(lease)
		if c, err := l.Claim(t.Context(), entry(0), lease); err != nil || c.Progress.Attempts.Calls != 2 {
			t.Errorf("Claim = %+v, %v; want what was stored last", c, err)
		}
	})
}

// The largest commands fit, from the first claim to the end.
func TestTheLargestCommand(t *testing.T) {
	bubble(t, func(t *testing.T, l *dynamo.Ledger, _ *wire) {
		e := ledger.Entry{Key: strings.Repeat("k", 128), Campaign: strings.Repeat("c", 128)}
		p := ledger.Progress{Begun: true, Targets: map[string]ledger.TargetProgress{}}
		for i := range 256 {
			id := fmt.Sprintf("%0256d", i) // EMR's longest step id
			e.Targets = append(e.Targets, id)
			p.Targets[id] = ledger.TargetProgress{Status: "failed", Message: strings.Repeat(fmt.Sprint("message ", i), 100)}
		}
		c, err := l.Claim(t.Context(), e, lease)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Release(t.Context(), ledger.Update{Token: c.Token, Progress: p}); err != nil {
			t.Fatal(err)
		}
		if c, err = l.Claim(t.Context(), e, lease); err != nil || len(c.Progress.Targets) != 256 {
			t.Fatalf("%d targets, %v", len(c.Progress.Targets), err)
		}
		if err := l.Complete(t.Context(), c.Token, bytes.Repeat([]byte("o"), 200<<10)); err != nil {
			t.Fatal(err)
		}
		found := 0
		err = l.ByTarget(t.Context(), e.Targets[255], func(r ledger.Record) bool {
			found += len(r.Targets) + len(r.Outcome)
			return true
		})
		if err != nil || found != 256+200<<10 {
			t.Errorf("by its last target: %d, %v", found, err)
		}
	})
}

// What cannot be read is reported for its own key, and harms nothing beside it.
func TestUnreadableRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, cfg := simulated(t, awssim.Options{Latency: time.Millisecond})
		l := open(t, cfg, dynamo.Options{})
		defer l.Close()
		tokens := claimAll(t, l, 40)
		client := dynamodb.NewFromConfig(cfg)
		for i := 0; i < 40; i += 10 {
			_, err := client.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
				TableName: aws.String(table), Key: map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: entry(i).Key}},
				UpdateExpression: aws.String("SET #f = :two, claim = :n"), ExpressionAttributeNames: map[string]string{"#f": "format"},
				ExpressionAttributeValues: map[string]types.AttributeValue{
					":two": &types.AttributeValueMemberN{Value: "2"}, ":n": &types.AttributeValueMemberN{Value: "1"},
				},
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		check := func(call string, i int, err error) {
			if bad := i%10 == 0; errors.Is(err, ledger.ErrUnreadable) != bad || !bad && err != nil {
				t.Errorf("%s %d: %v", call, i, err)
			}
		}
		for i, err := range l.Progress(t.Context(), begun(tokens)...) {
			check("update", i, err)
		}
		for i := range tokens {
			_, err := l.Claim(t.Context(), entry(i), lease)
			check("claim", i, err)
		}
		n := 0
		err := l.ByCampaign(t.Context(), "c", func(ledger.Record) bool { n++; return true })
		if n != 36 || !errors.Is(err, ledger.ErrUnreadable) {
			t.Errorf("by campaign: %d, %v; want 36 and ErrUnreadable", n, err)
		}
	})
}

// DynamoDB deletes what expired, and nothing that had not ended; a token of what was deleted
// never names a later claim.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, cfg := simulated(t, awssim.Options{})
		l := open(t, cfg, dynamo.Options{})
		defer l.Close()
		several := entry(2)
		several.Targets = []string{"t", "u", "v"}
		var tokens []ledger.Token
		for _, e := range []ledger.Entry{entry(0), entry(1), several} {
			c, err := l.Claim(t.Context(), e, lease)
			if err != nil {
				t.Fatal(err)
			}
			tokens = append(tokens, c.Token)
		}
		for _, token := range tokens[1:] {
			if err := l.Complete(t.Context(), token, []byte("done")); err != nil {
				t.Fatal(err)
			}
		}
		left := func(after time.Duration, want ...string) {
			t.Helper()
			time.Sleep(after)
			sim.ExpireItems(table)
			var ids []string
			for _, i := range sim.TableItems(table) {
				id, _ := i["id"].(string)
				ids = append(ids, id[:min(len(id), len("/target/"))])
			}
			slices.Sort(ids)
			if !slices.Equal(ids, want) {
				t.Errorf("%v after %v: %v, want %v", time.Now(), after, ids, want)
			}
		}
		left(ledger.Retention-time.Second, "/target/", "/target/", "/target/", "key 0", "key 1", "key 2")
		left(2*time.Second, "/target/", "/target/", "/target/", "key 0")
		again, err := l.Claim(t.Context(), entry(1), lease)
		if err != nil || again.Resumed || again.Token.Number <= tokens[1].Number {
			t.Errorf("Claim = %+v, %v", again, err)
		}
		if err := l.Complete(t.Context(), tokens[1], []byte("done")); !errors.Is(err, ledger.ErrFenced) {
			t.Errorf("Complete with the forgotten claim: %v", err)
		}
		left(15*24*time.Hour, "key 0", "key 1")
	})
}

// The items beside a command of several targets outlive it, and may meet a new one of its key.
func TestAKeyComesBackWithOneTarget(t *testing.T) {
	bubble(t, func(t *testing.T, l *dynamo.Ledger, _ *wire) {
		e := entry(1)
		e.Targets = append(e.Targets, "another")
		for range 2 {
			c, err := l.Claim(t.Context(), e, lease)
			if err != nil || c.Resumed {
				t.Fatalf("Claim = %+v, %v", c, err)
			}
			if err := l.Complete(t.Context(), c.Token, outcome); err != nil {
				t.Fatal(err)
			}
			found := 0
			if err := l.ByTarget(t.Context(), e.Targets[0], func(ledger.Record) bool { found++; return true }); err != nil || found != 1 {
				t.Errorf("by target: %d, %v", found, err)
			}
			e.Targets = e.Targets[:1]
			time.Sleep(ledger.Retention + time.Hour)
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, cfg := simulated(t, awssim.Options{})
		client := dynamodb.NewFromConfig(cfg)
		made := func(name, key string, indexes ...string) string {
			in := &dynamodb.CreateTableInput{
				TableName: &name, BillingMode: types.BillingModePayPerRequest,
				KeySchema: []types.KeySchemaElement{{AttributeName: &key, KeyType: types.KeyTypeHash}},
			}
			for _, attribute := range append([]string{key}, indexes...) {
				in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{
					AttributeName: aws.String(attribute), AttributeType: types.ScalarAttributeTypeS,
				})
			}
			for _, index := range indexes {
				in.GlobalSecondaryIndexes = append(in.GlobalSecondaryIndexes, types.GlobalSecondaryIndex{
					IndexName: aws.String(index), Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly},
					KeySchema: []types.KeySchemaElement{{AttributeName: aws.String(index), KeyType: types.KeyTypeHash}},
				})
			}
			if _, err := client.CreateTable(t.Context(), in); err != nil {
				t.Fatal(err)
			}
			return name
		}
		for name, want := range map[string]string{
			"nothing":                         "there is no such table",
			made("foreign", "pk"):             "its key is not id",
			made("bare", "id"):                `no global secondary index "campaign"`,
			made("halfway", "id", "campaign"): `no global secondary index "target"`,
		} {
			_, err := dynamo.Open(t.Context(), cfg, name, dynamo.Options{})
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "aws dynamodb create-table --table-name "+name) {
				t.Errorf("Open(%s) = %v, want %q and how to make the table", name, err, want)
			}
		}
		if err := dynamo.CreateTable(t.Context(), cfg, table); err != nil {
			t.Errorf("making the table again: %v", err)
		}
		if err := open(t, cfg, dynamo.Options{}).Close(); err != nil {
			t.Error(err)
		}
	})
}
