package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/rescindhq/rescind/worker/ledger/bolt"
	"github.com/rescindhq/rescind/worker/ledger/dynamo"
	"github.com/rescindhq/rescind/worker/preflight"
	"github.com/rescindhq/rescind/worker/trouble"
)

// checkLedger looks at the ledger. A name that is none is for who reads the settings to say.
func (d *doctor) checkLedger(ctx context.Context) []Line {
	kind, rest, _ := strings.Cut(d.o.Ledger, ":")
	switch {
	case kind == "bolt" && rest != "":
		return []Line{checkFile(rest)}
	case kind == "dynamodb" && rest != "" && d.aws.Region != "":
		return d.checkTable(ctx, rest)
	}
	return nil
}

// lockWait is how long an open file is waited for.
const lockWait = 100 * time.Millisecond

// checkFile looks at a bolt file without changing it. What a worker would say of it is had by opening it, which is done only
// where that fails before it writes.
func checkFile(path string) Line {
	line := func(result Result, says, do string) Line { return Line{"ledger", "bolt:" + path, result, says, do} }
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if dir, err := os.Stat(filepath.Dir(path)); err != nil || !dir.IsDir() {
			return opened(path)
		}
		return line(Good, "there is no such file yet; a worker makes it", "")
	case err != nil || !info.Mode().IsRegular():
		return opened(path)
	case info.Size() == 0:
		return line(Good, "the file is empty; a worker fills it", "")
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0) // without O_CREATE or O_TRUNC
	if err != nil {
		return opened(path)
	}
	if err := f.Close(); err != nil {
		return line(Unknown, "not checked: "+err.Error(), "try again")
	}
	switch err := readable(path); {
	case errors.Is(err, bolterrors.ErrTimeout):
		return line(Good, "a worker has it open", "")
	case err != nil:
		return opened(path)
	}
	return line(Good, fmt.Sprintf("it can be read and written, and no worker has it open; %d KiB", info.Size()>>10), "")
}

// readable opens a bolt file for reading. bbolt panics over a broken page.
func readable(path string) (err error) {
	defer func() {
		if broken := recover(); broken != nil {
			err = fmt.Errorf("the file is broken: %v", broken)
		}
	}()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: lockWait})
	if err != nil {
		return err //nolint:wrapcheck // bolt's words are asked for instead
	}
	return db.Close()
}

// opened is what a worker says of a file that it cannot open.
func opened(path string) Line {
	l, err := bolt.Open(path, bolt.Options{})
	if err == nil {
		err = l.Close()
	}
	if err != nil {
		return faultLine("ledger", "bolt:"+path, fmt.Errorf("RESCIND_LEDGER: %w", err))
	}
	return Line{"ledger", "bolt:" + path, Good, "it can be read and written", ""}
}

// checkTable looks at a table. Whether it has the layout of a ledger's, its own package says.
func (d *doctor) checkTable(ctx context.Context, table string) []Line {
	subject := "dynamodb:" + table
	l, err := dynamo.Open(ctx, d.aws, table, dynamo.Options{})
	if err != nil {
		return []Line{faultLine("ledger", subject, fmt.Errorf("RESCIND_LEDGER: %w", err))}
	}
	if err := l.Close(); err != nil {
		return []Line{{"ledger", subject, Unknown, "not checked: " + err.Error(), "try again"}}
	}
	// Checksums of answers are left to TLS, as package dynamo does it.
	api := dynamodb.NewFromConfig(d.aws, func(o *dynamodb.Options) { o.DisableValidateResponseChecksum = true })
	var lines []Line
	described, took, err := preflight.Ask(ctx, func(ctx context.Context) (*dynamodb.DescribeTableOutput, error) {
		return api.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &table})
	})
	if err != nil {
		lines = append(lines, unread("ledger", subject, trouble.Ledger, err, took))
	} else {
		lines = append(lines, tableLines(subject, table, described.Table)...)
	}
	ttl, took, err := preflight.Ask(ctx, func(ctx context.Context) (*dynamodb.DescribeTimeToLiveOutput, error) {
		return api.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &table})
	})
	if err != nil {
		lines = append(lines, unread("ledger expiry", subject, trouble.Ledger, err, took))
	} else {
		lines = append(lines, expiryLine(subject, table, ttl.TimeToLiveDescription))
	}
	backups, took, err := preflight.Ask(ctx, func(ctx context.Context) (*dynamodb.DescribeContinuousBackupsOutput, error) {
		return api.DescribeContinuousBackups(ctx, &dynamodb.DescribeContinuousBackupsInput{TableName: &table})
	})
	if err != nil {
		return append(lines, unread("ledger recovery", subject, trouble.Ledger, err, took))
	}
	return append(lines, recoveryLine(subject, table, backups.ContinuousBackupsDescription))
}

func tableLines(subject, table string, t *types.TableDescription) []Line {
	if t == nil {
		return []Line{{"ledger", subject, Unknown, "not checked: the answer does not describe it", "look at AWS_ENDPOINT_URL"}}
	}
	var waits []string
	for _, index := range t.GlobalSecondaryIndexes {
		if index.IndexStatus != types.IndexStatusActive && index.IndexStatus != types.IndexStatusUpdating {
			waits = append(waits, aws.ToString(index.IndexName)+" is "+string(index.IndexStatus))
		}
	}
	lines := []Line{{"ledger", subject, Good, fmt.Sprintf("the table is %s, with the keys and indexes of a ledger", t.TableStatus), ""}}
	if len(waits) > 0 {
		lines[0] = Line{"ledger", subject, Warning, "of the table's indexes " + strings.Join(waits, ", ") + ": lookups by it find nothing", "wait until it is ACTIVE, or make the index again"}
	}
	if aws.ToBool(t.DeletionProtectionEnabled) {
		return append(lines, Line{"ledger protection", subject, Good, "the table cannot be deleted by mistake", ""})
	}
	return append(lines, Line{"ledger protection", subject, Warning, "the table can be deleted by mistake, and with it what has ended",
		"switch it on:\n  aws dynamodb update-table --table-name " + table + " --deletion-protection-enabled"})
}

// expiryAttribute is that of the ledger's records.
const expiryAttribute = "expires"

func expiryLine(subject, table string, ttl *types.TimeToLiveDescription) Line {
	if ttl != nil && aws.ToString(ttl.AttributeName) == expiryAttribute &&
		(ttl.TimeToLiveStatus == types.TimeToLiveStatusEnabled || ttl.TimeToLiveStatus == types.TimeToLiveStatusEnabling) {
		return Line{"ledger expiry", subject, Good, "time to live is " + string(ttl.TimeToLiveStatus) + " on " + expiryAttribute, ""}
	}
	return Line{"ledger expiry", subject, Warning, "ended commands are never deleted from the table", "switch on time to live on the attribute " + expiryAttribute +
		":\n  aws dynamodb update-time-to-live --table-name " + table + " --time-to-live-specification Enabled=true,AttributeName=" + expiryAttribute}
}

func recoveryLine(subject, table string, b *types.ContinuousBackupsDescription) Line {
	if b != nil && b.PointInTimeRecoveryDescription != nil && b.PointInTimeRecoveryDescription.PointInTimeRecoveryStatus == types.PointInTimeRecoveryStatusEnabled {
		return Line{"ledger recovery", subject, Good, "the table can be restored to a point in time", ""}
	}
	return Line{"ledger recovery", subject, Warning, "the table cannot be restored to a point in time",
		"switch it on:\n  aws dynamodb update-continuous-backups --table-name " + table + " --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true"}
}
