// Package bolt keeps the ledger in one file, through go.etcd.io/bbolt. It serves one worker
// process: the file is locked while it is open. It owns how the ledger's rules are kept on
// disk and how commands are forgotten; it knows neither queue nor lane nor AWS.
//
// # How a call travels
//
// Every call that claims or changes becomes an op in one [coalesce.Group] with one request
// under way, and a request is one bbolt transaction: calls that come while a commit syncs
// share the next one. The transaction applies its ops in order, each with its own answer,
// and nobody is answered before it is on disk. Because one goroutine at a time runs
// transactions, what is kept in memory (see [state]) needs no lock, and what an op decides
// cannot be stale. A transaction whose ops changed nothing is dropped without a sync.
//
// Leases and the numbers of the newest claims live in memory only. As one process at a time
// can have the file, the claims of an earlier process are lost the moment it is opened: its
// tokens are refused and its keys can be claimed at once, with their progress. Token numbers
// come from a sequence in the file, so they grow across restarts.
//
// # Layout
//
// Commits must not slow down as the file grows, and what makes them slow is many scattered
// pages. So every bucket grows at its right end:
//
//	meta      "format" → the version of this layout
//	active    number of the first claim → entry and progress of a command that has not ended
//	outcomes  sequence number → entry and outcome of an ended command, in the order they ended
//	tables    segment number → hash table from key to sequence number over 65,535 outcomes
//
// The keys of outcomes that no table covers yet are in memory, read again from the outcomes
// themselves at open. When a segment is full, its table (512 KiB) is written once and never
// changed: a claim of an unknown key costs one look into each table. Forgetting takes
// outcomes away at the left end, a few with each commit, and each table with its last outcome.
package bolt
