package command_test

import (
	"errors"
	"fmt"

	"github.com/rescindhq/rescind/worker/command"
)

func ExampleDecoder_Decode() {
	d := decoder() // command.NewDecoder with the handlers that the worker serves
	c, err := d.Decode([]byte(`{"action": "batch:CancelJob", "parameters": {"jobId": "1d828f65"}}`), command.Message{ID: "a1b2"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.ID, c.Action, c.Targets[0].ID, c.Location())

	_, err = d.Decode([]byte(`{"id": "stop-7", "action": "batch:CancelJob", "parameters": {"jobID": "1d828f65"}}`), command.Message{ID: "a1b3"})
	fmt.Println(err)
	var invalid *command.Error
	if errors.As(err, &invalid) {
		fmt.Println(invalid.Command.ID, "breaks a rule of", invalid.Field)
	}
	// Output:
	// sqs:a1b2 batch:CancelJob 1d828f65 {123456789012 us-east-1}
	// parameters.jobID is not a field of batch:CancelJob; did you mean parameters.jobId?
	// stop-7 breaks a rule of parameters.jobID
}
