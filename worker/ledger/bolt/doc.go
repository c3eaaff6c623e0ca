// Package bolt keeps the ledger in one file, through go.etcd.io/bbolt. It serves one worker
// process: the file is locked while it is open. It owns how the ledger's rules are carried out on
// disk and how commands are forgotten; it knows neither queue nor lane nor AWS.
//
// # How a call travels
//
// Every call that claims or changes becomes an op in one [coalesce.Group] with one request
// under way, and a request is one bbolt transaction: calls that come while a commit syncs
// share the next one. The transaction applies its ops in order, each with its own answer,
// and nobody is answered before it is on disk. Because one goroutine at a time runs
// transactions, what is held in memory (see [state]) needs no lock, and what an op decides
// cannot be stale. A transaction whose ops changed nothing is dropped without a sync.
//
// Leases and the numbers of the newest claims live in memory only. As one process at a time
// can have the file, the claims of an earlier process are lost the moment it is opened: its
// tokens are refused and its keys can be claimed at once, with their progress. Token numbers
// come from a sequence in the file, so they grow across restarts.
//
// # Layout
//
//	meta      "format" → the version of this layout; "deployment key" → the deployment's key
//	active    number of the first claim → entry and progress of a command that has not ended
//	outcomes  sequence number → entry and outcome of an ended command, in the order they ended
//	index     hash of an ended command's key → its sequence number
//	events    target → what an event of AWS's showed of it
//
// Active and outcomes grow at their right end, and outcomes are forgotten at their left end, a few
// with each commit. The index is written all over, about one page of 4 KiB for each command that ends:
// with a million commands in the file one worker still ends thousands a second. A file of format 1,
// which had hash tables in place of the index, is converted when it is opened.
package bolt
