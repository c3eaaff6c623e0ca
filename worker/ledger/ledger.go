// Package ledger says what the worker must remember about commands, and by which rules:
// which were claimed, how far each came, and how it ended. The bolt and dynamo packages below
// keep it; ledgertest holds both to the rules written here. It knows no queue, no lane and
// no AWS service.
//
// # Rules
//
// A key is free, claimed, or ended. A claim is held under a lease by the [Token] that Claim
// returned; Progress, Renew, Release and Complete are refused with [ErrFenced] unless
// their token is that of the newest claim of its key and that key has not ended. A lease that
// has run out is lost only when somebody else claims the key: until then its token remains
// valid, and Renew makes the lease whole again. Release ends the claim for good.
//
// An ended key never changes again until it is forgotten, [Retention] after it ended. What was
// stored by Claim (the first one), Progress and Complete is on disk, or in the service,
// before the call returns. Calls that fail because the store is unavailable may or may not
// have taken effect, and may be repeated: repeating one that took effect is harmless. That goes
// for Claim too: a ledger knows its own claim again whose answer never reached its caller, and
// does not hold off the caller for a lease.
//
// Several ledgers may share one store, one for each worker, where the implementation says so.
// Leases are then measured by the clocks of those who claim and those who would take over.
package ledger

import (
	"context"
	"errors"
	"time"
)

// Retention is how long an ended command is remembered by default.
const Retention = 30 * 24 * time.Hour

// KeyBytes is the length of a deployment's key.
const KeyBytes = 32

// The errors of a ledger are a closed set: these three, which are one record's own, and any other,
// which says that the store is unavailable. Only for that one is there anything to wait for.
var (
	// ErrFenced says that the token's claim is not its key's newest, or that the key has ended.
	ErrFenced = errors.New("ledger: the claim was lost to another worker")
	// ErrRejected says that this record can never be stored, whoever tries.
	ErrRejected = errors.New("ledger: the record is not one that can be stored")
	// ErrUnreadable says that what the store holds under one key cannot be read, by this version
	// of the program at least.
	ErrUnreadable = errors.New("ledger: the record cannot be read")
)

// IsOfRecord reports whether an error is one record's own: it says nothing about the store.
func IsOfRecord(err error) bool {
	return errors.Is(err, ErrFenced) || errors.Is(err, ErrRejected) || errors.Is(err, ErrUnreadable)
}

// Fingerprint is SHA-256 over what a command does; see worker/command.
type Fingerprint [32]byte

// Token names one claim of one key. Number grows with every claim of that key.
type Token struct {
	Key    string
	Number uint64
}

// Entry is what is written about a command when its key is first claimed.
type Entry struct {
	Key         string
	Fingerprint Fingerprint
	Campaign    string   // "" for none
	Targets     []string // ids of its targets, for lookups
}

// State is what Claim found. The set is closed.
type State int

const (
	// Claimed says that the caller holds the key now. Progress is what an earlier holder stored.
	Claimed State = iota + 1
	// Ended says that Outcome is what was stored, byte for byte.
	Ended
	// Held says that a live lease of another claim ends at Until.
	Held
	// OtherContent says that the key stands for a command with another fingerprint.
	OtherContent
)

// Claim is the answer to a claim.
type Claim struct {
	State    State
	Token    Token     // when Claimed
	Resumed  bool      // when Claimed: the key had been claimed before
	Progress Progress  // when Claimed and Resumed
	Outcome  []byte    // when Ended
	Until    time.Time // when Held
}

// Progress is how far a command has come. A Progress call replaces what was stored before.
type Progress struct {
	// Begun: a cancelling call was made, or was about to be, when this was written.
	Begun bool `json:"begun,omitzero"`
	// Panics counts the times that handling this command panicked.
	Panics int `json:"panics,omitzero"`
	// Targets holds what is known of each target, by its id; absent means nothing yet.
	Targets map[string]TargetProgress `json:"targets,omitempty"`
	// AcceptedAt is when AWS first took a cancelling request; EscalatedAt when the stronger
	// action was first asked for. Zero where that has not happened.
	AcceptedAt  time.Time `json:"acceptedAt,omitzero"`
	EscalatedAt time.Time `json:"escalatedAt,omitzero"`
	// NextLook is when proof is to be looked for again, once that has been put off; ReadAt is when AWS was last asked for it.
	NextLook time.Time `json:"nextLook,omitzero"`
	ReadAt   time.Time `json:"readAt,omitzero"`
	// Attempts counts what was spent so far.
	Attempts Attempts `json:"attempts,omitzero"`
}

