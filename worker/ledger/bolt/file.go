package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// lockWait is how long Open waits for another process to let go of the file: long
// enough for one that is just exiting.
const lockWait = time.Second

// startAnew is what is done about a file that cannot be used any more.
const startAnew = "stop every worker that uses it, and put a copy back, or move it aside and start with a new one " +
	"(a new one knows no command that ended: one that is sent again runs again)"

func openDB(path string, o bbolt.Options) (*bbolt.DB, error) {
	var db *bbolt.DB
	err := guarded(func() (err error) {
		o.Timeout = lockWait
		// The array type searches all free pages one by one, and forgetting frees many.
		o.FreelistType = bbolt.FreelistMapType
		db, err = bbolt.Open(path, 0o600, &o)
		return err
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("opening the ledger %s: another process has it open; stop that one, "+
			"or give this worker a file of its own (a bolt ledger serves one worker; for several "+
			"on one queue use dynamodb:TABLE): %w", path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the ledger %s: %w", path, advise(err))
	}
	return db, nil
}

// create makes the file whole under another name and then links it to path, so that a
// process killed half way leaves no half a file there, and a file that another process
// made meanwhile stands. Where links are not to be had, bbolt makes the file in place.
func create(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, filepath.Base(path)+".new-*")
	if err != nil {
		if of, ok := errors.AsType[*fs.PathError](err); ok {
			err = of.Err // its path is a name that nobody knows
		}
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	if err := f.Close(); err != nil {
		return err
	}
	db, err := openDB(f.Name(), bbolt.Options{})
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return nil
	}
	// Without this a power cut could lose the name, and with it what was stored since.
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

var errBroken = errors.New("the file is broken")

// checkSize refuses a file that is shorter than its newest root says: bbolt maps it into memory, and
// opening it for writing reads beyond its end. What is no file is left to bbolt.
func checkSize(path string) error {
	info, err := os.Stat(path)
	if err != nil || info.Size() == 0 || !info.Mode().IsRegular() {
		return nil //nolint:nilerr // bbolt says the same of it
	}
	db, err := openDB(path, bbolt.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	return db.View(func(tx *bbolt.Tx) error {
		info, err := os.Stat(path)
		if err == nil && info.Size() < tx.Size() {
			err = fmt.Errorf("it is cut short: it has %d of at least %d bytes; %s", info.Size(), tx.Size(), startAnew)
		}
		if err != nil {
			return fmt.Errorf("opening the ledger %s: %w", path, err)
		}
		return nil
	})
}

// guarded runs what reads the mapped file, and makes an error of what bbolt panics with over a broken
// page, and of a fault where the file does not reach. The goroutine goes on.
func guarded(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if broken := recover(); broken != nil {
			err = fmt.Errorf("%w (%v); %s", errBroken, broken, startAnew)
		}
	}()
	return do()
}

// advise adds to an error of opening what to do about it. Unless the system says so, it is bbolt that
// cannot read the file.
func advise(err error) error {
	_, ofSystem := errors.AsType[syscall.Errno](err)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: this worker's user must be allowed to read and write the file, and to write into its directory", err)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: make its directory, or name a file in another one (RESCIND_LEDGER)", err)
	case errors.Is(err, syscall.EISDIR):
		return fmt.Errorf("%w: RESCIND_LEDGER must name a file, as in bolt:/var/lib/rescind/ledger.db", err)
	case ofSystem:
		return fmt.Errorf("%w: look at this disk, or name a file on another one (RESCIND_LEDGER)", err)
	case errors.Is(err, errBroken):
		return err
	}
	return fmt.Errorf("it is no ledger file, or a broken one: %w; name another one (RESCIND_LEDGER), or %s", err, startAnew)
}
