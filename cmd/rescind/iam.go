package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/command"
	"github.com/rescindhq/rescind/worker/permissions"
)

// iamCmd is `rescind iam`. Its flags are the worker's own where the worker has them, with the same variables.
type iamCmd struct {
	For string `arg:"" name:"role" enum:"worker,sender,operator,auditor,target-account-role,state-queue" help:"Whose policy: worker, sender, operator, auditor, target-account-role, or state-queue."`

	Services   []string `name:"services" help:"Services whose commands are run, comma separated (default: all)."`
	DryRunOnly bool     `name:"dry-run-only" help:"For a worker that only previews: nothing that stops work is allowed."`
	Trust      bool     `name:"trust" help:"Print the trust policy of target-account-role instead. It needs --worker-role."`

	QueueURL   []string `name:"queue-url" env:"RESCIND_QUEUE_URL" help:"Queues of commands, comma separated. A sender and an operator use the first."`
	Topic      string   `name:"results-topic-arn" aliases:"topic-arn" env:"RESCIND_RESULTS_TOPIC_ARN" help:"Topic that outcomes are published to."`
	DLQ        string   `name:"dlq-url" env:"RESCIND_DLQ_URL" help:"Queue for messages that cannot be run."`
	StateQueue string   `name:"state-queue-url" env:"RESCIND_STATE_QUEUE_URL" help:"Queue of AWS's events of state changes (default: none)."`
	RedriveARN []string `name:"redrive-arn" help:"ARN of the queue's own redrive target, if --dlq-url is not set; a worker has one for each queue."`
	Ledger     string   `name:"ledger" env:"RESCIND_LEDGER" default:"bolt:rescind.db" help:"bolt:PATH or dynamodb:TABLE."`
	Name       string   `name:"name" env:"RESCIND_NAME" default:"default" help:"Name of this deployment."`
	Region     string   `name:"region" help:"The worker's own region (default: AWS_REGION, or that of the profile)."`
	Regions    []string `name:"regions" env:"RESCIND_REGIONS" help:"Regions that commands may name (default: the worker's own)."`
	Account    string   `name:"account" help:"The worker's own account (default: that of the queue)."`
	OtherRole  string   `name:"role" env:"RESCIND_ROLE" help:"Role for other accounts, such as arn:aws:iam::{account}:role/NAME."`
	Others     []string `name:"other-accounts" help:"Accounts that have that role, comma separated (default: any)."`
	WorkerRole string   `name:"worker-role" help:"ARN of the worker's own role, for --trust."`
	RuleARN    []string `name:"rule-arn" help:"ARN of the EventBridge rule that sends to the state queue, for state-queue; several for several rules."`
}

// Help is printed by "rescind iam --help" above the flags.
func (*iamCmd) Help() string {
	return `Prints the IAM policy that a role needs for what is switched on, and no more. In the worker's own environment it is
that worker's policy. It asks AWS nothing. Roles:
  worker                runs commands
  sender                rescind send, with --wait if the ledger is a table
  operator              rescind dlq: list, send, purge
  auditor               reads the ledger's table, without the deployment's key
  target-account-role   the role that a worker assumes in another account
And of a queue, for its Policy attribute:
  state-queue           lets the rule of --rule-arn send to the state queue, and nobody else

Services: ` + strings.Join(serviceNames(), ", ") + `.`
}

// Run prints a policy, or what is missing to make one.
func (c *iamCmd) Run(ctx context.Context, s streams) error {
	if c.For == ofStateQueue {
		return c.printStateQueue(ctx, s)
	}
	d, err := c.deployment(ctx)
	if err != nil {
		return err
	}
	role := permissions.Role(c.For)
	if c.Trust {
		return c.printTrust(s, d)
	}
	rows, err := permissions.Rows(role, d)
	if err != nil {
		return err
	}
	policy := permissions.Policy(rows)
	switch size, err := policy.Size(); {
	case err != nil:
		return err
	case size > permissions.MaxSize:
		return fmt.Errorf("this policy has %d characters, and IAM takes %d of a managed policy: print one for some of the --services, another for the rest, and attach both", size, permissions.MaxSize)
	}
	return printPolicy(s, policy)
}

func (c *iamCmd) printTrust(s streams, d *permissions.Deployment) error {
	arn, ok := handlers.ParseARN(c.WorkerRole)
	if permissions.Role(c.For) != permissions.Target {
		return misused("--trust is for target-account-role: what may take the role of a %s is for who runs it to say", c.For)
	}
	if !ok || arn.Service != "iam" || !strings.HasPrefix(arn.Resource, "role/") {
		return misused("--worker-role must be the ARN of the worker's own role, like arn:aws:iam::123456789012:role/rescind-worker, not %q", c.WorkerRole)
	}
	return printPolicy(s, permissions.Trust(d, c.WorkerRole))
}

