package permissions_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim/iam"
	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/permissions"
)

const (
	topicARN      = "arn:aws:sns:us-east-1:123456789012:outcomes"
	queueARN      = "arn:aws:sqs:us-east-1:123456789012:commands"
	stateQueueARN = "arn:aws:sqs:us-east-1:123456789012:states"
	tableARN      = "arn:aws:dynamodb:us-east-1:123456789012:table/ledger"
)

// registered are the handlers of the services that commands may name, all or those that are wanted.
func registered(wanted func(handlers.Action) bool) (some []handlers.Handler) {
	for _, service := range worker.Services() {
		for _, h := range service(func(handlers.Location) aws.Config { return aws.Config{} }) {
			if wanted(h.Action()) {
				some = append(some, h)
			}
		}
	}
	return some
}

func every(handlers.Action) bool { return true }

// deployment is what a rig runs.
func deployment(o options, some []handlers.Handler) *permissions.Deployment {
	d := &permissions.Deployment{
		Name: "default", Account: own, Region: region, Regions: []string{region}, Handlers: some, TopicARN: topicARN,
		QueueARNs: []string{queueARN}, DeadLetterARNs: []string{queueARN + "-dlq"}, DeadLettersNamed: o.deadLetters,
		Table: table, Role: role, OtherAccounts: []string{other},
	}
	if o.inFile {
		d.Table = ""
	}
	if o.deadLetters {
		d.Role = ""
	}
	if o.states {
		d.StateQueueARN = stateQueueARN
	}
	return d
}

