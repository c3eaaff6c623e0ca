// Package demo owns what "rescind demo", "rescind dev" and "rescind sim" run besides the worker: the
// environment (the AWS simulator on a port, with the queue, the topic and their names), the fleet
// (targets in the simulator, and commands for them) and the demo (a whole run, and its check).
//
// It must not know flags, terminals, tables or signals: package main reads and prints. Only package
// main imports it.
//
// # The demo
//
// [New] makes an environment whose simulator throttles and fails, a worker on it, and a fleet. Run
// sends the fleet's commands to the queue with a real SQS client and runs the worker. The collector
// receives every outcome from a queue that is subscribed to the topic, and matches it with its command
// by event id. When every command has an outcome, some commands are sent again: each must be answered
// with the same outcome, without another call. When the queue is empty the worker is stopped.
//
// The check then compares every outcome with the state of its targets in the simulator. Each service's
// fleet file states which statuses a state allows; it restates the contract and uses no code of the
// worker. The result is a [Report], whose Problems are empty if everything is right.
//
// To add a service, write a file like fleet_fsx.go and add it to services in fleet.go.
package demo
