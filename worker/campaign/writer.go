package campaign

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"github.com/go-json-experiment/json"
)

// Writer writes a plan file. It is not safe for concurrent use. End it with Finish or Discard.
type Writer struct {
	path  string
	part  *os.File // the lines: FILE.part
	lines *bufio.Writer
	sum   hash.Hash
	count int
}

// ErrExists says that a file has the plan's name already: a plan is never overwritten.
var ErrExists = errors.New("exists already")

// Create begins a plan file, of which nothing is seen under its name until Finish. It returns ErrExists if there is such a
// file.
func Create(path string) (*Writer, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("%s %w", path, ErrExists)
	}
	part, err := os.OpenFile(path+".part", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("writing a plan: %w", err)
	}
	sum := sha256.New()
	return &Writer{path: path, part: part, sum: sum, lines: bufio.NewWriterSize(io.MultiWriter(part, sum), 1<<16)}, nil
}

// Line gives a command its id and returns its line.
func (c *Command) Line() ([]byte, error) {
	id, err := c.MakeID()
	if err != nil {
		return nil, err
	}
	c.ID = id
	line, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("writing a command: %w", err)
	}
	return line, nil
}

// Add writes a line, as Command.Line returns it.
func (w *Writer) Add(line []byte) error {
	w.count++
	_, err := w.lines.Write(line)
	if err == nil {
		err = w.lines.WriteByte('\n')
	}
	if err != nil {
		return fmt.Errorf("writing a plan: %w", err)
	}
	return nil
}

// Count is how many lines were added.
func (w *Writer) Count() int { return w.count }

// Finish writes the file: the header, whose form, count and digests it sets, and the lines. Then the file has its name.
func (w *Writer) Finish(h *Header) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("writing the plan %s: %w", w.path, err)
		}
		err = errors.Join(err, w.Discard())
	}()
	if err := w.lines.Flush(); err != nil {
		return err
	}
	h.Plan, h.Count, h.Lines = Form, w.count, formatted(w.sum.Sum(nil))
	if err := h.seal(); err != nil {
		return err
	}
	whole := w.path + ".new"
	if err := w.assemble(whole, h); err != nil {
		return errors.Join(err, os.Remove(whole))
	}
	// A link, and no rename: it does not replace a file that has come meanwhile.
	err = os.Link(whole, w.path)
	if errors.Is(err, os.ErrExist) {
		err = ErrExists
	} else if err != nil { // a file system without links
		return os.Rename(whole, w.path)
	}
	return errors.Join(err, os.Remove(whole), syncFolder(filepath.Dir(w.path)))
}

// assemble writes header and lines, and returns once they are on the disk.
func (w *Writer) assemble(path string, h *Header) (err error) {
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	line, err := h.line()
	if err != nil {
		return err
	}
	if _, err := to.Write(line); err != nil {
		return err
	}
	if _, err := w.part.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if _, err := io.Copy(to, w.part); err != nil {
		return err
	}
	return to.Sync()
}

// Discard removes what is not finished. After Finish it does nothing.
func (w *Writer) Discard() error {
	if w.part == nil {
		return nil
	}
	err := errors.Join(w.part.Close(), os.Remove(w.path+".part"))
	w.part = nil
	return err
}

// syncFolder makes a new name in a folder survive a power cut.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