// TargetProgress is what is known of one target.
type TargetProgress struct {
	Begun  bool   `json:"begun,omitzero"`  // a cancelling call was made, or was about to be
	Taken  bool   `json:"taken,omitzero"`  // AWS answered one with success
	Unsure bool   `json:"unsure,omitzero"` // one was never answered, or with a 5xx
	Pin    string `json:"pin,omitempty"`   // what was resolved (SWF's run id)
	// CalledAt is when the last call that had an effect, or may have, was over; zero where that is not
	// known, and once the target's end is.
	CalledAt time.Time `json:"calledAt,omitzero"`
	// Escalation says how far the stronger action has come; the refusal is its own then.
	Escalation Escalation `json:"escalation,omitempty"`
	// Refusal is the last final refusal: AWS's code and words, and the handlers.Class of it.
	RefusalClass   int    `json:"refusalClass,omitzero"`
	RefusalCode    string `json:"refusalCode,omitempty"`
	RefusalMessage string `json:"refusalMessage,omitempty"`
	// Status and the rest are set once the target's end is known.
	Status    string `json:"status,omitempty"`
	Before    string `json:"before,omitempty"`
	After     string `json:"after,omitempty"`
	Code      string `json:"code,omitempty"`
	Message   string `json:"message,omitempty"`
	RequestID string `json:"requestId,omitempty"`
	ByRead    bool   `json:"byRead,omitzero"`  // it was read from the target's state
	ByEvent   bool   `json:"byEvent,omitzero"` // an event showed it
	// Prediction is a dry run's.
	Prediction string `json:"prediction,omitempty"`
}

// Escalation is how far the stronger action has come for a target. The set is closed; "" says that it was not taken.
type Escalation string

// The escalations.
const (
	EscalationBegun    Escalation = "begun"    // a call was made, or was about to be
	EscalationAnswered Escalation = "answered" // AWS has answered one
)

// Attempts counts the AWS calls made for a command.
type Attempts struct {
	Calls       int    `json:"calls"`
	Throttled   int    `json:"throttled"`
	Unavailable int    `json:"unavailable"`
	FirstError  string `json:"firstError,omitempty"`
	LastError   string `json:"lastError,omitempty"`
}

// Event is what an event of AWS's showed of a target: that it has ended.
type Event struct {
	Target string    // names it: service, account, region and id
	In     string    // what holds it; "" where nothing does
	State  string    // AWS's own word
	Reason string    // that AWS recorded, where the event had one
	At     time.Time // when it ended, by the event
}

// EventRetention is how long an event is remembered: longer than anybody looks for proof, which is 12 hours.
const EventRetention = 24 * time.Hour

// Update is one token's new progress.
type Update struct {
	Token    Token
	Progress Progress
}

// Record is what the ledger knows of one command, for lookups.
type Record struct {
	Entry
	Ended    bool
	Progress Progress // when not ended
	Outcome  []byte   // when ended
}

// Ledger remembers commands. All methods are safe for concurrent use, and concurrent calls
// share writes where the store allows it. Every method returns when ctx ends.
type Ledger interface {
	// Claim asks for a key for the time of a lease, measured by the ledger's clock. What it returns is
	// the caller's own, nil beside an error.
	Claim(ctx context.Context, e Entry, lease time.Duration) (*Claim, error)
	// Renew makes leases last for lease from now. It returns an error for each token, in order.
	Renew(ctx context.Context, lease time.Duration, tokens ...Token) []error
	// Progress stores how far commands have come. It returns an error for each, in order.
	Progress(ctx context.Context, updates ...Update) []error
	// Release stores progress and ends the lease, so that the key can be claimed at once.
	Release(ctx context.Context, u Update) error
	// Complete stores the outcome and ends the key. A repeated Complete with the token that
	// ended the key and the same outcome returns nil.
	Complete(ctx context.Context, t Token, outcome []byte) error
	// PutEvents stores what events showed. Of events of one target the one that was stored last counts, whichever
	// happened first. It returns an error for each, in order.
	PutEvents(ctx context.Context, events ...Event) []error
	// Events returns what is stored of targets, for EventRetention after it was stored. Those of which nothing is stored, or
	// nothing that can be read, are left out.
	Events(ctx context.Context, targets ...string) (map[string]Event, error)
	// DeploymentKey returns 32 random bytes that everyone who uses this store has alike: made by the
	// first who asks, and never changed.
	DeploymentKey(ctx context.Context) ([]byte, error)
	// ByCampaign calls yield with each command of a campaign until it returns false, in no
	// particular order. No command is of the campaign "". A ledger that several workers share
	// may miss what was claimed moments ago.
	ByCampaign(ctx context.Context, campaign string, yield func(Record) bool) error
	// ByTarget does the same for the commands that name a target id.
	ByTarget(ctx context.Context, target string, yield func(Record) bool) error
	// Ended returns those commands among keys that have ended, in no particular order. Records that
	// cannot be read are left out, and make the error an ErrUnreadable, beside the others.
	Ended(ctx context.Context, keys ...string) ([]Record, error)
	// Close waits for the calls under way and releases what the ledger holds.
	Close() error
}