func rowsOf(t *testing.T, role permissions.Role, d *permissions.Deployment) []permissions.Row {
	t.Helper()
	rows, err := permissions.Rows(role, d)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// policyOf is the document of rows, as IAM would read it.
func policyOf(t *testing.T, rows []permissions.Row) *iam.Policy {
	t.Helper()
	text, err := permissions.Policy(rows).Text()
	if err != nil {
		t.Fatal(err)
	}
	p, err := iam.Parse(text)
	if err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	return p
}

// faults says what is wrong with rows for requests that were made: what the document of them does not allow, and which
// of their resources could be left out.
func faults(t *testing.T, rows []permissions.Row, made []iam.Access) (all []string) {
	t.Helper()
	p := policyOf(t, rows)
	needed := map[string]bool{}
	for _, a := range distinct(made) {
		if !p.Allows(a) {
			all = append(all, "missing: "+a.Action+" on "+a.Resource)
		}
		var by []string
		for _, row := range rows {
			for _, resource := range row.Resources {
				if !row.Deny && row.Action == a.Action && iam.Match(resource, a.Resource) {
					by = append(by, row.Feature+": "+row.Action+" on "+resource)
				}
			}
		}
		if len(by) == 1 {
			needed[by[0]] = true
		}
	}
	for _, row := range rows {
		for _, resource := range row.Resources {
			if name := row.Feature + ": " + row.Action + " on " + resource; !row.Deny && !needed[name] {
				all = append(all, "not needed: "+name)
			}
		}
	}
	return all
}

// hold fails for each fault.
func hold(t *testing.T, what string, rows []permissions.Row, made []iam.Access) {
	t.Helper()
	for _, fault := range faults(t, rows, made) {
		t.Errorf("%s: %s", what, fault)
	}
}

// ofServices leaves out what a worker needs whatever it cancels.
func ofServices(made []iam.Access) []iam.Access {
	return slices.DeleteFunc(slices.Clone(made), func(a iam.Access) bool {
		service, _, _ := strings.Cut(a.Action, ":")
		return slices.Contains([]string{"sqs", "sns", "dynamodb", "servicequotas", "sts"}, service)
	})
}

// limited is a handler of which some uses alone are known.
type limited struct {
	handlers.Handler
	uses []handlers.Use
}

func (l limited) Permissions() []handlers.Permission {
	return slices.DeleteFunc(l.Handler.(handlers.Permitter).Permissions(), func(p handlers.Permission) bool { return !slices.Contains(l.uses, p.For) })
}

// played is what an action needed in an account, by the scene.
type played map[handlers.Use][]iam.Access

var (
	playing sync.Mutex
	plays   = map[string]played{}
)

// play runs an action through the scenes in an account, once.
func play(t *testing.T, h handlers.Handler, account string) played {
	t.Helper()
	playing.Lock()
	defer playing.Unlock()
	key := account + " " + string(h.Action())
	if p := plays[key]; p != nil {
		return p
	}
	a, needed := actionNamed(h.Action()), played{}
	if a.action == "" {
		t.Fatalf("no test runs %s: add it to actions_test.go", h.Action())
	}
	for _, scene := range scenes {
		if scene.use == handlers.ToEscalate && !hasStronger(h) {
			continue
		}
		needed[scene.use] = ofServices(run(t, scene.options, func(r *rig) { r.settle(a.commands(r, account, scene.members, scene.n)...) })[account])
	}
	plays[key] = needed
	return needed
}

// actionNamed is one of those that the tests can run; the zero value where there is none of that name.
func actionNamed(name handlers.Action) (found tried) {
	for _, a := range all {
		if a.action == string(name) {
			found = a
		}
	}
	return found
}

// hasStronger reports whether a handler has a stronger action for what its own parameters say.
func hasStronger(h handlers.Handler) bool {
	_, ok := h.(handlers.Escalator)
	return ok && h.Action() != "batch:TerminateJob" && h.Action() != "swf:TerminateWorkflowExecution"
}

// needs are the accesses of all scenes of all of some handlers.
func needs(t *testing.T, some []handlers.Handler, account string) (made []iam.Access) {
	t.Helper()
	for _, h := range some {
		for _, scene := range scenes {
			made = append(made, play(t, h, account)[scene.use]...)
		}
	}
	return made
}

// TestEachUseOfEachActionNeedsItsRows: an action that is only read, that cancels, that is confirmed and that escalates
// needs the rows of these uses, and no others.
func TestEachUseOfEachActionNeedsItsRows(t *testing.T) {
	for _, h := range registered(every) {
		t.Run(string(h.Action()), func(t *testing.T) {
			needed := play(t, h, own)
			var made []iam.Access
			for i, use := range handlers.Uses() {
				made = append(made, needed[use]...)
				d := deployment(options{}, []handlers.Handler{limited{h, handlers.Uses()[:i+1]}})
				d.OtherAccounts = []string{own}
				hold(t, "up to "+string(use), rowsOf(t, permissions.Target, d), made)
			}
		})
	}
}

// engine runs what a worker does besides cancelling: many commands at once, several targets in one, a message that
// cannot be run, a command that waits for its proof, one that is held while Batch is down, and, where they are
// switched on, another account, a question for outcomes, and events, with a message that is none.
func engine(t *testing.T, o options) []iam.Access {
	t.Helper()
	o.stopsAfter = 10 * time.Minute
	return run(t, o, func(r *rig) {
		job, steps := actionNamed("batch:CancelJob"), actionNamed("emr:CancelSteps")
		commands := job.commands(r, own, `"confirm":"0s"`, 100)
		commands = append(commands, `{"id":"several","action":"emr:CancelSteps","parameters":{"ClusterId":"j-A","StepIds":["s-0","s-1"]}}`, "cancel it all")
		steps.put(r.sim, own, 0)
		steps.put(r.sim, own, 1)
		commands = append(commands, `{"id":"proved","action":"batch:CancelJob","confirm":"30m","parameters":{"jobId":"job-0"}}`)
		if !o.deadLetters {
			job.put(r.sim, other, 0)
			commands = append(commands, `{"id":"there","action":"batch:CancelJob","account":"`+other+`","parameters":{"jobId":"job-0"}}`)
		}
		if o.states {
			r.must(r.sim.Send(r.states, "no event"))
		}
		r.settle(commands...)
		r.sim.SetDown("batch", true)
		r.must(r.sim.Send(r.queue, `{"id":"held","action":"batch:CancelJob","parameters":{"jobId":"job-1"}}`))
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		r.sim.SetDown("batch", false)
		r.settle()
		_, err := r.w.Ended(r.Context(), "several", "held")
		r.must(err)
		if o.states {
			r.shownByEvents()
		}
	})[own]
}

func serviceOf(names ...string) func(handlers.Action) bool {
	return func(a handlers.Action) bool { return slices.Contains(names, a.Service()) }
}

// TestAWorkersPolicy: what is printed for a worker is what it needs and no more, by where its ledger is, how its
// dead-letter queue is known, and which services are switched on.
func TestAWorkersPolicy(t *testing.T) {
	for _, o := range []options{
		{}, {inFile: true}, {deadLetters: true}, {inFile: true, deadLetters: true}, {states: true}, {states: true, inFile: true},
	} {
		made := engine(t, o)
		names := map[string]bool{}
		for _, h := range registered(every) {
			names[h.Action().Service()] = true
		}
		for name := range names {
			some := registered(serviceOf("batch", "emr", name)) // the engine's commands are of these two
			hold(t, fmt.Sprintf("%+v with %s", o, name), rowsOf(t, permissions.Worker, deployment(o, some)), slices.Concat(made, needs(t, some, own)))
		}
		hold(t, fmt.Sprintf("%+v with all services", o), rowsOf(t, permissions.Worker, deployment(o, registered(every))), slices.Concat(made, needs(t, registered(every), own)))
	}
}

// TestAPreviewingWorkersPolicy: a worker of dry runs alone has nothing that changes a target.
func TestAPreviewingWorkersPolicy(t *testing.T) {
	d := deployment(options{}, registered(every))
	d.DryRunOnly, d.OtherAccounts = true, []string{own}
	var made []iam.Access
	for _, h := range d.Handlers {
		made = append(made, play(t, h, own)[handlers.ToRead]...)
	}
	hold(t, "dry runs", rowsOf(t, permissions.Target, d), made)
}

// TestThePolicyOfTheRoleInOtherAccounts: it is that of the services, in the other account, and the session's name is
// the one that the trust policy asks for.
func TestThePolicyOfTheRoleInOtherAccounts(t *testing.T) {
	names := []string{"batch", "emr", "fsx", "iot", "stepfunctions", "swf"}
	for i := range names {
		some := registered(serviceOf(names[i]))
		hold(t, names[i], rowsOf(t, permissions.Target, deployment(options{}, some)), needs(t, some, other))
	}
	some := registered(every)
	hold(t, "all services", rowsOf(t, permissions.Target, deployment(options{}, some)), needs(t, some, other))

	d := deployment(options{}, some)
	text, err := permissions.Trust(d, "arn:aws:iam::123456789012:role/worker").Text()
	if err != nil {
		t.Fatal(err)
	}
	trust, err := iam.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	assumed := 0
	for _, a := range engine(t, options{}) {
		if a.Action == "sts:AssumeRole" {
			assumed++
			if !trust.Allows(a) {
				t.Errorf("the trust policy does not allow %+v", a)
			}
			a.Context = map[string][]string{"sts:RoleSessionName": {"rescind-another"}}
			if trust.Allows(a) {
				t.Error("the trust policy allows another deployment's sessions")
			}
		}
	}
	if assumed == 0 {
		t.Error("the role was never assumed")
	}
}
