package awssim_test

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/batch"

	"github.com/rescindhq/rescind/internal/awssim"
)

// A real SDK client against a simulator without a socket.
func ExampleSim_Config() {
	sim := awssim.New(awssim.Options{Faults: awssim.Faults{"batch:CancelJobs": {Items: 1, Times: 1, ItemCode: "ThrottlingException"}}})
	defer sim.Close()
	sim.PutJobs(awssim.Job{ID: "waiting"}, awssim.Job{ID: "running", State: "RUNNING"})

	client := batch.NewFromConfig(sim.Config())
	for range 2 {
		out, err := client.CancelJobs(context.Background(), &batch.CancelJobsInput{
			Jobs: []string{"waiting", "running", "unknown"}, Reason: aws.String("over budget"),
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(len(out.Successful), "successful,", len(out.Errors), "throttled")
	}
	for _, id := range []string{"waiting", "running"} {
		job, _ := sim.Job(id)
		fmt.Printf("%s: %s %q\n", id, job.State, job.Reason)
	}
	// Output:
	// 0 successful, 3 throttled
	// 3 successful, 0 throttled
	// waiting: FAILED "over budget"
	// running: RUNNING ""
}
