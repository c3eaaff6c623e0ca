package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"

	"github.com/go-json-experiment/json"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/internal/demo"
	"github.com/rescindhq/rescind/internal/terminal"
)

// This file has what "rescind dev" and "rescind sim" share.

// simulated names the simulator's services in help texts.
const simulated = "SQS, SNS, STS, DynamoDB, Batch, EMR, FSx, IoT, Step Functions and SWF"

// outcomesNote ends what is printed at the start.
const outcomesNote = "\nOutcomes are printed on stdout, one per line. Ctrl-C stops.\n\n"

// clientSettings are settings for any AWS client of the simulator. The aws CLI, version 1, reads
// neither AWS_ENDPOINT_URL nor AWS_REGION and would call AWS itself; --endpoint-url and
// AWS_DEFAULT_REGION work with every version.
var clientSettings = []string{"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_DEFAULT_REGION=us-east-1"}

// maxJobs bounds --jobs, and so what is printed.
const maxJobs = 10_000

func checkJobs(jobs int) error {
	if jobs < 0 || jobs > maxJobs {
		return misused("--jobs must be from 0 to %d, not %d", maxJobs, jobs)
	}
	return nil
}

// newEnvironment makes an environment on the address that --addr names.
func newEnvironment(ctx context.Context, addr string, o awssim.Options) (*demo.Environment, error) {
	env, err := demo.NewEnvironment(ctx, addr, o)
	if errors.Is(err, syscall.EADDRINUSE) {
		err = fmt.Errorf("%w; stop the program that uses it, or choose another address: --addr 127.0.0.1:0 is any free port", err)
	}
	return env, err
}

// listedMost is how many targets of a service are listed on a terminal.
const listedMost = 12

// printEnvironment prints the environment's addresses, its targets, and commands to type. These wait for their
// outcomes if there is a worker to ask, at an admin address.
func printEnvironment(s screen, env *demo.Environment, targets []demo.Sample, admin string) {
	s.printf("AWS simulator: account 123456789012, us-east-1, any credentials.\n\n")
	table(s, 2, [][]string{
		{"endpoint", env.URL}, {"queue", env.QueueURL}, {"dlq", env.DeadLetterURL}, {"topic", env.TopicARN},
	})
	if len(targets) == 0 {
		return
	}
	rows := [][]string{{"target", "state", "service"}, nil}
	listed := map[string]int{}
	for _, t := range targets {
		service, _, _ := strings.Cut(t.Action, ":")
		if listed[service]++; s.width == 0 || listed[service] <= listedMost {
			rows = append(rows, []string{t.ID, t.State, service})
		}
	}
	s.printf("\n")
	table(s, len(rows[0]), rows)
	if more := len(targets) - (len(rows) - 2); more > 0 {
		s.printf("… and %d more, which a pipe or a file would list\n", more)
	}
	s.printf("\nIn another terminal:\n\n")
	settings := append([]string{"export"}, append(clientSettings, "AWS_ENDPOINT_URL="+env.URL, "RESCIND_QUEUE_URL="+env.QueueURL)...)
	if admin != "" && admin != defaultAdmin {
		settings = append(settings, "RESCIND_ADMIN_ADDR="+admin)
	}
	s.printShell(settings...)
	shown := map[string]bool{}
	for _, t := range targets {
		if !shown[t.Action] {
			words := []string{"rescind send", "--action " + t.Action}
			if admin != "" {
				words = append(words, "--wait")
			}
			s.printShell(append(words, sendFlags(t)...)...)
		}
		shown[t.Action] = true
	}
	t := targets[0]
	s.printf("\nor with the aws CLI:\n\n")
	s.printShell("aws", "--endpoint-url "+env.URL, "sqs send-message", "--queue-url "+env.QueueURL,
		fmt.Sprintf("--message-body '{\"action\":%q,\"parameters\":", t.Action), jsonText(t.Parameters)+"}'")
}

// shellWidth is what commands are folded to where there is no terminal.
const shellWidth = 80

// printShell prints a command to paste into a shell. It is folded between words, of which each is a flag
// with its value or a part of a quoted text.
func (s screen) printShell(words ...string) {
	width := s.width
	if width == 0 {
		width = shellWidth
	}
	line, quoted := " ", false
	for _, word := range words {
		end := " \\" // inside of quotes a line end is no more than a space of the JSON
		if quoted {
			end = ""
		}
		if line != " " && terminal.Width(line)+1+terminal.Width(word)+len(" \\") > width {
			fmt.Fprintln(s, line+end)
			line = "   "
		}
		line += " " + word
		quoted = quoted != (strings.Count(word, "'")%2 == 1)
	}
	fmt.Fprintln(s, line)
}

// sendFlags returns the flags of rescind send for a target's parameters.
func sendFlags(t demo.Sample) []string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(t.Parameters)) {
		value, isString := t.Parameters[name].(string)
		if !isString {
			value = "'" + jsonText(t.Parameters[name]) + "'"
		}
		words = append(words, "-p "+name+"="+value)
	}
	return words
}

// jsonText returns a value as JSON.
func jsonText(v any) string {
	text, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		panic(err) // strings, lists and booleans always marshal
	}
	return string(text)
}
