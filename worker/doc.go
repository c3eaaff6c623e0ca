// Package worker puts the parts together and drains them in order: messages come in by [queue], go
// through the [pipeline], and what became of their commands goes out by [results]. It owns what a worker
// is made of, its start, its stop, its readiness and its metrics; what becomes of a command is the
// pipeline's.
//
// [queue]: https://pkg.go.dev/github.com/rescindhq/rescind/worker/queue
// [pipeline]: https://pkg.go.dev/github.com/rescindhq/rescind/worker/pipeline
// [results]: https://pkg.go.dev/github.com/rescindhq/rescind/worker/results
package worker