func printPolicy(s streams, d permissions.Document) error {
	text, err := d.Text()
	if err != nil {
		return err
	}
	if _, err := s.out.Write(text); err != nil {
		return fmt.Errorf("writing the policy: %w", err)
	}
	return nil
}

// deployment is what the flags say, or everything that the role's policy needs to know and they do not say.
func (c *iamCmd) deployment(ctx context.Context) (*permissions.Deployment, error) {
	d := &permissions.Deployment{Name: c.Name, DryRunOnly: c.DryRunOnly, OtherAccounts: trimmed(c.Others)}
	role := permissions.Role(c.For)
	var faults []string
	need := func(err error) {
		if err != nil {
			faults = append(faults, err.Error())
		}
	}
	need(c.placed(ctx, d))
	need(c.served(d))
	if role == permissions.Worker || role == permissions.Sender || role == permissions.Operator {
		need(c.queues(d))
	}
	d.Account = cmp.Or(c.Account, d.Account)
	switch role {
	case permissions.Worker:
		need(c.deadLetters(d))
		need(c.stateQueue(d))
		need(c.topic(d))
		need(c.otherRole(d))
	case permissions.Operator:
		need(c.deadLetter(d))
	case permissions.Auditor:
		if !strings.HasPrefix(c.Ledger, "dynamodb:") {
			need(errors.New("an auditor reads the ledger's table: set --ledger (RESCIND_LEDGER) to dynamodb:TABLE; a file needs no policy"))
		}
	case permissions.Sender, permissions.Target:
	}
	if role != permissions.Target && role != permissions.Operator {
		need(c.table(d))
	}
	if !accountID.MatchString(d.Account) && (role == permissions.Worker || d.Table != "") {
		need(fmt.Errorf("the worker's own account is not known: set --account to its twelve digits, not %q", d.Account))
	}
	for _, each := range d.OtherAccounts {
		if !accountID.MatchString(each) {
			need(fmt.Errorf("--other-accounts names %q: an account has twelve digits", each))
		}
	}
	if len(faults) > 0 {
		return nil, misused("%s", strings.Join(faults, "\n"))
	}
	return d, nil
}

// accountID is the form of an account's number.
var accountID = regexp.MustCompile(`^\d{12}$`)

// placed sets the regions.
func (c *iamCmd) placed(ctx context.Context, d *permissions.Deployment) error {
	d.Region = c.Region
	if d.Region == "" {
		cfg, err := config.LoadDefaultConfig(ctx)
		if err != nil {
			return fmt.Errorf("reading the AWS configuration: %w", err)
		}
		d.Region = cfg.Region
	}
	if d.Region == "" {
		return errors.New("no AWS region: set --region, AWS_REGION, or region in the profile")
	}
	if d.Regions = trimmed(c.Regions); len(d.Regions) == 0 {
		d.Regions = []string{d.Region}
	}
	for _, each := range append(slices.Clone(d.Regions), d.Region) {
		if !regionForm.MatchString(each) {
			return fmt.Errorf("%q is no AWS region: set --region to one like us-east-1", each)
		}
	}
	return nil
}

// regionForm keeps what would change an ARN's meaning out of it.
var regionForm = regexp.MustCompile(`^[a-z0-9-]+$`)

// served sets the handlers of the services.
func (c *iamCmd) served(d *permissions.Deployment) error {
	wanted, known := trimmed(c.Services), serviceNames()
	for _, each := range wanted {
		if !slices.Contains(known, each) {
			hint := "they are " + strings.Join(known, ", ")
			if near := command.Nearest(each, known); near != "" {
				hint = "did you mean " + near + "?"
			}
			return fmt.Errorf("--services names %q, which Rescind does not cancel on: %s", each, hint)
		}
	}
	for _, h := range allHandlers() {
		if len(wanted) == 0 || slices.Contains(wanted, h.Action().Service()) {
			d.Handlers = append(d.Handlers, h)
		}
	}
	return nil
}

