// Package doctor checks a deployment from outside: its queues, topic, ledger, permissions, clock and quotas, and the worker
// that runs on it. It owns what is good, and what is to be done about the rest. It changes nothing on AWS and on the disk,
// receives no message, and must not know flags or terminals.
//
// A value travels like this. [Options] has what a worker would be given. [Run] reads all that can be read, side by side:
// what keeps a worker from starting is found by package preflight, in its own words ([preflight.Each]), and the rest is read
// here. Each finding becomes a [Line]. A check that may not be made is a line too, [Unknown], which names the
// permission that it needs; it keeps no other check from being made.
//
// The facts about AWS are from its API references, named where a number or a rule comes from. None was tried on AWS itself.
package doctor
