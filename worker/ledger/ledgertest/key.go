package ledgertest

import (
	"bytes"

	"github.com/rescindhq/rescind/worker/ledger"
)

// deploymentKey are the rules of the key that all users of a store share.
var deploymentKey = []testCase{
	{"it is the same at every call, and no caller can change it", func(f *fixture) {
		first := f.key()
		if len(first) != ledger.KeyBytes || bytes.Equal(first, make([]byte, ledger.KeyBytes)) {
			f.Fatalf("the key is %x", first)
		}
		own := bytes.Clone(first)
		first[0] ^= 1
		if again := f.key(); !bytes.Equal(again, own) {
			f.Errorf("the key was %x and is %x", own, again)
		}
	}},
	{"it is the same after opening again", func(f *fixture) {
		first := f.key()
		f.reopen()
		if again := f.key(); !bytes.Equal(again, first) {
			f.Errorf("the key was %x and is %x", first, again)
		}
	}},
	{"it is the same for all, though all ask at once", func(f *fixture) {
		other := f.second()
		keys := make(chan []byte, 1)
		go func() { keys <- other.key() }()
		if here, there := f.key(), <-keys; !bytes.Equal(here, there) {
			f.Errorf("the key is %x here and %x there", here, there)
		}
	}},
	{"it is the same though its answer was lost", func(f *fixture) {
		f.losing(func() { _, _ = f.l.DeploymentKey(f.Context()) })
		if first := f.key(); !bytes.Equal(first, f.key()) {
			f.Errorf("the key %x changes", first)
		}
	}},
}

func (f *fixture) key() []byte {
	f.Helper()
	key, err := f.l.DeploymentKey(f.Context())
	if err != nil {
		f.Errorf("DeploymentKey: %v", err)
	}
	return key
}
