package awssim_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/batch"
	batchtypes "github.com/aws/aws-sdk-go-v2/service/batch/types"
	"github.com/aws/aws-sdk-go-v2/service/emr"
	emrtypes "github.com/aws/aws-sdk-go-v2/service/emr/types"
	"github.com/aws/aws-sdk-go-v2/service/iot"
	iottypes "github.com/aws/aws-sdk-go-v2/service/iot/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/smithy-go"

	"github.com/rescindhq/rescind/internal/awssim"
)

// listable is a simulator and the configuration of its clients, which try once.
func listable(t *testing.T) (*awssim.Sim, aws.Config) {
	t.Helper()
	sim := awssim.New(awssim.Options{})
	t.Cleanup(func() {
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	cfg := sim.Config()
	cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	return sim, cfg
}

// refusedWith is AWS's code of a refusal, "" for none.
func refusedWith(err error) string {
	var refused smithy.APIError
	if errors.As(err, &refused) {
		return refused.ErrorCode()
	}
	return ""
}

// TestBatchFilters: the rows are what API_ListJobs says of its filters.
func TestBatchFilters(t *testing.T) {
	sim, cfg := listable(t)
	noon := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for i, j := range []awssim.Job{
		{ID: "a", Name: "Test1", State: "RUNNABLE", Definition: "jd1:1", Share: "blue"},
		{ID: "b", Name: "Test10", State: "SUCCEEDED", Definition: "jd1:2", Share: "blue"},
		{ID: "c", Name: "other", State: "RUNNING", Definition: "jd1A:1", Share: "red"},
		{ID: "d", Name: "test1", State: "RUNNABLE", Definition: "jd2:1"},
		{ID: "e", Name: "test1", State: "RUNNABLE", Queue: "elsewhere"},
	} {
		if j.Created = noon.Add(time.Duration(i) * time.Hour); j.Queue == "" {
			j.Queue = "q"
		}
		sim.PutJobs(j)
	}
	sim.PutJobs(awssim.Job{ID: "a:0", Parent: "a", Name: "Test1", Queue: "q"})
	at := func(hour int) string {
		return strconv.FormatInt(noon.Add(time.Duration(hour)*time.Hour).UnixMilli(), 10)
	}
	arn := "arn:aws:batch:us-east-1:123456789012:job-definition/jd1:2"
	for _, row := range []struct {
		about, filter, value string
		status               batchtypes.JobStatus
		want                 string
	}{
		{"no status is RUNNING", "", "", "", "c"},
		{"a status; children are not in the list of a queue", "", "", "RUNNABLE", "d"},
		{"an array parent is PENDING", "", "", "PENDING", "a"},
		{"a name in any case, the newest first, of any status", "JOB_NAME", "test1", "", "d a"},
		{"a name by prefix", "JOB_NAME", "test1*", "", "d b a"},
		{"the status does not count with a filter", "JOB_NAME", "test1", "RUNNING", "d a"},
		{"a definition, any revision", "JOB_DEFINITION", "jd1", "", "b a"},
		{"a definition by prefix", "JOB_DEFINITION", "jd1*", "", "c b a"},
		{"a definition is case sensitive", "JOB_DEFINITION", "JD1", "", ""},
		{"a definition by ARN", "JOB_DEFINITION", arn, "", "b"},
		{"before", "BEFORE_CREATED_AT", at(2), "", "b a"},
		{"after", "AFTER_CREATED_AT", at(1), "", "d c"},
		{"a share", "SHARE_IDENTIFIER", "blue", "", "b a"},
		{"a share, with which the status counts", "SHARE_IDENTIFIER", "blue", "SUCCEEDED", "b"},
	} {
		in := &batch.ListJobsInput{JobQueue: aws.String("q"), JobStatus: row.status}
		if row.filter != "" {
			in.Filters = []batchtypes.KeyValuesPair{{Name: aws.String(row.filter), Values: []string{row.value}}}
		}
		out, err := batch.NewFromConfig(cfg).ListJobs(t.Context(), in)
		if err != nil {
			t.Fatalf("%s: %v", row.about, err)
		}
		var got []string
		for _, j := range out.JobSummaryList {
			got = append(got, aws.ToString(j.JobId))
		}
		if strings.Join(got, " ") != row.want {
			t.Errorf("%s: %v, want %s", row.about, got, row.want)
		}
	}
}

func TestBatchRefusesWhatItDocuments(t *testing.T) {
	_, cfg := listable(t)
	client, q := batch.NewFromConfig(cfg), aws.String("q")
	name := batchtypes.KeyValuesPair{Name: aws.String("JOB_NAME"), Values: []string{"x"}}
	for about, in := range map[string]*batch.ListJobsInput{
		"neither queue nor array":  {},
		"queue and array":          {JobQueue: q, ArrayJobId: q},
		"two filters":              {JobQueue: q, Filters: []batchtypes.KeyValuesPair{name, name}},
		"no filter of this name":   {JobQueue: q, Filters: []batchtypes.KeyValuesPair{{Name: aws.String("X"), Values: []string{"x"}}}},
		"a time that is none":      {JobQueue: q, Filters: []batchtypes.KeyValuesPair{{Name: aws.String("AFTER_CREATED_AT"), Values: []string{"noon"}}}},
		"a status that there isnt": {JobQueue: q, JobStatus: "WAITING"},
	} {
		if _, err := client.ListJobs(t.Context(), in); refusedWith(err) != "ClientException" {
			t.Errorf("%s: %v", about, err)
		}
	}
}

func TestBatchPages(t *testing.T) {
	sim, cfg := listable(t)
	for i := range 2500 {
		sim.PutJobs(awssim.Job{ID: fmt.Sprint("job-", i), Queue: "q", Share: "s"})
	}
	for pages, in := range map[string]*batch.ListJobsInput{
		"1000 1000 500": {JobQueue: aws.String("q"), JobStatus: "RUNNABLE", MaxResults: aws.Int32(5000)},
		"100 100 100":   {JobQueue: aws.String("q"), JobStatus: "RUNNABLE", Filters: []batchtypes.KeyValuesPair{{Name: aws.String("SHARE_IDENTIFIER"), Values: []string{"s"}}}},
	} {
		var got []string
		for p := batch.NewListJobsPaginator(batch.NewFromConfig(cfg), in); p.HasMorePages() && len(got) < 3; {
			page, err := p.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, strconv.Itoa(len(page.JobSummaryList)))
		}
		if strings.Join(got, " ") != pages {
			t.Errorf("pages of %v, want %s", got, pages)
		}
	}
}

func TestADisabledQueueTakesNoJob(t *testing.T) {
	sim, cfg := listable(t)
	client := batch.NewFromConfig(cfg)
	sim.PutJobs(awssim.Job{ID: "a", Queue: "q"}, awssim.Job{ID: "b", Queue: "r"})
	submit := func() string {
		_, err := client.SubmitJob(t.Context(), &batch.SubmitJobInput{JobName: aws.String("n"), JobQueue: aws.String("q"), JobDefinition: aws.String("d")})
		return refusedWith(err)
	}
	if code := submit(); code != "" {
		t.Fatal(code)
	}
	if _, err := client.UpdateJobQueue(t.Context(), &batch.UpdateJobQueueInput{JobQueue: aws.String("q"), State: batchtypes.JQStateDisabled}); err != nil {
		t.Fatal(err)
	}
	if code := submit(); code != "ClientException" {
		t.Errorf("submitting to a disabled queue: %q", code)
	}
	out, err := client.DescribeJobQueues(t.Context(), &batch.DescribeJobQueuesInput{})
	if err != nil || len(out.JobQueues) != 2 || out.JobQueues[0].State != batchtypes.JQStateDisabled || out.JobQueues[1].State != batchtypes.JQStateEnabled {
		t.Errorf("%v %+v", err, out)
	}
	out, err = client.DescribeJobQueues(t.Context(), &batch.DescribeJobQueuesInput{JobQueues: []string{"r", "unknown"}})
	if err != nil || len(out.JobQueues) != 1 {
		t.Errorf("%v %+v", err, out)
	}
}

func TestEMRListsClusters(t *testing.T) {
	sim, cfg := listable(t)
	client := emr.NewFromConfig(cfg)
	for i := range 120 {
		c := awssim.Cluster{ID: fmt.Sprint("j-", i), Name: "c", Tags: map[string]string{"team": "etl"}}
		if i%2 == 1 {
			c.State = "TERMINATED"
		}
		sim.PutClusters(c)
	}
	var got []string
	for p := emr.NewListClustersPaginator(client, &emr.ListClustersInput{ClusterStates: []emrtypes.ClusterState{"WAITING", "RUNNING"}}); p.HasMorePages(); {
		page, err := p.NextPage(t.Context())
		if err != nil || len(page.Clusters) > 50 {
			t.Fatal(err, len(page.Clusters))
		}
		for _, c := range page.Clusters {
			got = append(got, aws.ToString(c.Id))
		}
	}
	if len(got) != 60 || got[1] != "j-2" {
		t.Errorf("%d: %v", len(got), got)
	}
	out, err := client.DescribeCluster(t.Context(), &emr.DescribeClusterInput{ClusterId: aws.String("j-1")})
	if err != nil || out.Cluster.Status.State != "TERMINATED" || len(out.Cluster.Tags) != 1 || aws.ToString(out.Cluster.Tags[0].Value) != "etl" {
		t.Errorf("%v %+v", err, out)
	}
}

func TestIoTListsJobsAndGroups(t *testing.T) {
	sim, cfg := listable(t)
	client := iot.NewFromConfig(cfg)
	sim.PutThingJobs(awssim.ThingJob{ID: "one"}, awssim.ThingJob{ID: "two", State: "CANCELED"}, awssim.ThingJob{ID: "three", Continuous: true})
	jobs := func(in *iot.ListJobsInput) (ids []string) {
		out, err := client.ListJobs(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range out.Jobs {
			ids = append(ids, aws.ToString(j.JobId))
		}
		return ids
	}
	if got := jobs(&iot.ListJobsInput{Status: iottypes.JobStatusInProgress}); !slices.Equal(got, []string{"one", "three"}) {
		t.Error(got)
	}
	if got := jobs(&iot.ListJobsInput{TargetSelection: iottypes.TargetSelectionContinuous}); !slices.Equal(got, []string{"three"}) {
		t.Error(got)
	}
	sim.PutThingGroups(awssim.ThingGroup{Name: "site", Things: []string{"a", "b"}, Children: []string{"floor"}}, awssim.ThingGroup{Name: "floor", Things: []string{"b", "c"}})
	for recursive, want := range map[bool]string{false: "a b", true: "a b c"} {
		var got []string
		for p := iot.NewListThingsInThingGroupPaginator(client, &iot.ListThingsInThingGroupInput{ThingGroupName: aws.String("site"), Recursive: recursive, MaxResults: aws.Int32(2)}); p.HasMorePages(); {
			page, err := p.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, page.Things...)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("recursive %v: %v, want %s", recursive, got, want)
		}
	}
	if _, err := client.ListThingsInThingGroup(t.Context(), &iot.ListThingsInThingGroupInput{ThingGroupName: aws.String("none")}); refusedWith(err) != "ResourceNotFoundException" {
		t.Error(err)
	}
}

func TestStepFunctionsListsMachines(t *testing.T) {
	sim, cfg := listable(t)
	client := sfn.NewFromConfig(cfg)
	const machine = "arn:aws:states:us-east-1:123456789012:stateMachine:"
	for i := range 150 {
		sim.PutStateMachines(awssim.StateMachine{ARN: fmt.Sprint(machine, "m-", i), Express: i == 0})
	}
	sim.PutExecutions(awssim.Execution{ARN: "arn:aws:states:us-east-1:123456789012:execution:m-1:run"})
	out, err := client.ListStateMachines(t.Context(), &sfn.ListStateMachinesInput{})
	if err != nil || len(out.StateMachines) != 100 || out.NextToken == nil || out.StateMachines[0].Type != "EXPRESS" {
		t.Fatalf("%v %d", err, len(out.StateMachines))
	}
	out, err = client.ListStateMachines(t.Context(), &sfn.ListStateMachinesInput{MaxResults: 1000})
	if err != nil || len(out.StateMachines) != 150 || out.NextToken != nil {
		t.Errorf("%v %d", err, len(out.StateMachines))
	}
	if _, err := client.ListExecutions(t.Context(), &sfn.ListExecutionsInput{StateMachineArn: aws.String(machine + "m-0")}); refusedWith(err) != "StateMachineTypeNotSupported" {
		t.Error(err)
	}
}