// serviceNames are the services that commands may name.
func serviceNames() (names []string) {
	for _, h := range allHandlers() {
		names = append(names, h.Action().Service())
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (c *iamCmd) queues(d *permissions.Deployment) error {
	urls := trimmed(c.QueueURL)
	if len(urls) == 0 {
		return errNoQueue
	}
	for _, each := range urls {
		arn, account, err := queueARN("--queue-url (RESCIND_QUEUE_URL)", each, d.Region)
		if err != nil {
			return err
		}
		d.QueueARNs, d.Account = append(d.QueueARNs, arn), cmp.Or(d.Account, account)
	}
	return nil
}

func (c *iamCmd) deadLetters(d *permissions.Deployment) error {
	if given := strings.TrimSpace(c.DLQ); given != "" {
		arn, _, err := queueARN("--dlq-url (RESCIND_DLQ_URL)", given, d.Region)
		d.DeadLetterARNs, d.DeadLettersNamed = []string{arn}, true
		return err
	}
	d.DeadLetterARNs = trimmed(c.RedriveARN)
	if len(d.DeadLetterARNs) == 0 {
		return errors.New("the dead-letter queue is not known: set --dlq-url (RESCIND_DLQ_URL), or --redrive-arn to the deadLetterTargetArn of the queue's redrive policy")
	}
	for _, each := range d.DeadLetterARNs {
		if arn, ok := handlers.ParseARN(each); !ok || arn.Service != "sqs" || strings.ContainsAny(each, "*? ") {
			return fmt.Errorf("--redrive-arn must be the ARN of an SQS queue, like arn:aws:sqs:us-east-1:123456789012:commands-dlq, not %q", each)
		}
	}
	return nil
}

// deadLetter sets the one dead-letter queue that rescind dlq reads.
func (c *iamCmd) deadLetter(d *permissions.Deployment) error {
	if err := c.deadLetters(d); err != nil || len(d.DeadLetterARNs) == 1 {
		return err
	}
	return errors.New("rescind dlq reads one dead-letter queue: set --redrive-arn to that of the first queue alone")
}

func (c *iamCmd) stateQueue(d *permissions.Deployment) (err error) {
	if given := strings.TrimSpace(c.StateQueue); given != "" {
		d.StateQueueARN, _, err = queueARN("--state-queue-url (RESCIND_STATE_QUEUE_URL)", given, d.Region)
	}
	return err
}

func (c *iamCmd) topic(d *permissions.Deployment) error {
	d.TopicARN = strings.TrimSpace(c.Topic)
	if arn, ok := handlers.ParseARN(d.TopicARN); !ok || arn.Service != "sns" || strings.ContainsAny(d.TopicARN, "*? ") {
		return fmt.Errorf("--results-topic-arn (RESCIND_RESULTS_TOPIC_ARN) must be the ARN of an SNS topic, like arn:aws:sns:us-east-1:123456789012:outcomes, not %q", c.Topic)
	}
	return nil
}

// roleForm is what RESCIND_ROLE must look like; the worker checks more at start.
var roleForm = regexp.MustCompile(`^arn:aws[a-z-]*:iam::\{account\}:role/[\w+=,.@/-]+$`)

func (c *iamCmd) otherRole(d *permissions.Deployment) error {
	d.Role = c.OtherRole
	if d.Role != "" && !roleForm.MatchString(d.Role) {
		return fmt.Errorf("RESCIND_ROLE must be the ARN of a role with {account} for the account, as in arn:aws:iam::{account}:role/rescind, not %q", d.Role)
	}
	return nil
}

func (c *iamCmd) table(d *permissions.Deployment) error {
	switch kind, rest, _ := strings.Cut(c.Ledger, ":"); {
	case kind == "dynamodb" && tableName.MatchString(rest):
		d.Table = rest
		return nil
	case kind == "bolt" && rest != "":
		return nil
	}
	return fmt.Errorf("RESCIND_LEDGER must be bolt:PATH or dynamodb:TABLE, not %q", c.Ledger)
}

// queueNameForm is what SQS takes for a queue's name ("CreateQueue", SQS API Reference).
var queueNameForm = regexp.MustCompile(`^[\w-]{1,80}$`)

// queueARN is the ARN of the queue that a URL names by its account and its name.
func queueARN(variable, given, region string) (arn, account string, err error) {
	u, err := url.Parse(given)
	if err == nil && u.Host != "" {
		parts := strings.Split(strings.Trim(u.Path, "/"), "/")
		if len(parts) >= 2 {
			account, name := parts[len(parts)-2], parts[len(parts)-1]
			if accountID.MatchString(account) && queueNameForm.MatchString(name) {
				return "arn:" + handlers.PartitionOf(region) + ":sqs:" + region + ":" + account + ":" + name, account, nil
			}
		}
	}
	return "", "", fmt.Errorf("%s must be the URL of a standard SQS queue, like https://sqs.us-east-1.amazonaws.com/123456789012/commands, not %q", variable, given)
}
