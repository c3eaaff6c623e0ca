package stepfunctions

import (
	"cmp"
	"context"
	"slices"
	"strconv"
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
	maxPage  = 1000 // executions on a page of ListExecutions; also where the request says 0
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
	listInput struct {
		Machine string `json:"stateMachineArn"`
		Status  State  `json:"statusFilter"` // "" is all
		Most    int    `json:"maxResults"`
		Next    string `json:"nextToken"`
	}
	listOutput struct {
		Executions []describeOutput `json:"executions"`
		Next       string           `json:"nextToken,omitempty"`
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
		e.past.Note(e.Execution, now)
		e.before, e.shown = e.State, now.Add(s.options.Lag+c.Slow(in.ARN))
		e.State, e.Ended, e.Error, e.Cause = Aborted, now, text(in.Error), text(in.Cause)
		e.changed()
	case s.options.RefuseEnded:
		return nil, service.Refuse("ValidationException", "The execution has already ended.")
	}
	return &stopOutput{StopDate: seconds(e.Ended)}, nil
}

// describe returns one execution. METADATA_ONLY needs no key; that it leaves out error and
// cause, encrypted or not, is not documented: a reader must do without them.
func (s *StepFunctions) describe(_ context.Context, c *service.Call, in *describeInput) (*describeOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.find(c, in.ARN)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	was, ok := e.past.AsOf(e.Execution, e.Started, now, c.Stale(in.ARN))
	if !ok {
		return nil, absent(in.ARN)
	}
	full := in.IncludedData != "METADATA_ONLY"
	if e.KeyTrouble != "" && full {
		return nil, e.keyless()
	}
	machine, name := machineOf(in.ARN)
	out := &describeOutput{ARN: in.ARN, Machine: machine, Name: name, Status: was.State, StartDate: seconds(was.Started)}
	if now.Before(e.shown) && was.State == e.State {
		out.Status = e.before
		return out, nil
	}
	out.StopDate = seconds(was.Ended)
	if full {
		out.Error, out.Cause = was.Error, was.Cause
	}
	return out, nil
}

// list lists the executions of a state machine, the newest first, eventually consistent as descriptions are
// (API_ListExecutions). The token is the place in that order, which holds while none comes. A machine is known by its
// executions.
func (s *StepFunctions) list(_ context.Context, c *service.Call, in *listInput) (*listOutput, error) {
	from, err := strconv.Atoi("0" + in.Next)
	if err != nil || in.Most < 0 || in.Most > maxPage {
		return nil, service.Refuse("InvalidToken", "Invalid Token")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if machine, known := s.machines[in.Machine]; known && machine.Express {
		// "This operation is not supported by express state machines." (API_ListExecutions)
		return nil, service.Refuse("StateMachineTypeNotSupported", "This operation is not supported by this type of state machine")
	}
	var all []describeOutput
	for _, arn := range s.of[in.Machine] {
		e, parts := s.executions[arn], strings.SplitN(arn, ":", 7)
		if machine, name := machineOf(arn); parts[3] == c.Region && parts[4] == c.Account {
			e.advance(now)
			was, ok := e.past.AsOf(e.Execution, e.Started, now, c.Stale(arn))
			state := was.State
			if now.Before(e.shown) && state == e.State {
				state = e.before
			}
			if ok && (in.Status == "" || in.Status == state) {
				all = append(all, describeOutput{ARN: arn, Machine: machine, Name: name, Status: state, StartDate: seconds(was.Started), StopDate: seconds(was.Ended)})
			}
		}
	}
	slices.SortFunc(all, func(a, b describeOutput) int {
		return cmp.Or(cmp.Compare(b.StartDate, a.StartDate), strings.Compare(a.ARN, b.ARN))
	})
	all = all[min(from, len(all)):]
	out := &listOutput{Executions: all}
	if most := cmp.Or(in.Most, maxPage); len(all) > most {
		out.Executions, out.Next = all[:most], strconv.Itoa(from+most)
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
		return nil, absent(arn)
	}
	e.advance(time.Now())
	return e, nil
}

func absent(arn string) error {
	return service.Refuse("ExecutionDoesNotExist", "Execution Does Not Exist: '%s'", arn)
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
