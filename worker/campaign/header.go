package campaign

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
)

// Form is the first member of every header: what the file is.
const Form = "rescind.io/plan/v1"

// Header is the first line of a plan.
type Header struct {
	Plan     string    `json:"plan"` // Form
	Campaign string    `json:"campaign"`
	Service  string    `json:"service"` // "batch"
	Created  time.Time `json:"created"`
	By       string    `json:"by"` // who planned: an ARN
	Account  string    `json:"account"`
	Region   string    `json:"region"`
	// Selection has the flags by which the targets were selected, and their values; of a switch, none.
	Selection map[string][]string `json:"selection"`
	// Listed is how many targets AWS listed, whatever their names and ages; Count is how many lines follow, of
	// which Counts has how many by AWS state; NotStopped are those that match and have no line, by reason.
	Listed     int            `json:"listed"`
	Count      int            `json:"count"`
	Counts     map[string]int `json:"counts"`
	NotStopped map[string]int `json:"notStopped"`
	Limits     Limits         `json:"limits"`
	// Lines is a SHA-256 over all that follows the header's line; Digest is one over the header without it.
	Lines  string `json:"lines"`
	Digest string `json:"digest,omitzero"`
}

// Limits bound a campaign as a whole: what is beyond them is refused, and nothing is cut.
type Limits struct {
	Max        int     `json:"max"`                 // commands; 0 is no limit
	MaxPercent float64 `json:"maxPercent,omitzero"` // of what was listed; 0 is no limit
}

// DefaultMax is the most commands of a campaign unless a flag says otherwise.
const DefaultMax = 1000

// LimitError is a plan that is beyond a limit.
type LimitError struct {
	Flag string // that sets the limit: "--max"
	Text string
}

func (e *LimitError) Error() string { return e.Text }

// Hold returns a *LimitError if a plan is beyond the limits.
func (l Limits) Hold(h *Header) error {
	if l.Max > 0 && h.Count > l.Max {
		return &LimitError{"--max", fmt.Sprintf("the plan has %d commands, and the limit is %d", h.Count, l.Max)}
	}
	if percent := 100 * float64(h.Count) / float64(max(h.Listed, 1)); l.MaxPercent > 0 && percent > l.MaxPercent {
		return &LimitError{"--max-percent", fmt.Sprintf("the plan has %.4g%% of the %d targets that were listed, and the limit is %g%%", percent, h.Listed, l.MaxPercent)}
	}
	return nil
}

// seal sets the digest of a header whose other members are set.
func (h *Header) seal() error {
	h.Digest = ""
	text, err := h.line()
	if err != nil {
		return err
	}
	h.Digest = digest(text)
	return nil
}

// line is the header as the file has it, with the line's end.
func (h *Header) line() ([]byte, error) {
	text, err := json.Marshal(h, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("writing the plan's header: %w", err)
	}
	return append(text, '\n'), nil
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return formatted(sum[:])
}

func formatted(sum []byte) string { return "sha256:" + hex.EncodeToString(sum) }
