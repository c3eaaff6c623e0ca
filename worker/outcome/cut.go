package outcome

import (
	"fmt"
	"slices"
	"sort"
	"unicode/utf8"

	"github.com/rescindhq/rescind/handlers"
)

// bounds are the lengths in bytes at which long messages are cut, tried one after the other. At
// the last, 256 targets with ids and states of AWS's own lengths still fit.
var bounds = []int{4096, 2048, 1024, 512, 256, 128}

// maxText is the length in bytes at which every other text is cut where nothing else has
// helped. No sound command comes here: it holds what even a broken one may bring. 14 such
// texts, some written twice, take at most 6 bytes a byte in JSON: half of MaxBytes.
const maxText = 1024

// cut writes an event that is too large, in the first of these ways that fits: with messages
// (the command's, the targets', the first and last error) cut at one of the bounds; with as
// many targets as fit, from the first on, the rest counted in TargetsOmitted;
// with no targets and every other text cut at maxText. The event's own counts remain whole.
// A text is cut at its end, between characters, and says how long it was.
func cut(e *Event) ([]byte, error) {
	whole := e.Data
	for _, bound := range bounds {
		e.Data = whole
		e.Data.Targets = slices.Clone(whole.Targets)
		shortenMessages(&e.Data, bound)
		if text, err := write(e); err != nil || len(text) <= MaxBytes {
			return text, err
		}
	}

	short := e.Data.Targets
	keep := func(n int) ([]byte, error) {
		e.Data.Targets, e.Data.TargetsOmitted = short[:n], len(short)-n
		return write(e)
	}
	// The number of targets that fit: one less than the fewest that do not.
	fit := sort.Search(len(short), func(n int) bool {
		text, err := keep(n + 1)
		return err != nil || len(text) > MaxBytes
	})
	if text, err := keep(fit); err != nil || len(text) <= MaxBytes {
		return text, err
	}

	shortenTexts(e, maxText)
	return write(e)
}

func shortenMessages(d *Data, bound int) {
	for _, message := range []*string{&d.Message, &d.Attempts.FirstError, &d.Attempts.LastError} {
		*message = shorten(*message, bound)
	}
	for i := range d.Targets {
		d.Targets[i].Message = shorten(d.Targets[i].Message, bound)
	}
}

// shortenTexts cuts every text that a sender or a setting gives. Status, verdict and confirmedBy
// are closed sets, and the counts' keys are statuses.
func shortenTexts(e *Event, bound int) {
	d := &e.Data
	d.Action = handlers.Action(shorten(string(d.Action), bound))
	for _, text := range []*string{
		&e.Source, &e.Subject, &d.CommandID, &d.MessageID, &d.Code, &d.Account, &d.Region, &d.Reason, &d.RequestedBy,
		&d.Sender, &d.Campaign, &d.Worker,
	} {
		*text = shorten(*text, bound)
	}
}

// shorten cuts a text to at most bound bytes, mark included, and never inside a character.
func shorten(s string, bound int) string {
	if len(s) <= bound {
		return s
	}
	mark := fmt.Sprintf("… [cut, was %d bytes]", len(s))
	end := bound - len(mark)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + mark
}
