// Package dynamo keeps the ledger in one DynamoDB table, for any number of workers. It owns how
// the ledger's rules become conditional writes, how writes share requests, and who repeats them;
// it knows neither queue nor lane.
//
// # How a call travels
//
// Each call that claims or changes becomes a [write]: one conditional write of one item, which
// returns the item that stood in its way, so that a refusal needs no second read. Writes for one key go
// one after the other; writes for different keys share requests through [coalesce]: alone a write is a
// PutItem or an UpdateItem, and what waits beside others goes in a TransactWriteItems of up to 100.
// Where one item of a transaction is refused, DynamoDB cancels all of it and says of each item why: the
// refused are answered, the others go again together. Where a request breaks a rule, it is halved until
// the write that does stands alone: that one is [ledger.ErrRejected].
//
// Every write leaves a stamp of its own in the item. A write whose reply was lost is repeated
// with the same stamp, and finds it; a takeover is conditional on the stamp it saw, so it
// overlooks nothing stored meanwhile; and since stamps of one process grow, a request that was
// given up for lost and arrives late changes nothing.
//
// # Layout
//
// The table's key is id; one item is one command:
//
//	id           S  the command's key
//	format       N  version of this layout; another is ErrUnreadable
//	fingerprint  B  32 bytes
//	campaign     S  campaign + "/" + one of 16 shards, by the key; absent where there is none
//	target       S  the target, where the command has just one
//	targets      L  all targets, in order; B, JSON with gzip, where they are long
//	claim        N  number of the newest token: Unix nanoseconds of its claim, or one more than
//	                the last number where that is greater
//	stamp        S  of the last write: 16 hexadecimal digits that grow, and its writer
//	stage        S  claimed, released or ended
//	lease        N  Unix nanoseconds at which the claim runs out
//	progress     B  JSON, with gzip where it is long; absent where nothing was stored, or ended
//	outcome      B  of an ended command
//	expires      N  Unix seconds at which an ended command is forgotten; DynamoDB's time to live
//
// Two indexes hold keys alone: "campaign" and "target". Campaigns are sharded because an index takes
// 1,000 write units a second on one key, and throttles its table beyond that ("GSI write throttling and
// back pressure" in the developer guide). A command of several targets has an item beside it for each,
// with id "/target/" + hash of the target + "/" + key, target and expires, written before its first
// claim; so no command's key may begin with "/". Lookups read the indexes, which lag the table by
// moments, and then the commands from the table itself.
//
// # Forgetting
//
// An ended command expires [ledger.Retention] after its end. DynamoDB deletes it within days;
// until then Claim and lookups treat it as absent. A command that has not ended never expires:
// its message may come back from a dead-letter queue after months. The items beside a command
// of several targets cannot know its end: they expire 15 days (SQS's longest retention, and one)
// and the retention after its first claim. When it ends later, ByTarget forgets it too soon.
//
// # Clocks
//
// A lease is measured by the clock of the worker that claimed, and compared with that of the
// worker that would take over: a clock that is ahead by a minute takes over a minute early.
// That breaks no rule, since tokens fence.
//
// # Who repeats
//
// The SDK makes one attempt. This package repeats throttled requests with full-jitter backoff,
// in halves, so that they fit what a small table gives. Only where a request, and all that was cut from
// it, gets nothing done for 30 seconds does the caller see an error. Answers of 5xx and broken
// connections are repeated for 3 seconds: an outage is reported soon, because while it lasts nothing should
// be received. Any other refusal (no permission, no table) is returned at once.
//
// # What it costs
//
// A write unit is 1 KB, begun, of the larger of the item before and after; a transaction takes
// two ("Read and write operations" and "DynamoDB transactions" in the developer guide), and a
// refused write counts like one that succeeded. A command with one target takes 5 to 6 units alone and
// 8 to 10 grouped, its entries in the two indexes included (that these are not doubled is inferred);
// every 20 seconds that a worker holds it 1 more (2 grouped), and n targets a read and 2n more.
package dynamo
