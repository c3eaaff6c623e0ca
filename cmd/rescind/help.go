package main

import (
	"fmt"

	"github.com/alecthomas/kong"
)

// examples are printed at the end of each subcommand's help, and of those below it.
var examples = map[string]string{
	"demo": `  rescind demo
  rescind demo --targets 500 --json`,
	"dev": `  rescind dev
  rescind dev --addr 127.0.0.1:0 --jobs 2    # on any free port`,
	"sim": `  rescind sim
  rescind sim --addr 127.0.0.1:4567 --latency 50ms`,
	"worker": `  rescind worker \
    --queue-url https://sqs.us-east-1.amazonaws.com/123456789012/commands \
    --results-topic-arn arn:aws:sns:us-east-1:123456789012:outcomes
  rescind worker --ledger dynamodb:rescind --quotas batch:CancelJob=10/20`,
	"send": `  rescind send --action batch:CancelJob \
    -p jobId=1d828f65-7a4d-42e8-996d-3b900ed59dc4 --reason "over budget" --wait
  rescind send --action emr:CancelSteps \
    -p ClusterId=j-2AXXXXXXGAPLF -p 'StepIds=["s-1A2B3C4D5E6F7"]'
  rescind send commands.jsonl --campaign over-budget
  make-commands | rescind send - --json --wait --ledger dynamodb:rescind`,
	"cancel": `  rescind cancel batch --queue nightly --submitted-before 12:00
  rescind cancel batch --queue gpu --job-name 'train-*' --stop-running --dry-run
  rescind cancel swf --domain orders --tag bad-release --until-empty --yes`,
	"plan": `  rescind plan batch --queue nightly --submitted-before 12:00
  rescind plan batch --queue gpu --job-name 'train-*' --stop-running`,
	"apply": `  rescind apply batch-20261130T071500Z.plan.jsonl
  rescind apply bad-release.plan.jsonl --rate 50/s --max 5000
  rescind apply bad-release.plan.jsonl --dry-run --yes --json`,
	"report": `  rescind report over-budget --html over-budget.html
  rescind report over-budget --csv | head
  rescind report over-budget --retry again.plan.jsonl`,
	"history": `  rescind history 1d828f65-7a4d-42e8-996d-3b900ed59dc4
  rescind history s-1A2B3C4D5E6F7 --ledger dynamodb:rescind --json`,
	"dlq": `  rescind dlq list
  rescind dlq send --field parameters.jobId --dry-run
  rescind dlq send --id 6f1c0a52-1 --new-id
  rescind dlq purge --reason 'action is unknown*' --json`,
	"doctor": `  rescind doctor    # in the environment of the worker
  rescind doctor --worker-role arn:aws:iam::123456789012:role/rescind-worker
  rescind doctor --services batch,emr --json`,
	"schema": `  rescind schema command
  rescind schema outcome`,
	"iam": `  rescind iam worker    # in the environment of the worker
  rescind iam worker --region us-east-1 --services batch,emr \
    --queue-url https://sqs.us-east-1.amazonaws.com/123456789012/commands \
    --dlq-url https://sqs.us-east-1.amazonaws.com/123456789012/commands-dlq \
    --results-topic-arn arn:aws:sns:us-east-1:123456789012:outcomes
  rescind iam auditor --account 123456789012 --ledger dynamodb:rescind
  rescind iam target-account-role --services batch
  rescind iam state-queue \
    --rule-arn arn:aws:events:us-east-1:123456789012:rule/rescind-states
  rescind iam target-account-role --trust \
    --worker-role arn:aws:iam::123456789012:role/rescind-worker`,
	"version": `  rescind version
  rescind version --json`,
	"completion": `  source <(rescind completion bash)      # in ~/.bashrc
  source <(rescind completion zsh)       # in ~/.zshrc, after compinit
  rescind completion fish | source       # in ~/.config/fish/config.fish`,
}

// printHelp prints Kong's help, and then examples.
func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
		return fmt.Errorf("printing help: %w", err)
	}
	if selected := ctx.Selected(); selected != nil && examplesOf(selected) != "" {
		_, err := fmt.Fprintf(ctx.Stdout, "\nExamples:\n%s\n", examplesOf(selected))
		return err
	}
	return nil
}

// examplesOf returns the examples of a subcommand. Those of a service's selection are in the service's own folder.
func examplesOf(node *kong.Node) string {
	if node.Target.IsValid() && node.Target.CanAddr() {
		if own, ok := node.Target.Addr().Interface().(interface{ Examples() string }); ok {
			return own.Examples()
		}
	}
	if path := pathOf(node); len(path) > 0 {
		return examples[path[0]]
	}
	return ""
}
