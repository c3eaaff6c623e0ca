package stepfunctions

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// defaultPage is the page of ListStateMachines where the request says 0 (API_ListStateMachines); the largest is maxPage.
const defaultPage = 100

// Machine is a state machine. One that executions name is there without being put in.
type Machine struct {
	// ARN names it: "arn:aws:states:REGION:ACCOUNT:stateMachine:NAME".
	ARN string
	// Express machines do not list their executions, and AWS does not stop these.
	Express bool
	// Created defaults to now.
	Created time.Time
}

type (
	machinesInput struct {
		Most int    `json:"maxResults"`
		Next string `json:"nextToken"`
	}
	machinesOutput struct {
		Machines []machineDetail `json:"stateMachines"`
		Next     string          `json:"nextToken,omitempty"`
	}
	machineDetail struct {
		ARN     string  `json:"stateMachineArn"`
		Name    string  `json:"name"`
		Type    string  `json:"type"`
		Created float64 `json:"creationDate"`
	}
)

// PutMachines puts state machines in, or replaces those of the same ARN.
func (s *StepFunctions) PutMachines(machines ...Machine) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range machines {
		s.putMachineLocked(m, time.Now())
	}
}

func (s *StepFunctions) putMachineLocked(m Machine, now time.Time) {
	if m.Created.IsZero() {
		m.Created = now
	}
	if !slices.Contains(s.order, m.ARN) {
		s.order = append(s.order, m.ARN)
	}
	s.machines[m.ARN] = m
}

// listMachines pages through state machines, in the order in which they came (AWS's is not documented). The token is the
// place in that order.
func (s *StepFunctions) listMachines(_ context.Context, c *service.Call, in *machinesInput) (*machinesOutput, error) {
	from, err := strconv.Atoi("0" + in.Next)
	if err != nil || in.Most < 0 || in.Most > maxPage {
		return nil, service.Refuse("InvalidToken", "Invalid Token")
	}
	most := in.Most
	if most == 0 {
		most = defaultPage
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &machinesOutput{Machines: []machineDetail{}}
	for i := from; i < len(s.order); i++ {
		m := s.machines[s.order[i]]
		parts := strings.Split(m.ARN, ":")
		if len(parts) != 7 || parts[3] != c.Region || parts[4] != c.Account {
			continue
		}
		if len(out.Machines) == most {
			out.Next = strconv.Itoa(i)
			break
		}
		kind := "STANDARD"
		if m.Express {
			kind = "EXPRESS"
		}
		out.Machines = append(out.Machines, machineDetail{m.ARN, parts[6], kind, seconds(m.Created)})
	}
	return out, nil
}
