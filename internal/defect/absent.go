//go:build !defects

package defect

// Is says whether a defect was put in.
func Is(Name) bool { return false }
