package service

import "time"

// Past is what an item was before each of its changes, for reads that show it as it was. The zero
// value is that of an item which has not changed. It is not safe for concurrent use.
type Past[T any] struct{ was []moment[T] }

type moment[T any] struct {
	until time.Time
	item  T
}

// Note notes that item is changed at a time, before it is. Changes are noted in their order.
func (p *Past[T]) Note(item T, at time.Time) { p.was = append(p.was, moment[T]{at, item}) }

// AsOf returns what item, which came into being at born, was so long before now; ok is false where
// it was not there yet. With an age of 0 it is item itself.
func (p *Past[T]) AsOf(item T, born, now time.Time, age time.Duration) (_ T, ok bool) {
	if age <= 0 {
		return item, true
	}
	at := now.Add(-age)
	if at.Before(born) {
		return item, false
	}
	for _, m := range p.was {
		if at.Before(m.until) {
			return m.item, true
		}
	}
	return item, true
}
