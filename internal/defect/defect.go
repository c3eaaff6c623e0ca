// Package defect names the mistakes that the simulation of worker/simulation must be able to
// find: each is one that a worker of this kind could well make, written at the place where it
// would be made. They exist under the build tag "defects" alone, where a test puts in one at a
// time; in every other build [Is] is false, and the compiler leaves their code out.
package defect

// Name names a defect. The set is closed.
type Name string

// The defects.
const (
	// SkipFence goes on with a claim that another worker has taken over.
	SkipFence Name = "skip the fence"
	// PublishFirst publishes an outcome before the ledger has it.
	PublishFirst Name = "publish before complete"
	// DeleteFirst deletes a message before its outcome is published.
	DeleteFirst Name = "delete before publish"
	// ThrottleFails counts throttled calls as failed tries, of which three are enough.
	ThrottleFails Name = "count a throttle as a failed try"
	// DropFailed takes the failed entries of a batch that was published for published.
	DropFailed Name = "drop a partial batch failure"
	// GuardFirst asks the guards before the ledger.
	GuardFirst Name = "ask a guard before the ledger"
	// ForgetOnRelease releases a command without storing how far it came.
	ForgetOnRelease Name = "forget progress when a message is released"
)

// Names returns all of them.
func Names() []Name {
	return []Name{SkipFence, PublishFirst, DeleteFirst, ThrottleFails, DropFailed, GuardFirst, ForgetOnRelease}
}
