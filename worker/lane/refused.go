package lane

// trial finds out whose fault it is that a request of several items was refused as a whole: of
// one of them, or of all that share the request. A few of the items are run alone, one after the
// other, while the rest waits.
type trial[T any] struct {
	code  string      // with which the whole was refused
	picks []*share[T] // still to be run alone
	rest  []*share[T]
	known bool // the target of the only pick exists: its refusal is not for want of it
}

// why is the code of a share's last refusal, "" where nobody tells, and whether its target is
// known to exist.
func (l *Lane[T]) why(s *share[T]) (code string, known bool) {
	if l.o.Why == nil || len(s.entries) == 0 {
		return "", false
	}
	values := make([]T, len(s.entries))
	for i, e := range s.entries {
		values[i] = e.value
	}
	return l.o.Why(values)
}

// refusedLocked does with the shares of a request that were refused what that asks for.
func (l *Lane[T]) refusedLocked(b *batch[T], shares []*share[T], panicked *PanicError) {
	switch {
	case len(shares) == 0:
	case len(b.shares) > 1:
		if panicked != nil || b.piece || len(shares) < len(b.shares) || !l.tryLocked(b.key, shares) {
			l.halveLocked(b.key, shares)
		}
	case panicked != nil:
		finish(shares, panicked)
	default:
		code, _ := l.why(shares[0])
		finish(shares, nil)
		if b.trial != nil && code == b.trial.code {
			l.nextPickLocked(b.key, b.trial)
			b.trial = nil
		}
	}
}

// tryLocked begins a trial, if the request's refusal has one code.
func (l *Lane[T]) tryLocked(k *keyed[T], shares []*share[T]) bool {
	code, _ := l.why(shares[0])
	for _, s := range shares {
		if other, _ := l.why(s); code == "" || other != code {
			return false
		}
	}
	shares = l.stillWanted(shares)
	if len(shares) < 2 {
		l.halveLocked(k, shares)
		return true
	}
	t := &trial[T]{code: code}
	picked := picks(len(shares))
	for i, s := range shares {
		if _, known := l.why(s); known {
			picked, t.known = []int{i}, true // one is enough
			break
		}
	}
	for i, s := range shares {
		if len(picked) > 0 && i == picked[0] {
			picked = picked[1:]
			t.picks = append(t.picks, s)
			continue
		}
		t.rest = append(t.rest, s)
	}
	l.nextPickLocked(k, t)
	return true
}

// picks are two of n, neither of them at an end: what is at fault was often added first or last.
func picks(n int) []int {
	if n < 3 {
		return []int{0, 1}[:n]
	}
	return []int{n / 3, 2 * n / 3}
}

// nextPickLocked runs the next of a trial's picks. Where all of them were refused with the
// code of the whole, that seems to be the request's own refusal, and ends the rest: proven, where the
// pick was known to exist.
func (l *Lane[T]) nextPickLocked(k *keyed[T], t *trial[T]) {
	for len(t.picks) > 0 {
		next := l.stillWanted(t.picks[:1:1])
		t.picks = t.picks[1:]
		if len(next) > 0 {
			k.pieces = append(k.pieces, &batch[T]{key: k, shares: next, piece: true, trial: t})
			l.enterRingLocked(k)
			return
		}
		if len(t.picks) == 0 { // withdrawn: it says nothing
			l.halveLocked(k, t.rest)
			return
		}
	}
	if t.known {
		finish(t.rest, nil)
		return
	}
	finish(t.rest, ErrUnproven)
}

// overLocked ends a trial that did not show that the refusal is the request's own: the rest goes on in
// halves. The batch is one that ran as a pick, or was to.
func (l *Lane[T]) overLocked(b *batch[T]) {
	if b.trial != nil {
		l.halveLocked(b.key, append(b.trial.picks, b.trial.rest...))
		b.trial = nil
	}
}

// halveLocked makes two pieces of what was refused as a whole.
func (l *Lane[T]) halveLocked(k *keyed[T], shares []*share[T]) {
	shares = l.stillWanted(shares)
	for middle := (len(shares) + 1) / 2; len(shares) > 0; middle = len(shares) {
		k.pieces = append(k.pieces, &batch[T]{key: k, shares: shares[:middle:middle], piece: true})
		shares = shares[middle:]
	}
	if len(k.pieces) > 0 {
		l.enterRingLocked(k)
	}
}
