package campaign

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/rescindhq/rescind/handlers"
)

// Command is one line of a plan: a command as the queue takes it. See package command for the rules of its members.
type Command struct {
	ID          string          `json:"id"`
	Action      handlers.Action `json:"action"`
	Parameters  jsontext.Value  `json:"parameters"`
	Account     string          `json:"account"`
	Region      string          `json:"region"`
	Reason      string          `json:"reason,omitzero"`
	RequestedBy string          `json:"requestedBy,omitzero"`
	Campaign    string          `json:"campaign"`
	ExpiresAt   string          `json:"expiresAt,omitzero"`
	Confirm     string          `json:"confirm,omitzero"`
	Escalate    string          `json:"escalate,omitzero"`
}

// hashDigits is how many hexadecimal digits of a hash an id has: 96 bits.
const hashDigits = 24

// MaxName is the most characters of a campaign's name: an id is name, colon and hash, and has 128 at most.
const MaxName = 128 - 1 - hashDigits

var (
	nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]*$`)
	// reserved begin the ids that envelopes and queues give.
	reserved = []string{"ce:", "eb:", "sns:", "sqs:", "msg:"}
)

// CheckName says what is wrong with a campaign's name.
func CheckName(name string) error {
	switch {
	case len(name) > MaxName:
		return fmt.Errorf("must have at most %d characters, not %d: it is part of each id", MaxName, len(name))
	case !nameForm.MatchString(name):
		return errors.New("must hold only A-Z a-z 0-9 . _ : -, and begin with a letter or a digit")
	}
	for _, prefix := range reserved {
		if strings.HasPrefix(name+":", prefix) {
			return fmt.Errorf("must not be %s or begin with %s: such ids are given by envelopes", prefix[:len(prefix)-1], prefix)
		}
	}
	return nil
}

// MakeID is the id of a command: its campaign, and a hash over campaign, action, account, region and parameters as RFC
// 8785 writes them. A command of another reason or confirm has the same id: it is the same cancel.
func (c *Command) MakeID() (string, error) {
	text, err := json.Marshal(struct {
		Account    string          `json:"account"`
		Action     handlers.Action `json:"action"`
		Campaign   string          `json:"campaign"`
		Parameters jsontext.Value  `json:"parameters"`
		Region     string          `json:"region"`
	}{c.Account, c.Action, c.Campaign, c.Parameters, c.Region})
	canonical := jsontext.Value(text)
	if err == nil {
		err = canonical.Canonicalize()
	}
	if err != nil {
		return "", fmt.Errorf("making the id of a command: %w", err)
	}
	hash := sha256.Sum256(canonical)
	return c.Campaign + ":" + hex.EncodeToString(hash[:])[:hashDigits], nil
}
