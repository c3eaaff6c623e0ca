package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"go.uber.org/zap"

	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/ledger"
)

// records is where the ledger's records of commands are read. Each calls yield with every record, in no order; records that
// cannot be read are left out, and make the error a ledger.ErrUnreadable beside the others.
type records interface {
	ByCampaign(ctx context.Context, campaign string, yield func(ledger.Record) bool) error
	ByTarget(ctx context.Context, target string, yield func(ledger.Record) bool) error
	close() error
}

// records returns where records are read, and how that is called in what is printed.
func (c *outcomeFlags) records(ctx context.Context) (from records, name string, err error) {
	switch kind, _, _ := strings.Cut(c.Ledger, ":"); kind {
	case "", "bolt": // the file is open in its worker, and nobody else can read it
		return &fromWorker{addr: c.Admin, client: &http.Client{}}, "the worker at " + c.Admin, nil
	}
	cfg, err := awsConfig(ctx)
	if err != nil {
		return nil, "", err
	}
	l, err := openLedger(ctx, cfg, c.Ledger, zap.NewNop())
	return fromLedger{l}, c.Ledger, err
}

// ByCampaign implements records.
func (w *fromWorker) ByCampaign(ctx context.Context, campaign string, yield func(ledger.Record) bool) error {
	return w.stream(ctx, "campaign", campaign, yield)
}

// ByTarget implements records.
func (w *fromWorker) ByTarget(ctx context.Context, target string, yield func(ledger.Record) bool) error {
	return w.stream(ctx, "target", target, yield)
}

// recordsPath is where a worker is asked for the records of a campaign or a target.
const recordsPath = "/records"

// recordLine is a line of the answer: a record, or the last one, which says that the answer is whole.
type recordLine struct {
	Key      string         `json:"key,omitempty"`
	Campaign string         `json:"campaign,omitempty"`
	Targets  []string       `json:"targets,omitempty"`
	Outcome  jsontext.Value `json:"outcome,omitempty"` // none: it has not ended

	End        bool   `json:"end,omitzero"`
	Unreadable string `json:"unreadable,omitempty"` // with End: of records that were left out
	Error      string `json:"error,omitempty"`      // with End: why there are no more
}

// serveRecords answers ?campaign=NAME or ?target=ID with the ledger's records, a line of JSON each. It changes nothing.
func serveRecords(rw http.ResponseWriter, r *http.Request, w *worker.Worker) {
	query := r.URL.Query()
	look, of := w.ByCampaign, query.Get("campaign")
	if of == "" {
		look, of = w.ByTarget, query.Get("target")
	}
	if of == "" {
		http.Error(rw, "name a campaign or a target, as in ?campaign=NAME", http.StatusBadRequest)
		return
	}
	rw.Header().Set("Content-Type", "application/x-ndjson")
	write := func(l recordLine) error {
		line, err := json.Marshal(l)
		if err == nil {
			_, err = rw.Write(append(line, '\n'))
		}
		return err
	}
	err := look(r.Context(), of, func(each ledger.Record) bool {
		return write(recordLine{Key: each.Key, Campaign: each.Campaign, Targets: each.Targets, Outcome: each.Outcome}) == nil
	})
	last := recordLine{End: true}
	switch {
	case errors.Is(err, ledger.ErrUnreadable):
		last.Unreadable = err.Error()
	case err != nil:
		last.Error = err.Error()
	}
	_ = write(last) // the client may have gone
}

// maxRecordLine bounds a line in bytes: an outcome has 200 KiB, and the ids of up to 256 targets come to it.
const maxRecordLine = 1 << 20

// stream asks the worker for records.
func (w *fromWorker) stream(ctx context.Context, by, of string, yield func(ledger.Record) bool) error {
	body, err := w.get(ctx, recordsPath, url.Values{by: {of}})
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxRecordLine)
	for lines.Scan() {
		var l recordLine
		switch err := json.Unmarshal(lines.Bytes(), &l); {
		case err != nil:
			return fmt.Errorf("what answers at %s is no worker: %w", w.addr, err)
		case l.Error != "":
			return fmt.Errorf("the worker at %s cannot read its ledger: %s", w.addr, l.Error)
		case l.Unreadable != "":
			return fmt.Errorf("%w: %s", ledger.ErrUnreadable, l.Unreadable)
		case l.End:
			return nil
		}
		if !yield(ledger.Record{Entry: ledger.Entry{Key: l.Key, Campaign: l.Campaign, Targets: l.Targets}, Ended: l.Outcome != nil, Outcome: l.Outcome}) {
			return nil
		}
	}
	err = lines.Err()
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("the answer of the worker at %s is cut short: %w", w.addr, err)
}
