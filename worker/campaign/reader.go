package campaign

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"os"
	"time"

	"github.com/go-json-experiment/json"
)

// maxLine bounds a line in bytes; a command has 256 KiB at most.
const maxLine = 512 << 10

// Plan is a plan file that was read to its end and found to be whole.
type Plan struct {
	Header Header
	// Expires is the latest expiresAt of its commands; zero: one of them has none, or there is none.
	Expires time.Time

	from    io.ReadSeeker
	close   func() error
	lasting bool // a command does not expire
}

// Open reads a plan file and verifies all of it: form, digests, count, and that each line is a command of this
// campaign, account and region under the id that it must have. Close it.
func Open(path string) (*Plan, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the plan: %w", err)
	}
	p, err := Read(file)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s is no plan that can be sent: %w", path, err), file.Close())
	}
	p.close = file.Close
	return p, nil
}

// Read is Open for what is read already, or not from a file.
func Read(from io.ReadSeeker) (*Plan, error) {
	p := &Plan{from: from, close: func() error { return nil }}
	lines := newLines(from)
	if err := p.readHeader(lines); err != nil {
		return nil, err
	}
	for {
		line, err := lines.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = p.check(line)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d %w", lines.number, err)
		}
	}
	switch n := lines.number - 1; {
	case n != p.Header.Count:
		return nil, fmt.Errorf("it has %d commands, and its header says %d: lines were added, removed, or lost", n, p.Header.Count)
	case formatted(lines.sum.Sum(nil)) != p.Header.Lines:
		return nil, errors.New("the digest of its lines is another than its header has: it was edited or damaged; plan again")
	}
	return p, nil
}

func (p *Plan) readHeader(lines *lines) error {
	text, err := lines.next()
	if err != nil {
		return fmt.Errorf("its first line %w", err)
	}
	if err := json.Unmarshal(text, &p.Header, json.RejectUnknownMembers(true)); err != nil || p.Header.Plan != Form {
		return fmt.Errorf("its first line is no header of the form %s", Form)
	}
	sealed := p.Header
	if err := sealed.seal(); err != nil {
		return err
	}
	// To the byte what a Writer writes: what is read otherwise cannot hide in it.
	if whole, err := sealed.line(); err != nil || !bytes.Equal(bytes.TrimSuffix(whole, []byte("\n")), text) {
		return errors.New("its header does not have the digest that it says: it was edited or damaged; plan again")
	}
	lines.sum.Reset()
	return nil
}

// check verifies that a line is a command of this plan.
func (p *Plan) check(line []byte) error {
	var c Command
	if err := json.Unmarshal(line, &c, json.RejectUnknownMembers(true)); err != nil {
		return errors.New("is no command of a plan")
	}
	id, err := c.MakeID()
	switch h := &p.Header; {
	case err != nil:
		return errors.New("is no command of a plan")
	case c.Campaign != h.Campaign || c.Action.Service() != h.Service:
		return errors.New("is of another campaign or service than the header")
	case c.Account != h.Account || c.Region != h.Region:
		return errors.New("is of another account or region than the header")
	case !p.expires(c.ExpiresAt):
		return errors.New("has an expiresAt that is no time")
	case c.ID != id:
		return fmt.Errorf("has the id %.150q, and not %s, which is that of its target", c.ID, id)
	}
	return nil
}

// expires notes when a command expires; ok is false if the text is no time.
func (p *Plan) expires(text string) (ok bool) {
	if text == "" {
		p.lasting = true
		p.Expires = time.Time{}
		return true
	}
	at, err := time.Parse(time.RFC3339, text)
	if !p.lasting && at.After(p.Expires) {
		p.Expires = at
	}
	return err == nil
}

// Lines reads the commands' lines once more, in order. A line may be used until the next one is asked for. The error is that of reading,
// or says that the file has changed since it was verified.
func (p *Plan) Lines() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		_, err := p.from.Seek(0, io.SeekStart)
		lines := newLines(p.from)
		if err == nil {
			_, err = lines.next()
		}
		lines.sum.Reset()
		for err == nil {
			var line []byte
			if line, err = lines.next(); err == nil && !yield(line, nil) {
				return
			}
		}
		if errors.Is(err, io.EOF) && formatted(lines.sum.Sum(nil)) == p.Header.Lines {
			return
		}
		yield(nil, fmt.Errorf("the plan has changed while it was read: %w", err))
	}
}

// Close closes the file.
func (p *Plan) Close() error { return p.close() }

// lines reads lines and sums them up.
type lines struct {
	from   *bufio.Reader
	sum    hash.Hash
	number int
}

func newLines(from io.Reader) *lines {
	return &lines{from: bufio.NewReaderSize(from, maxLine), sum: sha256.New()}
}

// next returns a line without its end, or io.EOF. The number is then that of the line.
func (l *lines) next() ([]byte, error) {
	text, err := l.from.ReadSlice('\n')
	if errors.Is(err, io.EOF) && len(text) == 0 && l.number > 0 {
		return nil, io.EOF
	}
	l.number++
	switch {
	case errors.Is(err, io.EOF):
		return nil, errors.New("is cut short: the file is not whole")
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, fmt.Errorf("has more than %d KiB", maxLine>>10)
	case err != nil:
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	l.sum.Write(text)
	return text[:len(text)-1], nil
}
