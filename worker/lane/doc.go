// Package lane paces and coalesces calls that share a quota. It knows no AWS service and no
// Watermill: it is given items, keys, quotas and a function that makes one request, and it
// owns every retry within the worker.
//
// An item travels like this. Do puts it among those that wait under its key. When the quota
// has a token, the lane takes the items of one key, up to the largest request, and runs them
// together. Each item comes back with a [Verdict]: done; throttled, and it waits again after a
// full-jitter backoff, and the quota slows down; unavailable, and it is run again as below; or refused,
// and so is the request, in parts.
//
// # One item's trouble is that item's
//
// A request that found the service unavailable is run again after a backoff, by itself: what waits
// beside it is not put into it. After three failures in a row (two, where others were answered
// meanwhile) it is split in four, and each part in turn, until the item at fault stands alone. An item that
// fails alone while others are answered backs off by itself, up to two minutes, takes its turn behind
// what waits under its key, and a key with nothing else takes its turn late. An item that
// fails in a request of which others were answered backs off in the same way.
//
// The breaker opens after ten requests in a row that found the service unavailable, if nothing was answered
// in between and at least four causes are distinct: requests that have no item in common. So three
// items that fail for ever are no outage. While it is open, one probe at a time begins, for items that
// have not failed, then for those that failed the fewest times; any answer closes it. A probe that fails
// again and again is split like any request, and nothing else is.
//
// # One request's trouble is that request's
//
// A request of several items that is refused as a whole may be refused for one of them, or for what they
// share. [Options.Why] tells the code of the refusal. Where all have the same, two items, one after
// the other, are run alone; one is enough if its target is known to exist. If each of them is refused with
// the code of the whole, the refusal is the request's own, and ends all of its items, after three calls
// at most: as refused, where the target that was run alone is known to exist; else with [ErrUnproven], as the
// two may have been refused for want of them, and the rest be good. If one is not, there are a few bad items: the rest is run in halves, until they stand
// alone. Halves would not tell these two cases apart: two bad items, one in each, refuse both halves.
// Without a code, and after a panic, a request is run in halves.
//
// A lane at rest spends its quota's bucket a little faster with each call that is accepted; a
// [Quota] says how its rate is found; and a service that is down is probed, see [Stats].
//
// What has to come before a request ([Options.Before]: the ledger records it) begins when the request's token was
// taken. Where it lasts longer than 5 seconds, the request takes another token when it has ended, and waits for
// it. So a stall is followed by no burst.
//
// Items that are ready wait for nothing but tokens, with two exceptions. A request that could still take
// more waits while [Options.PartFilled] requests of its key are under way; and for up to
// [Options.Gather], which is for a call that takes many and is seldom allowed.
//
// No item's context rules a request that it shares: once an item is in a request, Do waits
// for that request. The request's own context ends at [Lane.Close] alone.
package lane
