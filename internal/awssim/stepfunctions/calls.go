package stepfunctions

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// The most characters of StopExecution's fields (facts/aws.json: breadth, StopExecution).
const (
	maxARN   = 256
	maxError = 256
	maxCause = 32768
)

type (
	stopInput struct {
		ARN   string  `json:"executionArn"`
		Error *string `json:"error"`
		Cause *string `json:"cause"`
	}
	stopOutput struct {
		StopDate float64 `json:"stopDate"`
	}
	describeInput struct {
		ARN          string `json:"executionArn"`
		IncludedData string `json:"includedData"` // "", "ALL_DATA", "METADATA_ONLY"
	}
	// describeOutput has its times in seconds since 1970.
	describeOutput struct {
		ARN       string  `json:"executionArn"`
		Machine   string  `json:"stateMachineArn"`
		Name      string  `json:"name"`
		Status    State   `json:"status"`
		StartDate float64 `json:"startDate"`
		StopDate  float64 `json:"stopDate,omitzero"`
		Error     string  `json:"error,omitzero"`
		Cause     string  `json:"cause,omitzero"`
	}
)

// stop aborts an execution that has not ended. With an error or a cause it needs the
// execution's key (API_StopExecution). That PENDING_REDRIVE is stopped is not documented.
func (s *StepFunctions) stop(_ context.Context, c *service.Call, in *stopInput) (*stopOutput, error) {
	if tooLong(in.Error, maxError) || tooLong(in.Cause, maxCause) {
		return nil, service.Refuse("ValidationException", "error must have at most %d characters, cause at most %d.", maxError, maxCause)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.find(c, in.ARN)
	if err != nil {
		return nil, err
	}
	if e.KeyTrouble != "" && (in.Error != nil || in.Cause != nil) {
		return nil, e.keyless()
	}
	now := time.Now()
	switch {
	case !e.State.Ended():
		e.before, e.shown = e.State, now.Add(s.options.Lag+c.Slow(in.ARN))
		e.State, e.Ended, e.Error, e.Cause = Aborted, now, text(in.Error), text(in.Cause)
	case s.options.RefuseEnded:
		return nil, service.Refuse("ValidationException", "The execution has already ended.")
	}
	return &stopOutput{StopDate: seconds(e.Ended)}, nil
}

// describe tells of one execution. METADATA_ONLY needs no key; that it leaves out error and
// cause, encrypted or not, is not documented: a reader must do without them.
func (s *StepFunctions) describe(_ context.Context, c *service.Call, in *describeInput) (*describeOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.find(c, in.ARN)
	if err != nil {
		return nil, err
	}
	full := in.IncludedData != "METADATA_ONLY"
	if e.KeyTrouble != "" && full {
		return nil, e.keyless()
	}
	machine, name := machineOf(in.ARN)
	out := &describeOutput{ARN: in.ARN, Machine: machine, Name: name, Status: e.State, StartDate: seconds(e.Started)}
	if time.Now().Before(e.shown) {
		out.Status = e.before
		return out, nil
	}
	out.StopDate = seconds(e.Ended)
	if full {
		out.Error, out.Cause = e.Error, e.Cause
	}
	return out, nil
}

// find returns an execution of the caller's account and region. EXPRESS state machines are not
// supported, and name their executions otherwise; by which code they are refused is not
// documented.
func (s *StepFunctions) find(c *service.Call, arn string) (*execution, error) {
	parts := strings.SplitN(arn, ":", 7)
	if utf8.RuneCountInString(arn) > maxARN || len(parts) != 7 || parts[0] != "arn" || parts[2] != "states" || parts[5] != "execution" {
		return nil, service.Refuse("InvalidArn", "Invalid Arn: '%s'", arn)
	}
	e := s.executions[arn]
	if e == nil || parts[3] != c.Region || parts[4] != c.Account {
		return nil, service.Refuse("ExecutionDoesNotExist", "Execution Does Not Exist: '%s'", arn)
	}
	e.advance(time.Now())
	return e, nil
}

// keyless is how a call is refused that needs a key which is of no use.
func (e *execution) keyless() error {
	return service.Refuse(e.KeyTrouble, "The key of the execution cannot be used.")
}

// machineOf returns the ARN of an execution's state machine, and the execution's name.
func machineOf(arn string) (machine, name string) {
	end := strings.LastIndex(arn, ":")
	return strings.Replace(arn[:end], ":execution:", ":stateMachine:", 1), arn[end+1:]
}

func tooLong(s *string, most int) bool { return utf8.RuneCountInString(text(s)) > most }

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
