// Package results is SNS as a Watermill Publisher: what concurrent callers publish goes out
// together, ten messages and 256 KiB a request. It knows the wire and nothing of outcomes.
//
// A message travels like this: Publish puts it into its topic's group, which sends it with what
// waits beside it; the answer is read entry by entry; what SNS accepted is done, what is
// the message's own fault ends as a [RejectedError], anything else goes into the group again.
//
// # Down and up
//
// The first request that fails puts the publisher down, and [Publisher.Health] says why from that
// moment on. While it is down one request at a time is made, each after a full-jitter backoff
// of 200 ms growing to 5 s, and everything else waits. The first that succeeds puts the
// publisher up, and all that waited goes out at full speed. Requests that were under way when the
// state changed do not change it again. The publisher never gives up by itself: Publish ends
// with success, rejection, or the message's context.
package results
