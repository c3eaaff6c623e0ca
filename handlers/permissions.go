package handlers

// Use says what a permission is for. The set is closed.
type Use string

// The uses, in the order in which a command comes to them. A dry run needs those of ToRead alone.
const (
	ToRead     Use = "read"     // the state of a target, and which target is meant
	ToCancel   Use = "cancel"   // the action itself
	ToConfirm  Use = "confirm"  // listings that prove for many that they have stopped
	ToEscalate Use = "escalate" // the stronger action, where AWS checks another permission for it
)

// Uses returns all uses in their order.
func Uses() []Use { return []Use{ToRead, ToCancel, ToConfirm, ToEscalate} }

// Permission is an IAM action that a handler's calls need, and on what they need it.
type Permission struct {
	For    Use
	Action string // AWS's name of the permission, which need not be the operation's: "batch:CancelJob"
	// Resources are the narrowest ARNs that AWS can check for the action: {partition}, {region} and {account} stand
	// for those of the targets, * for any text. "*" alone: AWS checks no resource.
	Resources []string
}

// Permitter is implemented by handlers that say which permissions their calls need. All handlers of
// Rescind do: "rescind iam" prints a policy of them.
type Permitter interface {
	// Permissions has a row for each use of each action. An action that is needed for two uses has two.
	Permissions() []Permission
}
