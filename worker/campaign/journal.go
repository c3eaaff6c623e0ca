package campaign

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/go-json-experiment/json"
)

// Journal is the durable record of which lines of a plan the queue has accepted: a file beside the plan, to which a line
// is appended for each batch. A batch that was accepted and is not in it (a crash, a lost reply) is sent again,
// which is harmless, because the commands have the same ids. Its methods are safe for concurrent use.
type Journal struct {
	mu      sync.Mutex
	file    *os.File
	turn    sync.Cond    // stored has grown, or failed is set
	pending bytes.Buffer // what one of the callers of Add will write for all
	writing bool         // one does
	failed  error
	// added and stored count calls of Add: those that put their lines into pending, and those whose lines are on the disk.
	added, stored uint64
	sent          []uint64 // a bit for each line, from 0
	count         int
}

// journalHeader is the journal's first line, and span each of the others.
type (
	journalHeader struct {
		Digest string `json:"digest"` // of the plan
	}
	span struct {
		From int `json:"from"` // lines of commands, from 1
		To   int `json:"to"`   // inclusive
	}
)

// OpenJournal reads a journal, or begins one. One that is cut short, as by a crash, is read as far as it is whole.
// One of another plan is an error.
func OpenJournal(path string, h *Header) (_ *Journal, err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the journal: %w", err)
	}
	j := &Journal{file: file, sent: make([]uint64, h.Count/64+1)}
	j.turn.L = &j.mu
	whole, err := j.read(h)
	if err == nil {
		err = file.Truncate(whole)
	}
	if err == nil {
		_, err = file.Seek(whole, io.SeekStart)
	}
	if err == nil && whole == 0 {
		err = j.begin(h)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reading the journal %s: %w", path, err), file.Close())
	}
	return j, nil
}

// read returns how many bytes of the file are whole.
func (j *Journal) read(h *Header) (whole int64, err error) {
	lines := bufio.NewReader(j.file)
	for {
		text, err := lines.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, bufio.ErrBufferFull):
			return whole, nil // what follows is no whole line
		case err != nil:
			return 0, err
		}
		if whole == 0 {
			var header journalHeader
			if json.Unmarshal(text, &header) != nil || header.Digest != h.Digest {
				return 0, errors.New("it is not of this plan: move it away, or apply the plan that it is of")
			}
		} else {
			s, ok := spanOf(text, h.Count)
			if !ok {
				return whole, nil
			}
			j.mark(s)
		}
		whole += int64(len(text))
	}
}

// spanOf reads a line; ok is false if it is no span of a plan of so many lines.
func spanOf(text []byte, count int) (s span, ok bool) {
	err := json.Unmarshal(text, &s)
	return s, err == nil && s.From >= 1 && s.To <= count
}

func (j *Journal) begin(h *Header) error {
	text, err := json.Marshal(journalHeader{h.Digest})
	if err == nil {
		_, err = j.file.Write(append(text, '\n'))
	}
	return errors.Join(err, j.file.Sync())
}

func (j *Journal) mark(s span) {
	for n := s.From - 1; n < s.To; n++ {
		if bit := uint64(1) << (n % 64); j.sent[n/64]&bit == 0 {
			j.sent[n/64] |= bit
			j.count++
		}
	}
}

// Sent reports whether a line, from 1, is known to have been accepted.
func (j *Journal) Sent(line int) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.sent[(line-1)/64]>>((line-1)%64)&1 == 1
}

// Count is how many lines are known to have been accepted.
func (j *Journal) Count() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.count
}

// Add records lines, in ascending order, that were accepted. It returns once they are on the disk. Calls that wait
// together share one write.
func (j *Journal) Add(lines []int) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := 0; i < len(lines); {
		s := span{lines[i], lines[i]}
		for i++; i < len(lines) && lines[i] == s.To+1; i++ {
			s.To++
		}
		j.mark(s)
		fmt.Fprintf(&j.pending, "{\"from\":%d,\"to\":%d}\n", s.From, s.To)
	}
	j.added++
	for mine := j.added; j.stored < mine && j.failed == nil; {
		if j.writing {
			j.turn.Wait()
			continue
		}
		j.writing = true
		text, until := bytes.Clone(j.pending.Bytes()), j.added
		j.pending.Reset()
		j.mu.Unlock()
		_, err := j.file.Write(text)
		if err == nil {
			err = j.file.Sync()
		}
		j.mu.Lock()
		if j.writing, j.stored = false, until; err != nil {
			j.failed = fmt.Errorf("writing the journal: %w", err)
		}
		j.turn.Broadcast()
	}
	return j.failed
}

// Close closes the file, once every Add has returned.
func (j *Journal) Close() error {
	if err := j.file.Close(); err != nil {
		return fmt.Errorf("closing the journal: %w", err)
	}
	return nil
}
