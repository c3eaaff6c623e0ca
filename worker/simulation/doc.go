// Package simulation tests the promise of the worker: every command comes to exactly one
// outcome, and to a true one, whatever fails of what is named here; and that a worker which stops
// keeps no message from the others. It has tests alone. It does not look at isolation, or at how
// soon a drain releases what: other tests do.
//
// A number, the seed, makes a [plan] (plan_test.go): some workers on one queue and one ledger, a
// few dozen commands of every action (orders_test.go) for targets of every kind (targets_test.go),
// and what befalls them in their first minutes: crashes before or after each stage of the pipeline,
// pauses longer than a lease, drains, outages, throttling, 5xx, refusals for want of permission,
// lost requests and replies, partial failures, duplicates, clocks that differ; and foul weather
// (foul_test.go): middleboxes that answer in AWS's place, requests that are never answered, keys and roles
// that cannot be had or are refused, reads that are late, and targets that fail for ever, which good ones
// beside them must not wait for. In half of the plans AWS's own events of state changes come in on a state queue, late, doubled and
// lost, and beside them what proves nothing (events_test.go). The [world] (world_test.go) runs the
// plan in virtual time on the AWS simulator, over the real SDK clients, until everything is settled, and
// writes down what happened as a [history] (history_test.go). [check] (check_test.go, and
// truth_test.go for what an outcome may say) reads the history, and nothing else, and says what it
// violates. Over enough seeds a [tally] (met_test.go) sees to it that all of this was really met: a
// fault under a misspelt name befalls nobody.
//
//	go test ./worker/simulation -seeds 10000           # as many seeds from 1 on
//	go test ./worker/simulation -seed 4711 -v          # one of them again
//	go test ./worker/simulation -replay HISTORY.json   # only the check, on a history that was saved
//	RESCIND_MUTATIONS=1 go test -run TestMutations ./worker/simulation   # the check finds each mistake
//
// A seed fixes what is asked for and what fails, not in which order goroutines run that are
// ready at the same instant: a failing seed is run again some times, to say how often it fails,
// and its history is saved.
package simulation
