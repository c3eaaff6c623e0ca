//go:build defects

package defect

import "sync/atomic"

var put atomic.Value

// Put puts in one defect in place of the one before; "" takes it out.
func Put(n Name) { put.Store(n) }

// Is says whether a defect was put in.
func Is(n Name) bool { return put.Load() == n }
