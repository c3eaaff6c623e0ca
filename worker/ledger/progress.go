package ledger

import (
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// EncodeProgress is how progress is stored: JSON, because its fields will grow. Bytes that are not
// UTF-8 (in AWS's words, say) become U+FFFD: what AWS says must not keep progress from being stored.
func EncodeProgress(p Progress) ([]byte, error) {
	b, err := json.Marshal(p, jsontext.AllowInvalidUTF8(true), json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("%w: encoding progress: %w", ErrRejected, err)
	}
	return b, nil
}

// DecodeProgress reads what EncodeProgress wrote. Unknown fields are refused, so that an older
// worker says so rather than forget what a newer one stored.
func DecodeProgress(b []byte) (Progress, error) {
	var p Progress
	if err := json.Unmarshal(b, &p, json.RejectUnknownMembers(true)); err != nil {
		return Progress{}, fmt.Errorf("decoding progress: %w", err)
	}
	return p, nil
}
