// Package worker puts the road together and drains it in order: commands come in by [queue],
// are read by [command], claimed in a [ledger], sent through [lane]s to their handlers, and
// what became of them goes out by [results].
//
// The road itself is one function, follow, in road.go; it reads in the order in which a
// command travels. target.go judges what AWS says of one target, journey.go holds what is
// known of one command, memory.go is the ledger as the road sees it, endings.go writes
// outcomes, worker.go starts and stops it all.
//
// [queue]: https://pkg.go.dev/github.com/rescindhq/rescind/worker/queue
// [command]: https://pkg.go.dev/github.com/rescindhq/rescind/worker/command
// [ledger]: https://pkg.go.dev/github.com/rescindhq/rescind/worker/ledger
// [lane]: https://pkg.go.dev/github.com/rescindhq/rescind/worker/lane
// [results]: https://pkg.go.dev/github.com/rescindhq/rescind/worker/results
package worker
