package worker_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	simbatch "github.com/rescindhq/rescind/internal/awssim/batch"
	simemr "github.com/rescindhq/rescind/internal/awssim/emr"
	simfsx "github.com/rescindhq/rescind/internal/awssim/fsx"
	simiot "github.com/rescindhq/rescind/internal/awssim/iot"
	simsfn "github.com/rescindhq/rescind/internal/awssim/stepfunctions"
	simswf "github.com/rescindhq/rescind/internal/awssim/swf"
	"github.com/rescindhq/rescind/internal/facts"
)

// absent stands for the state of what AWS does not know.
const absent = "absent"

// preview is a target in one state, and a command for it.
type preview struct {
	action, state string
	about         string // what else there is to its state, or to the command
	parameters    string // JSON
	put           func(*awssim.Sim)
	options       awssim.Options
	// unknown is a part of the message where there is no prediction.
	unknown string
	// real is what a real command comes to where that is not the prediction, which is accepted then.
	real handlers.Status
}

func (p preview) String() string {
	return strings.TrimSpace(strings.Join([]string{p.action, p.state, p.about}, " "))
}

// command is a command for it.
func (p preview) command(id string, dryRun bool) string {
	return fmt.Sprintf(`{"id":%q,"action":%q,"parameters":%s,"dryRun":%t}`, id, p.action, p.parameters, dryRun)
}

// stopsLater are options under which nothing stops at once.
var stopsLater = awssim.Options{
	Batch: simbatch.Options{StopAfter: 10 * time.Second},
	EMR:   simemr.Options{StopAfter: 10 * time.Second},
	FSx:   simfsx.Options{StopAfter: 10 * time.Second},
	IoT:   simiot.Options{StopAfter: 10 * time.Second},
	SWF:   simswf.Options{ObeyAfter: 10 * time.Second},
}

// previews are all states of all services' targets, with all that a command can say which matters.
func previews() []preview {
	return slices.Concat(
		batchPreviews("batch:CancelJob"), batchPreviews("batch:TerminateJob"), emrPreviews(), fsxPreviews(),
		executionPreviews(), jobPreviews(), stepFunctionsPreviews(),
		swfPreviews("swf:RequestCancelWorkflowExecution"), swfPreviews("swf:TerminateWorkflowExecution"),
	)
}

func batchPreviews(action string) (all []preview) {
	add := func(about string, o awssim.Options, comesTo handlers.Status, jobs ...awssim.Job) {
		p := preview{
			action: action, state: absent, about: about, options: o, real: comesTo,
			parameters: `{"jobId":"job","reason":"over budget"}`, put: func(s *awssim.Sim) { s.PutJobs(jobs...) },
		}
		if len(jobs) > 0 {
			p.state = string(jobs[0].State)
		}
		all = append(all, p)
	}
	for _, state := range simbatch.States() {
		add("", stopsLater, "", awssim.Job{ID: "job", State: state})
		if state != simbatch.Succeeded {
			add("cancelled by others", stopsLater, "", awssim.Job{ID: "job", State: state, Cancelled: true, Reason: "theirs"})
			add("terminated by others", stopsLater, "", awssim.Job{ID: "job", State: state, Terminated: true, Reason: "theirs"})
			add("cancelled with the same reason", stopsLater, "", awssim.Job{ID: "job", State: state, Cancelled: true, Reason: "over budget"})
		}
	}
	add("with children that run", stopsLater, "", awssim.Job{ID: "job", State: "PENDING"}, awssim.Job{ID: "job:0", Parent: "job", State: "RUNNING"})
	add("", stopsLater, "")
	add("on a Batch that stops it before it can be read", awssim.Options{}, handlers.Cancelled, awssim.Job{ID: "job", State: "RUNNABLE"})
	return all
}

func emrPreviews() (all []preview) {
	add := func(state, release, option string, comesTo handlers.Status) {
		p := preview{
			action: "emr:CancelSteps", state: state, about: strings.TrimSpace(release + " " + option), options: stopsLater, real: comesTo,
			parameters: `{"ClusterId":"j-1","StepIds":["s-1"]}`,
			put: func(s *awssim.Sim) {
				s.PutClusters(awssim.Cluster{ID: "j-1", Release: release})
				if state != absent {
					s.PutSteps(awssim.Step{ID: "s-1", Cluster: "j-1", State: simemr.State(state)})
				}
			},
		}
		if option != "" {
			p.parameters = `{"ClusterId":"j-1","StepIds":["s-1"],"StepCancellationOption":"` + option + `"}`
		}
		all = append(all, p)
	}
	for _, state := range append(facts.Core()["emr"].States, absent) {
		for _, option := range []string{"", "SEND_INTERRUPT", "TERMINATE_PROCESS"} {
			add(state, "emr-7.12.0", option, "")
		}
	}
	add("RUNNING", "emr-5.27.1", "", handlers.NotCancellable)
	add("PENDING", "emr-5.27.1", "", "")
	add("PENDING", "emr-5.0.0", "", handlers.NotCancellable)
	several := preview{
		action: "emr:CancelSteps", state: absent, about: "several steps of one cluster", options: stopsLater,
		parameters: `{"ClusterId":"j-1","StepIds":["PENDING","RUNNING","COMPLETED","CANCELLED","nobody's","INTERRUPTED"]}`,
		put: func(s *awssim.Sim) {
			s.PutClusters(awssim.Cluster{ID: "j-1", Release: "emr-7.12.0"})
			for _, state := range simemr.States() {
				s.PutSteps(awssim.Step{ID: string(state), Cluster: "j-1", State: state})
			}
		},
	}
	elsewhere := preview{
		action: "emr:CancelSteps", state: absent, about: "a cluster that is not there", options: stopsLater,
		parameters: `{"ClusterId":"j-2","StepIds":["s-1"]}`, put: func(*awssim.Sim) {}, unknown: "Cluster id 'j-2' is not valid",
	}
	return append(all, several, elsewhere)
}

