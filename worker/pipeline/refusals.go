package pipeline

import (
	"context"
	"slices"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/lane"
)

// judgeRefusal finds out what it can of a cancelling request of several targets that was refused as a
// whole: once for each target, as the parts that the lane runs then tell the rest.
func (l *lanes) judgeRefusal(ctx context.Context, h handlers.Handler, at handlers.Location, batch [][]*target, answers []*handlers.Answer) {
	code := refusedWhole(answers)
	if code == "" {
		return
	}
	var sent []*target // one of each id
	for _, same := range batch {
		if i := slices.IndexFunc(same, (*target).isWanted); i >= 0 {
			sent = append(sent, same[i])
		}
	}
	if len(sent) < 2 || sent[0].examined {
		return
	}
	theKeys := l.whose(ctx, h, at, sent, code)
	for _, same := range batch {
		for _, t := range same {
			t.examined = true
			if theKeys && t.isWanted() {
				t.keyRefused = true
			}
		}
	}
}

// whose looks, by three reads at most, for whose fault it is that AWS refused a cancelling request of several
// targets as a whole; sent has one target of each id. It returns true where AWS refuses to read
// what holds them with the same code: then that is gone or was never there. Where a target was
// found, it is marked as known: then AWS does not refuse it for want of it.
func (l *lanes) whose(ctx context.Context, h handlers.Handler, at handlers.Location, sent []*target, code string) (theKeys bool) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	reads, leave := l.of(h, reading, at)
	defer leave()
	read := func(targets ...*target) bool {
		items := make([]lane.Item[*target], len(targets))
		for i, t := range targets {
			items[i] = reading.item(t)
		}
		for _, err := range reads.Do(ctx, items...) {
			if err != nil {
				return false
			}
		}
		for _, t := range targets {
			t.exists = t.reading.Err == nil && t.reading.Found
		}
		return true
	}
	if holder, ok := h.(handlers.Holder); ok {
		of := &target{Target: holder.Holder(sent[0].Target), execution: sent[0].execution}
		switch {
		case !read(of):
			return false
		case of.reading.Err != nil && of.reading.Err.Class == handlers.Refused:
			return of.reading.Err.Code == code
		}
	}
	// Neither of the two is at an end: what is at fault was often added first or last.
	first, second := len(sent)/3, 2*len(sent)/3
	if read(sent[first]) && !sent[first].exists {
		read(sent[second:min(len(sent), second+h.Read().Max)]...)
	}
	return false
}

// refusedWhole returns the code with which a request was refused as a whole, "" where it was not.
func refusedWhole(answers []*handlers.Answer) (code string) {
	for _, a := range answers {
		switch {
		case a == nil:
		case a.Err == nil || a.Err.Class != handlers.Refused || code != "" && a.Err.Code != code:
			return ""
		default:
			code = a.Err.Code
		}
	}
	return code
}

// why tells a lane of cancelling calls with which code its targets were refused last. What has gone back for
// others' fault, and is not known to exist, has none: it is to be refused alone.
func why(same []*target) (code string, known bool) {
	for _, t := range same {
		known = known || t.exists
	}
	for _, t := range same {
		if t.answer.Err != nil && t.answer.Err.Class == handlers.Refused && (known || !t.returned) {
			code = t.answer.Err.Code
		}
	}
	return code, known
}

// whyUnread does the same for a lane of reads, where AWS was seen to refuse the key by that code.
// Otherwise it is known for one target alone that AWS does not refuse its key.
func whyUnread(same []*target) (code string, known bool) {
	for _, t := range same {
		if t.keyRefused && isRefusedLike(t.reading.Err, t.refusal) {
			return t.refusal.Code, true
		}
	}
	return "", false
}

// isRefusedLike is whether a read was refused with the code with which the cancelling call was.
func isRefusedLike(read, cancel *handlers.Error) bool {
	return read != nil && read.Class == handlers.Refused && cancel != nil && cancel.Code == read.Code
}
