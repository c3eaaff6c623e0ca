package queue

// window is the in-flight tracker: the messages in flight, and the places for those that open polls
// may bring. Subscriber.mu guards it.
type window struct {
	size     int
	reserved int // places of open polls
	leases   map[*Lease]struct{}
	newest   map[messageKey]*Lease // the last delivery of each message in flight
}

type messageKey struct{ queueURL, id string }

func (w *window) free() int { return w.size - len(w.leases) - w.reserved }

func (w *window) add(key messageKey, l *Lease) {
	w.leases[l] = struct{}{}
	w.newest[key] = l
}

func (w *window) remove(l *Lease) {
	delete(w.leases, l)
	if key := (messageKey{l.QueueURL, l.id}); w.newest[key] == l {
		delete(w.newest, key)
	}
}
