package handlertest

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
)

// Rig is one handler with the real SDK client and the AWS simulator, for tests of what targets come
// to, in how many requests. It belongs to the test that it was made for.
type Rig struct {
	*testing.T
	*awssim.Sim
	Handler handlers.Handler
}

// OnRig runs a test of the i-th handler that build returns, in virtual time, on a new simulator.
func OnRig(t *testing.T, build func(func(handlers.Location) aws.Config) []handlers.Handler, i int, o awssim.Options, test func(*Rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		sim := awssim.New(o)
		defer func() {
			if err := sim.Close(); err != nil {
				t.Errorf("closing: %v", err)
			}
		}()
		test(&Rig{T: t, Sim: sim, Handler: build(func(handlers.Location) aws.Config { return sim.Config() })[i]})
	})
}

// Targets returns the targets of a command's parameters.
func (r *Rig) Targets(p handlers.Parameters) []handlers.Target {
	r.Helper()
	targets, err := r.Handler.Targets(p)
	if err != nil {
		r.Fatal(err)
	}
	return targets
}

// Follow returns what each target comes to; see [Drive].
func (r *Rig) Follow(targets []handlers.Target) []handlers.Answer {
	return Drive(r.Context(), r.Handler, location, targets)
}

// Look reads a target's state and returns what Judge says of it, and no more than that.
func (r *Rig) Look(t handlers.Target, tried handlers.Tried) handlers.Answer {
	return r.Handler.Judge(t, tried, Read(r.Context(), r.Handler, location, []handlers.Target{t})[0])
}

// Count returns how many requests of an operation reached the simulator.
func (r *Rig) Count(operation string) int {
	n := int64(0)
	for name, c := range r.Counts() {
		if strings.HasSuffix(name, ":"+operation) {
			n += c.Requests
		}
	}
	return int(n)
}

// Want checks what a target came to, and how many cancelling and reading requests were made
// since the simulator was new.
func (r *Rig) Want(about string, a handlers.Answer, status handlers.Status, calls, reads int) {
	r.Helper()
	made, read := r.Count(r.Handler.Cancel().Operation), r.Count(r.Handler.Read().Operation)
	if a.Status != status || made != calls || read != reads {
		r.Errorf("%s: %+v in %d calls and %d reads, want %s in %d and %d", about, a, made, read, status, calls, reads)
	}
}
