// Package queue is SQS as a Watermill Subscriber: thousands of messages held at once, each under
// a lease that is kept alive, and settled in batches. It owns everything that is said to SQS
// about commands: receiving, extending, deleting, releasing and burying. It knows neither what
// a message says nor what a ledger or a lane is.
//
// # The road of a message
//
// A poll receives up to ten messages ([Subscriber.Subscribe]), each becomes a [Lease], and its
// message goes out on the subscription's channel. While it is held its visibility is extended
// at half of its lease. The handler records on the lease how the message is to be settled
// ([Lease.Delete], [Lease.Release], [Lease.Bury]) and the message is acked: what was recorded
// is then done, and deletion where nothing was. A nack makes the message visible at once.
// The message's place in the window is free again when SQS has answered, so that what waits to
// be settled is bounded too.
//
// A message that SQS delivers again while it is held here is not handed out twice: the held
// one takes over the newer receipt handle. One that is delivered again while it is being
// released is a new delivery.
//
// A lease can be lost: the handle was refused, or no extension got through in time. Then
// [Lease.Err] says so, nothing more is sent for it, and whoever receives the message next finds
// in the ledger what was done. The handler is not interrupted: its work is not undone by
// stopping half-way.
//
// # Dead-letter queues
//
// A Subscriber with Options.Strays reads dead-letter queues: it looks at their count once a minute,
// sweeps one that has grown, hands out what SQS itself moved there and is wanted, and leaves the
// rest as it is; see sweep.go for the bounds. Leases, settling and stopping are the same.
//
// # Stopping
//
// The worker stops in this order:
//
//  1. [Subscriber.StopReceiving]: no poll begins; open polls have a second to come back and
//     are then cancelled; what is not handed out yet is released at once.
//  2. Router.Close: the subscription's context ends, handlers finish, the channel closes. The
//     router may call [Subscriber.Close] here, at the beginning, or it may not: which of
//     the two is chance, and both are fine.
//  3. [Subscriber.Flush]: what was recorded is done.
//  4. [Subscriber.Close]: waits up to Options.Drain, counted from its first call, for what
//     is still held; then stops hard: ends the contexts of the messages, and releases them.
//
// To have handlers cut off at the end of the drain, call Close beside Router.Close, on a goroutine
// of its own, and not only after it.
package queue
