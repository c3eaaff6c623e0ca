// Package queue is SQS as a Watermill Subscriber: thousands of messages in flight at once, each under
// a lease that is extended, and settled in batches. It owns every request to SQS about commands:
// receiving, extending, deleting, deferring and dead-lettering. It knows neither what a message says
// nor what a ledger or a lane is.
//
// # How a message travels
//
//   - poll.go: a poll receives up to ten messages. Each becomes a [Lease] in the window (window.go)
//     and goes out on the subscription's channel.
//   - extend.go: while the message is in the window its visibility is extended at half of its lease.
//   - settle.go: the handler records on the lease how the message is to be settled ([Lease.Delete],
//     [Lease.Defer], [Lease.DeadLetter]) and acks it. Then the recorded request is made; where
//     nothing was recorded the message is deleted. A nack makes it visible at once. The message leaves
//     the window when SQS has answered.
//   - defer.go: when a deferral takes a copy, and how copies are put on the wire; deadletter.go: what a
//     dead-lettered message carries.
//
// A message that SQS delivers again while it is in the window is not handed out twice: its lease
// takes the newer receipt handle. A message that is delivered again while it is being deferred is a
// new delivery.
//
// A lease can be lost: SQS refused the receipt handle, or no extension succeeded in time. Then
// nothing more is sent for it, and whoever receives the message next finds in the ledger what was
// done. The handler is not interrupted, since stopping half-way would undo nothing.
//
// # Stopping
//
// The worker calls, in this order:
//
//  1. [Subscriber.StopReceiving]: no poll begins. Open polls have a second to return and are then
//     cancelled. Messages that are not handed out yet are released.
//  2. [Subscriber.Drain]: handlers finish, within Options.Drain, and their messages are settled. Then
//     comes the hard stop: the contexts of the remaining messages end, and they are released.
//  3. Router.Close, only after Drain: while it waits for a handler it begins no other.
//  4. [Subscriber.Close]: the channels close. The router may have called it already.
package queue
