// Package lane paces and coalesces calls that share a quota. It knows no AWS service and no
// Watermill: it is given items, keys, quotas and a function that makes one request, and it
// owns every retry within the worker.
//
// An item travels like this. Do puts it among those that wait under its key. When the quota
// has a token, the lane takes the items of one key, up to the largest request, and runs them
// together. Each item comes back with a [Verdict]: done, or throttled, or unavailable, in which
// case it waits again after a full-jitter backoff, and the quota slows down or the breaker
// counts; or refused, in which
// case the request is run again in halves, until the one item that is at fault stands alone.
//
// A lane at rest spends its quota's bucket a little faster with each call that is accepted; a
// [Quota] says how its rate is found; and a service that is down is probed, see [Stats].
//
// Items that are ready wait for nothing but tokens, with two exceptions. A request that could
// still take more waits while [Options.PartFilled] requests of its key are under way; and, where
// tokens are few, while more items are on their way ([Options.Flowing]): until none has come for a
// tenth of a second, for as long as a token takes and two seconds at most. So at rest nothing is
// delayed, and under load requests are full.
//
// No item's context rules a request that it shares: once an item is in a request, Do waits
// for that request. The request's own context ends at [Lane.Close] alone.
package lane
