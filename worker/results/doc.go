// Package results is SNS as a Watermill Publisher: messages of concurrent callers are published
// together, up to ten messages and 256 KiB a request. It knows nothing of outcomes.
//
// Publish puts a message into its topic's group, which sends it with the messages that wait. SNS
// answers entry by entry: an accepted message is done; one that SNS rejects for a fault of its own
// ends as a [RejectedError]; any other goes into the group again.
//
// # Down and up
//
// The first request that fails puts the publisher down, and [Publisher.Health] says why. While it is
// down, one request at a time is made, each after a full-jitter backoff of 200 ms growing to 5 s, and
// all else waits. The first that succeeds puts the publisher up. Requests that were under way when
// the state changed do not change it again. Publish ends with success, rejection, the end of the
// message's context, or Close.
package results
