// Package awssim is the AWS simulator: the services that Rescind uses, on one endpoint, speaking
// the real wire protocols, so that real SDK clients and the aws CLI are what is tested. It
// runs over TCP, and over net.Pipe inside a testing/synctest bubble, where hours of quota,
// backoff and leases pass in milliseconds.
//
// A request travels like this. identify finds service, operation, account and region; an
// outage or a latency holds it; the operation decodes its parameters; a token bucket lets it
// through or throttles it; the faults that were asked for are drawn; the service does its
// work; the answer is written in the service's protocol, or the connection is cut; the
// history records it. All of that stands in this package, once. What a service is stands in
// package service; each service is a folder of its own and one line in New.
//
// Control planes follow internal/facts. SQS, SNS, STS and DynamoDB follow AWS's reference and quota
// pages, named where a number comes from; where AWS documents nothing, the comment says so.
//
// Signatures are not checked: any credentials do. The access key says in which account a
// call runs: one of twelve digits names the account itself, one that AssumeRole gave out
// names the role's account, any other belongs to [Options.Account]. Resource policies are not
// looked at: an account may use another's queue by its URL.
//
// # Faults
//
// Faults are drawn from (seed, operation, item, how often that item was seen), a whole
// request's from its smallest item, and never from the order of calls: the same work under the
// same seed meets the same faults, however its goroutines interleave. A request that was
// throttled does not count as seen, since throttling depends on time. What names a message
// before it has an id is the MD5 of its body. Requests that name no item (a receive, a
// listing) draw by what they address, the queue or the operation, and so by their number.
//
// A [Failure] is not drawn: it befalls every request that it matches, by service, target, access
// key or account, until it ends. A target that fails for ever, a role that cannot be assumed, keys
// that ran out and a firewall that closed are such.
package awssim
