package sqs

import (
	"errors"
	"strings"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// checkBatch holds the entries of a batch to the rules of "Errors" in API_SendMessageBatch:
// 1 to 10, ids distinct and of 1 to 80 plain characters.
func checkBatch[E any](entries []E, id func(E) string) error {
	if len(entries) == 0 {
		return shape("EmptyBatchRequest", "There should be at least one entry in the request.")
	}
	if len(entries) > 10 {
		return shape("TooManyEntriesInBatchRequest", "Maximum number of entries per request are 10. You have sent %d.", len(entries))
	}
	seen := make(map[string]bool, len(entries))
	for _, e := range entries {
		name := id(e)
		if name == "" || len(name) > 80 || strings.IndexFunc(name, func(r rune) bool { return !plain(r) }) >= 0 {
			return shape("InvalidBatchEntryId",
				"A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.")
		}
		if seen[name] {
			return shape("BatchEntryIdsNotDistinct", "Id %s repeated.", name)
		}
		seen[name] = true
	}
	return nil
}

// fail reports an entry as failed.
func (b *batchOutput[T]) fail(c *service.Call, id string, err error) {
	c.FailedItems++
	failed := failedOutput{ID: id, Code: "InternalError", Message: err.Error()}
	var refused *service.Error
	if errors.As(err, &refused) {
		failed.Code, failed.Message = refused.Code, refused.Message
		failed.SenderFault = !refused.Receiver()
	}
	b.Failed = append(b.Failed, failed)
}
