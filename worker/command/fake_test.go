package command_test

import (
	"regexp"
	"strings"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/command"
)

var own = handlers.Location{Account: "123456789012", Region: "us-east-1"}

func decoder() *command.Decoder { return command.NewDecoder(fakes(), own) }

// fakes are four actions, which between them have every kind of field.
func fakes() []handlers.Handler {
	ids := regexp.MustCompile("[a-zA-Z0-9_-]+")
	idRule := "must hold only letters, digits, _ and -"
	return []handlers.Handler{
		fake{action: "batch:CancelJob", fields: []handlers.Field{
			{Name: "jobId", Kind: handlers.String, Required: true, Text: handlers.Text{Min: 1}},
			{Name: "reason", Kind: handlers.String, Required: true, Reason: true, Text: handlers.Text{Max: 1024}},
		}},
		escalating{fake{action: "emr:CancelSteps", fields: []handlers.Field{
			{Name: "ClusterId", Kind: handlers.String, Required: true, Text: handlers.Text{Min: 1, Max: 256}},
			{Name: "StepIds", Kind: handlers.Strings, Required: true, MinItems: 1, MaxItems: 256, Unique: true, Text: handlers.Text{Min: 1, Max: 256}},
			{Name: "StepCancellationOption", Kind: handlers.String, Text: handlers.Text{Enum: []string{"SEND_INTERRUPT", "TERMINATE_PROCESS"}}},
		}}},
		fake{action: "iot:CancelJobExecution", fields: []handlers.Field{
			{Name: "jobId", Kind: handlers.String, Required: true, Text: handlers.Text{Min: 1, Max: 64, Pattern: ids, Rule: idRule}},
			{Name: "force", Kind: handlers.Boolean},
			{Name: "expectedVersion", Kind: handlers.Long},
			{Name: "jobArn", Kind: handlers.String, ARN: handlers.IsARN, Text: handlers.Text{Min: 1}},
			{Name: "statusDetails", Kind: handlers.StringMap, MinItems: 1, MaxItems: 10, Text: handlers.Text{Min: 1, Max: 8}, KeyText: handlers.Text{Min: 1, Max: 8, Pattern: ids, Rule: idRule}},
		}},
		fake{action: "swf:TerminateWorkflowExecution", fields: []handlers.Field{
			{Name: "workflowId", Kind: handlers.String, Required: true, Text: handlers.Text{Min: 1, Pattern: regexp.MustCompile("w|w1")}},
			{Name: "reason", Kind: handlers.String, Reason: true, Text: handlers.Text{Max: 8}},
		}},
	}
}

// fake is a handler as far as a decoder asks one: its target is the first required parameter,
// and it refuses a jobId that begins "arn:", a rule that fields cannot say.
type fake struct {
	handlers.Handler
	action handlers.Action
	fields []handlers.Field
}

func (f fake) Action() handlers.Action  { return f.action }
func (f fake) Fields() []handlers.Field { return f.fields }

func (f fake) Targets(p handlers.Parameters) ([]handlers.Target, error) {
	id := p.Text(f.fields[0].Name)
	if strings.HasPrefix(id, "arn:") {
		return nil, &handlers.FieldError{Field: "parameters.jobId", Rule: "must be an id, not an ARN"}
	}
	return []handlers.Target{{ID: id}}, nil
}

// escalating has a stronger action than SEND_INTERRUPT.
type escalating struct{ fake }

func (f escalating) Targets(p handlers.Parameters) ([]handlers.Target, error) {
	targets, err := f.fake.Targets(p)
	for i := range targets {
		targets[i].Params = p.Text("StepCancellationOption")
	}
	return targets, err
}

func (f escalating) Stronger(t handlers.Target) (handlers.Stronger, bool) {
	return handlers.Stronger{Action: f.action, Target: t}, t.Params != "TERMINATE_PROCESS"
}

func (f escalating) OnlyStronger(handlers.Reading) bool { return false }
