package sqs

import (
	"cmp"
	"container/heap"
	"maps"
	"slices"
)

// timeHeap is a heap of messages by one of their times. Its messages know their places, so
// that any of them can be moved or taken out in logarithmic time.
type timeHeap struct {
	slot     int // which of a message's places is this heap's
	before   func(a, b *message) bool
	messages []*message
}

// byUntil orders by when messages become visible.
func byUntil(a, b *message) bool {
	if !a.until.Equal(b.until) {
		return a.until.Before(b.until)
	}
	return a.serial < b.serial
}

// bySent orders by age.
func bySent(a, b *message) bool {
	if !a.sent.Equal(b.sent) {
		return a.sent.Before(b.sent)
	}
	return a.serial < b.serial
}

func newTimeHeap(slot int, before func(a, b *message) bool) *timeHeap {
	return &timeHeap{slot: slot, before: before}
}

func (h *timeHeap) add(m *message)    { heap.Push(h, m) }
func (h *timeHeap) move(m *message)   { heap.Fix(h, m.slots[h.slot]) }
func (h *timeHeap) remove(m *message) { heap.Remove(h, m.slots[h.slot]) }

// first returns the earliest message, nil for none.
func (h *timeHeap) first() *message {
	if len(h.messages) == 0 {
		return nil
	}
	return h.messages[0]
}

// Len implements heap.Interface, as do the four below.
func (h *timeHeap) Len() int           { return len(h.messages) }
func (h *timeHeap) Less(i, j int) bool { return h.before(h.messages[i], h.messages[j]) }

func (h *timeHeap) Swap(i, j int) {
	h.messages[i], h.messages[j] = h.messages[j], h.messages[i]
	h.messages[i].slots[h.slot], h.messages[j].slots[h.slot] = i, j
}

// Push implements heap.Interface.
func (h *timeHeap) Push(x any) {
	m := x.(*message)
	m.slots[h.slot] = len(h.messages)
	h.messages = append(h.messages, m)
}

// Pop implements heap.Interface.
func (h *timeHeap) Pop() any {
	last := len(h.messages) - 1
	m := h.messages[last]
	h.messages[last] = nil
	h.messages = h.messages[:last]
	return m
}

// list is a queue of messages from which any can be taken out at once.
type list struct {
	head, tail *message
	n          int
}

func (l *list) push(m *message) {
	m.previous, m.next = l.tail, nil
	if l.tail == nil {
		l.head = m
	} else {
		l.tail.next = m
	}
	l.tail = m
	l.n++
}

func (l *list) pushFront(m *message) {
	m.previous, m.next = nil, l.head
	if l.head == nil {
		l.tail = m
	} else {
		l.head.previous = m
	}
	l.head = m
	l.n++
}

func (l *list) remove(m *message) {
	if m.previous == nil {
		l.head = m.next
	} else {
		m.previous.next = m.next
	}
	if m.next == nil {
		l.tail = m.previous
	} else {
		m.next.previous = m.previous
	}
	m.previous, m.next = nil, nil
	l.n--
}

// sortedBySerial returns all messages of a queue in the order of their arrival.
func sortedBySerial(q *queue) []*message {
	return slices.SortedFunc(maps.Values(q.messages), func(a, b *message) int { return cmp.Compare(a.serial, b.serial) })
}
