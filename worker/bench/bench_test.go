package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain lets the test binary play the parts, as the bench's own binary does.
func TestMain(m *testing.M) {
	if playedPart(os.Args) {
		return
	}
	goleak.VerifyTestMain(m)
}

// bounds are what 1,000 commands may cost in requests of one operation, where a contender keeps
// its promise: at least and at most.
type bounds map[string][2]float64

// Every contender ends every command, and asks for what its line in the table says it does.
// measure itself fails where an outcome or a cancelled job is missing.
func TestContendersDrain(t *testing.T) {
	const commands = 500
	// By ten means no fewer than 100 requests a thousand; receives may come back part-filled
	// where many ask at once for few messages.
	byTen, each := [2]float64{100, 400}, [2]float64{1000, 1000}
	want := map[string]bounds{
		"rescind": {
			"sqs:ReceiveMessage": byTen, "sns:PublishBatch": byTen, "sqs:DeleteMessageBatch": byTen,
			"batch:CancelJobs": {20, 200}, "batch:DescribeJobs": {10, 200}, // 50 and 100 ids a call at most
		},
		"rescind-dynamo": {
			"sqs:ReceiveMessage": byTen, "sns:PublishBatch": byTen, "sqs:DeleteMessageBatch": byTen,
			"batch:CancelJobs": {20, 200}, "batch:DescribeJobs": {10, 200},
			"dynamodb:TransactWriteItems": {30, 300}, // three writes a command, 100 a call at most
		},
		"loop": {
			"sqs:ReceiveMessage": byTen, "sns:PublishBatch": byTen, "sqs:DeleteMessageBatch": byTen,
			"batch:CancelJob": each,
		},
		"loop-bulk": {
			"sqs:ReceiveMessage": byTen, "sns:PublishBatch": byTen, "sqs:DeleteMessageBatch": byTen,
			"batch:CancelJobs": byTen,
		},
		"watermill": {
			"sqs:ReceiveMessage": byTen, "sns:Publish": each, "sqs:DeleteMessage": each, "batch:CancelJob": each,
		},
		"watermill-1": {
			"sqs:ReceiveMessage": each, "sns:Publish": each, "sqs:DeleteMessage": each, "batch:CancelJob": each,
		},
	}
	o := options{load: load{Fleet: "batch", Commands: commands, Latency: time.Millisecond}, rounds: 1, contenders: contenders}
	all, err := measureAll(t.Context(), o, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != len(want) {
		t.Fatalf("%d measurements, want one of each of %d contenders", len(all), len(want))
	}
	for _, m := range all {
		if m.Repeated != 0 {
			t.Errorf("%s published %d outcomes twice, in a simulator without faults", m.Contender, m.Repeated)
		}
		if m.Rate <= 0 || m.CPU <= 0 || m.SimulatorCPU <= 0 {
			t.Errorf("%s: nothing was measured: %+v", m.Contender, m)
		}
		for name, bound := range want[m.Contender] {
			if n := m.Requests[name]; n < bound[0] || n > bound[1] {
				t.Errorf("%s made %.0f %s for 1,000 commands, want %.0f to %.0f", m.Contender, n, name, bound[0], bound[1])
			}
		}
	}
}

// What a simulator saw is held against what was asked for.
func TestIncompleteRoundIsAnError(t *testing.T) {
	l := load{Commands: 2}
	for name, seen := range map[string]tally{
		"an outcome is missing":     {Outcomes: 2, Distinct: 1, Cancelled: 2},
		"a job was not cancelled":   {Outcomes: 2, Distinct: 2, Cancelled: 1},
		"a message was buried":      {Outcomes: 2, Distinct: 2, Cancelled: 2, Buried: 1},
		"complete, and one repeats": {Outcomes: 3, Distinct: 2, Cancelled: 2},
	} {
		m, err := seen.measurement(contenders[0], l, 0, time.Second, time.Second, spent{})
		if complete := strings.HasPrefix(name, "complete"); complete != (err == nil) {
			t.Errorf("%s: %v", name, err)
		} else if complete && m.Repeated != 1 {
			t.Errorf("%s: %d repeated, want 1", name, m.Repeated)
		}
	}
}

func TestReport(t *testing.T) {
	loop, _ := find(baseline)
	rescind, _ := find("rescind")
	o := options{load: load{Commands: 10}, rounds: 3, contenders: []contender{rescind, loop}}
	var all []measurement
	for round, rate := range []float64{100, 900, 200} {
		all = append(all,
			measurement{Contender: "rescind", Round: round + 1, Rate: 3 * rate, CPU: 5, Requests: map[string]float64{receives: 100}},
			measurement{Contender: baseline, Round: round + 1, Rate: rate, CPU: 10, Requests: map[string]float64{receives: 100, "batch:CancelJob": 900}, Empty: 7})
	}
	var table, value bytes.Buffer
	if err := writeTables(&table, o, all); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"| 600 ", "| 300–2700 ", "| 3.00× |", "| 0.50× |", "| 0.10× |", "| batch:CancelJob    | 0.0     | 900.0 |"} {
		if !strings.Contains(table.String(), part) {
			t.Errorf("%q is missing in\n%s", part, &table)
		}
	}
	if err := writeJSON(&value, o, all); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Commands int
		Medians  []measurement
		Rounds   []measurement
	}
	if err := json.Unmarshal(value.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Commands != 10 || len(got.Rounds) != 6 || len(got.Medians) != 2 || got.Medians[1].Rate != 200 || got.Medians[1].Empty != 7 {
		t.Errorf("JSON says %+v", got)
	}
}

func TestFlags(t *testing.T) {
	for _, args := range [][]string{{"-only", "kafka"}, {"-commands", "0"}, {"-rounds", "0"}, {"-latency", "-1s"}, {"-fleet", "swf"}, {"all"}} {
		if _, err := parse(args, t.Output()); err == nil {
			t.Errorf("%v was accepted", args)
		}
	}
	o, err := parse([]string{"-only", "loop, rescind", "-json"}, t.Output())
	if err != nil || len(o.contenders) != 2 || o.contenders[1].name != "rescind" || o.Commands != 20_000 || !o.json {
		t.Errorf("parse = %+v, %v", o, err)
	}
}

// commandOf reads outcomes of either kind, and nothing else.
func TestCommandOf(t *testing.T) {
	for body, want := range map[string]string{
		`{"specversion":"1.0","data":{"commandId":"a","status":"cancelled"}}`: "a",
		`{"commandId":"b","status":"accepted"}`:                               "b",
		`{"id":"c"}`:                                                          "",
		`no JSON`:                                                             "",
	} {
		if got := commandOf(body); got != want {
			t.Errorf("commandOf(%s) = %q, want %q", body, got, want)
		}
	}
}