const task = "task-0123456789abcdef0"

func fsxPreviews() (all []preview) {
	add := func(state, kind, unknown string) {
		all = append(all, preview{
			action: "fsx:CancelDataRepositoryTask", state: state, about: kind, options: stopsLater, unknown: unknown,
			parameters: `{"TaskId":"` + task + `"}`,
			put: func(s *awssim.Sim) {
				if state != absent {
					s.PutTasks(awssim.Task{ID: task, State: simfsx.State(state), Type: kind})
				}
			},
		})
	}
	for _, state := range append(facts.Core()["fsx"].States, absent) {
		add(state, "", "")
	}
	add("EXECUTING", simfsx.AutoRelease, "AUTO_RELEASE_DATA")
	add("SUCCEEDED", simfsx.AutoRelease, "")
	return all
}

func executionPreviews() (all []preview) {
	for _, state := range append(facts.Core()["iot"].States, absent) {
		for _, force := range []bool{false, true} {
			for _, version := range []int{0, 3, 4} { // none, the right one, another
				p := preview{
					action: "iot:CancelJobExecution", state: state, about: fmt.Sprintf("force %t, expectedVersion %d", force, version), options: stopsLater,
					parameters: fmt.Sprintf(`{"thingName":"t","jobId":"j","force":%t,"expectedVersion":%d}`, force, version),
					put: func(s *awssim.Sim) {
						if state != absent {
							s.PutJobExecutions(awssim.JobExecution{Thing: "t", Job: "j", State: simiot.State(state), Version: 3})
						}
					},
				}
				if version == 0 {
					p.parameters = fmt.Sprintf(`{"thingName":"t","jobId":"j","force":%t}`, force)
				}
				if state == "IN_PROGRESS" && !force && version == 4 {
					p.unknown = "which of the two it looks at first"
				}
				all = append(all, p)
			}
		}
	}
	return all
}

func jobPreviews() (all []preview) {
	for _, state := range append(simiot.JobStates(), absent) {
		for _, force := range []bool{false, true} {
			all = append(all, preview{
				action: "iot:CancelJob", state: string(state), about: fmt.Sprintf("force %t", force), options: stopsLater,
				parameters: fmt.Sprintf(`{"jobId":"j","force":%t}`, force),
				put: func(s *awssim.Sim) {
					if state != absent {
						s.PutThingJobs(awssim.ThingJob{ID: "j", State: state})
					}
				},
			})
		}
	}
	return all
}

const executionARN = "arn:aws:states:us-east-1:123456789012:execution:machine:one"

func stepFunctionsPreviews() (all []preview) {
	for _, refuses := range []bool{false, true} {
		for _, state := range append(simsfn.States(), absent) {
			p := preview{
				action: "stepfunctions:StopExecution", state: string(state), about: fmt.Sprintf("refuses what has ended: %t", refuses),
				options: awssim.Options{StepFunctions: simsfn.Options{RefuseEnded: refuses}}, parameters: `{"executionArn":"` + executionARN + `"}`,
				put: func(s *awssim.Sim) {
					if state != absent {
						s.PutExecutions(awssim.Execution{ARN: executionARN, State: state})
					}
				},
			}
			if state != simsfn.Running && state != absent {
				p.unknown = "not "
			}
			all = append(all, p)
		}
	}
	return all
}

func swfPreviews(action string) (all []preview) {
	add := func(about string, named bool, runs ...awssim.Workflow) {
		p := preview{
			action: action, state: absent, about: fmt.Sprintf("%s, run named: %t", about, named), options: stopsLater,
			parameters: `{"domain":"d","workflowId":"w"}`, put: func(s *awssim.Sim) { s.PutWorkflows(runs...) },
		}
		if len(runs) > 0 {
			p.state = "OPEN"
			if runs[0].Close != "" {
				p.state = "CLOSED/" + string(runs[0].Close)
			}
		}
		if named {
			p.parameters = `{"domain":"d","workflowId":"w","runId":"r"}`
		}
		all = append(all, p)
	}
	for _, named := range []bool{true, false} {
		run := awssim.Workflow{Domain: "d", WorkflowID: "w", RunID: "r"}
		add("", named, run)
		for _, how := range simswf.CloseStatuses() {
			closed := run
			closed.Close = how
			add("", named, closed)
		}
		asked := run
		asked.CancelRequested = true
		add("cancel requested", named, asked)
		add("unknown domain", named)
		other := run
		other.WorkflowID = "another"
		add("unknown workflow", named, other)
		all[len(all)-1].state = absent
	}
	return all
}
