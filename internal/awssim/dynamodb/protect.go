package dynamodb

import (
	"context"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

type (
	// updateInput has, of what UpdateTable changes, deletion protection alone.
	updateInput struct {
		TableName string `json:"TableName"`
		Protected bool   `json:"DeletionProtectionEnabled"`
	}
	backupsInput struct {
		TableName     string `json:"TableName"`
		Specification struct {
			Enabled bool `json:"PointInTimeRecoveryEnabled"`
		} `json:"PointInTimeRecoverySpecification"`
	}
)

// updateTable switches deletion protection on or off at once (API_UpdateTable).
func (d *DynamoDB) updateTable(_ context.Context, c *service.Call, in *updateInput) (*answer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t, err := d.find(c, in.TableName)
	if err != nil {
		return nil, err
	}
	t.protected = in.Protected
	return &answer{"TableDescription": t.describe("ACTIVE")}, nil
}

// updateContinuousBackups switches point-in-time recovery on or off at once (API_UpdateContinuousBackups).
func (d *DynamoDB) updateContinuousBackups(_ context.Context, c *service.Call, in *backupsInput) (*answer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t, err := d.find(c, in.TableName)
	if err != nil {
		return nil, err
	}
	t.recoverable = in.Specification.Enabled
	return t.backups(), nil
}

func (d *DynamoDB) describeContinuousBackups(_ context.Context, c *service.Call, in *tableInput) (*answer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t, err := d.find(c, in.TableName)
	if err != nil {
		return nil, err
	}
	return t.backups(), nil
}

// backups says whether a table can be restored. Continuous backups are enabled for every table ("DescribeContinuousBackups",
// DynamoDB API Reference); recovery to a point in time is not.
func (t *table) backups() *answer {
	status := "DISABLED"
	if t.recoverable {
		status = "ENABLED"
	}
	return &answer{"ContinuousBackupsDescription": answer{
		"ContinuousBackupsStatus": "ENABLED", "PointInTimeRecoveryDescription": answer{"PointInTimeRecoveryStatus": status},
	}}
}
