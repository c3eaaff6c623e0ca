package awssim_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/emr"
	"github.com/aws/aws-sdk-go-v2/service/emr/types"

	"github.com/rescindhq/rescind/internal/awssim"
	simemr "github.com/rescindhq/rescind/internal/awssim/emr"
	"github.com/rescindhq/rescind/internal/facts"
)

// withEMR runs a test in virtual time against EMR without its quotas.
func withEMR(t *testing.T, o awssim.Options, test func(*bubble, *emr.Client)) {
	t.Helper()
	if o.Quotas == nil {
		o.Quotas = map[string]awssim.Quota{"elasticmapreduce:*": {}}
		for operation := range facts.Core()["emr"].Quotas {
			o.Quotas["elasticmapreduce:"+operation] = awssim.Quota{}
		}
	}
	inBubble(t, o, func(b *bubble) {
		cfg := once(b.Config())
		test(b, emr.NewFromConfig(cfg))
	})
}

// cancelSteps returns what EMR answers for each step, "SUBMITTED" or a reason.
func (b *bubble) cancelSteps(c *emr.Client, option types.StepCancellationOption, ids ...string) ([]string, error) {
	out, err := c.CancelSteps(b.ctx, &emr.CancelStepsInput{ClusterId: aws.String("j-1"), StepIds: ids, StepCancellationOption: option})
	if err != nil {
		return nil, err
	}
	said := make([]string, len(out.CancelStepsInfoList))
	for i, info := range out.CancelStepsInfoList {
		said[i] = string(info.Status)
		if info.Status == types.CancelStepsRequestStatusFailed {
			said[i] = aws.ToString(info.Reason)
		}
		if aws.ToString(info.StepId) != ids[i] {
			b.Errorf("answer %d is about %s, want %s", i, aws.ToString(info.StepId), ids[i])
		}
	}
	return said, nil
}

func TestEMRStatesAreThoseOfTheFacts(t *testing.T) {
	want := facts.Core()["emr"]
	states, ended := make([]string, 0, len(want.States)), []string{}
	for _, s := range simemr.States() {
		states = append(states, string(s))
		if s.Ended() {
			ended = append(ended, string(s))
		}
	}
	if !slices.Equal(states, want.States) || !slices.Equal(ended, want.Terminal) {
		t.Errorf("states %v, ended %v; facts: %v, %v", states, ended, want.States, want.Terminal)
	}
}

// Every state × release × option, as facts/aws.json says (emr.cancellable,
// emr.per_item_result), where it says anything.
func TestEMRCancels(t *testing.T) {
	const submitted, never = "SUBMITTED", "This step cannot be cancelled."
	for _, row := range []struct{ release, state, said string }{
		{"emr-7.12.0", "PENDING", submitted},
		{"emr-7.12.0", "RUNNING", submitted},
		{"emr-5.28.0", "RUNNING", submitted},
		{"emr-5.27.1", "RUNNING", "Cannot cancel the step. It is already RUNNING."},
		{"emr-5.27.1", "PENDING", submitted},
		{"emr-5.0.3", "PENDING", submitted},
		{"emr-5.0.0", "PENDING", never},
		{"emr-4.8.0", "PENDING", submitted},
		{"emr-4.7.4", "PENDING", never},
		{"emr-7.12.0", "CANCEL_PENDING", submitted}, // no source
		{"emr-7.12.0", "COMPLETED", "Cannot cancel the step. It is already COMPLETED."},
		{"emr-7.12.0", "CANCELLED", "Cannot cancel the step. It is already CANCELLED."},
		{"emr-7.12.0", "FAILED", "Cannot cancel the step. It is already FAILED."},
		{"emr-7.12.0", "INTERRUPTED", never}, // no source
	} {
		for _, option := range []types.StepCancellationOption{"", "SEND_INTERRUPT", "TERMINATE_PROCESS"} {
			withEMR(t, awssim.Options{EMR: simemr.Options{StopAfter: 10 * time.Second}}, func(b *bubble, c *emr.Client) {
				b.PutClusters(awssim.Cluster{ID: "j-1", Release: row.release})
				b.PutSteps(awssim.Step{ID: "s-1", Cluster: "j-1", State: simemr.State(row.state)})
				said, err := b.cancelSteps(c, option, "s-1")
				b.must(err)
				if said[0] != row.said {
					b.Errorf("%s on %s, option %q: %q, want %q", row.state, row.release, option, said[0], row.said)
				}
				stops := row.said == submitted && row.state != "CANCEL_PENDING" // which stops by what is under way, here nothing
				for _, at := range []struct {
					after time.Duration
					state string
				}{{0, "CANCEL_PENDING"}, {10 * time.Second, "CANCELLED"}} {
					time.Sleep(at.after)
					want := row.state
					if stops {
						want = at.state
					}
					if got, _ := b.Step("j-1", "s-1"); string(got.State) != want && (stops || option == "") {
						b.Errorf("%s on %s, option %q, after %s: %s, want %s", row.state, row.release, option, at.after, got.State, want)
					}
				}
			})
		}
	}
}

// A stubborn step ignores SEND_INTERRUPT, however often, and ends by itself or by
// TERMINATE_PROCESS. One that does not run yet cannot ignore anything.
func TestEMRStubbornSteps(t *testing.T) {
	withEMR(t, awssim.Options{EMR: simemr.Options{StopAfter: time.Second}}, func(b *bubble, c *emr.Client) {
		life := []awssim.StepChange{{After: time.Hour, State: simemr.Completed}}
		b.PutSteps(
			awssim.Step{ID: "left", Cluster: "j-1", State: simemr.Running, Stubborn: true, Then: life},
			awssim.Step{ID: "killed", Cluster: "j-1", State: simemr.Running, Stubborn: true, Then: life},
			awssim.Step{ID: "waiting", Cluster: "j-1", Stubborn: true},
		)
		check := func(when string, states ...simemr.State) {
			b.Helper()
			for i, s := range b.Steps("j-1") {
				if s.State != states[i] {
					b.Errorf("%s: %s is %s, want %s", when, s.ID, s.State, states[i])
				}
			}
		}
		for range 2 {
			_, err := b.cancelSteps(c, "SEND_INTERRUPT", "left", "killed", "waiting")
			b.must(err)
		}
		time.Sleep(time.Minute)
		check("asked to stop", simemr.CancelPending, simemr.CancelPending, simemr.Cancelled)
		_, err := b.cancelSteps(c, "TERMINATE_PROCESS", "killed")
		b.must(err)
		time.Sleep(time.Second)
		check("one killed", simemr.CancelPending, simemr.Cancelled, simemr.Cancelled)
		time.Sleep(time.Hour)
		check("in the end", simemr.Completed, simemr.Cancelled, simemr.Cancelled)
	})
}

// A second cancel changes nothing of the first, TERMINATE_PROCESS included.
func TestEMRSecondCancel(t *testing.T) {
	withEMR(t, awssim.Options{EMR: simemr.Options{StopAfter: 10 * time.Second}}, func(b *bubble, c *emr.Client) {
		b.PutSteps(awssim.Step{ID: "s-1", Cluster: "j-1", State: simemr.Running})
		for _, option := range []types.StepCancellationOption{"", "SEND_INTERRUPT", "TERMINATE_PROCESS"} {
			said, err := b.cancelSteps(c, option, "s-1")
			b.must(err)
			if said[0] != "SUBMITTED" {
				b.Errorf("option %q: %s", option, said[0])
			}
			time.Sleep(3 * time.Second)
		}
		time.Sleep(time.Second)
		if s, _ := b.Step("j-1", "s-1"); s.State != simemr.Cancelled {
			b.Errorf("ten seconds after the first cancel: %s", s.State)
		}
	})
}

// One id that is not known refuses the whole request, and nothing is cancelled.
func TestEMRRefusesWhole(t *testing.T) {
	withEMR(t, awssim.Options{}, func(b *bubble, c *emr.Client) {
		ids := make([]string, 257)
		for i := range ids {
			ids[i] = fmt.Sprintf("s-%d", i)
			b.PutSteps(awssim.Step{ID: ids[i], Cluster: "j-1"})
		}
		_, err := b.cancelSteps(c, "", ids[0], "s-UNKNOWN")
		refused(b, err, "InvalidRequestException")
		_, err = b.cancelSteps(c, "", ids...)
		refused(b, err, "InvalidRequestException")
		_, err = c.CancelSteps(b.ctx, &emr.CancelStepsInput{ClusterId: aws.String("j-1"), StepIds: []string{}})
		refused(b, err, "InvalidRequestException")
		_, err = b.cancelSteps(c, "GENTLY", ids[0])
		refused(b, err, "InvalidRequestException")
		_, err = c.CancelSteps(b.ctx, &emr.CancelStepsInput{ClusterId: aws.String("j-UNKNOWN"), StepIds: ids[:1]})
		refused(b, err, "InvalidRequestException")
		for _, s := range b.Steps("j-1") {
			if s.State != simemr.Pending {
				b.Errorf("%s is %s", s.ID, s.State)
			}
		}
	})
}

func TestEMRReads(t *testing.T) {
	withEMR(t, awssim.Options{}, func(b *bubble, c *emr.Client) {
		b.PutClusters(awssim.Cluster{ID: "j-1", Release: "emr-5.28.0", Name: "nightly"})
		for i := range 120 {
			b.PutSteps(awssim.Step{ID: fmt.Sprintf("s-%d", i), Cluster: "j-1", State: simemr.States()[i%2]})
		}
		list := func(in emr.ListStepsInput) (ids []string, pages int) {
			in.ClusterId = aws.String("j-1")
			p := emr.NewListStepsPaginator(c, &in)
			for p.HasMorePages() {
				out, err := p.NextPage(b.ctx)
				b.must(err)
				pages++
				for _, s := range out.Steps {
					ids = append(ids, *s.Id)
				}
			}
			return ids, pages
		}
		if ids, pages := list(emr.ListStepsInput{}); len(ids) != 120 || pages != 3 || ids[0] != "s-119" || ids[119] != "s-0" {
			b.Errorf("all: %d in %d pages, from %s", len(ids), pages, ids[0])
		}
		if ids, pages := list(emr.ListStepsInput{StepStates: []types.StepState{"CANCEL_PENDING"}}); len(ids) != 60 || pages != 2 || ids[0] != "s-1" {
			b.Errorf("by state: %d in %d pages, from %s", len(ids), pages, ids[0])
		}
		if ids, _ := list(emr.ListStepsInput{StepIds: []string{"s-7", "unknown", "s-2", "s-7"}}); !slices.Equal(ids, []string{"s-7", "s-2"}) {
			b.Errorf("by id: %v", ids)
		}
		_, err := c.ListSteps(b.ctx, &emr.ListStepsInput{ClusterId: aws.String("j-1"), StepIds: strings.Split(strings.Repeat("s,", 10)+"s", ",")})
		refused(b, err, "InvalidRequestException")
		_, err = c.ListSteps(b.ctx, &emr.ListStepsInput{ClusterId: aws.String("j-2")})
		refused(b, err, "InvalidRequestException")

		step, err := c.DescribeStep(b.ctx, &emr.DescribeStepInput{ClusterId: aws.String("j-1"), StepId: aws.String("s-3")})
		b.must(err)
		if s := step.Step; *s.Id != "s-3" || s.Status.State != "CANCEL_PENDING" || !s.Status.Timeline.CreationDateTime.Equal(time.Now()) {
			b.Errorf("step: %+v", s)
		}
		_, err = c.DescribeStep(b.ctx, &emr.DescribeStepInput{ClusterId: aws.String("j-1"), StepId: aws.String("s-1000")})
		refused(b, err, "InvalidRequestException")
		cluster, err := c.DescribeCluster(b.ctx, &emr.DescribeClusterInput{ClusterId: aws.String("j-1")})
		b.must(err)
		if got := cluster.Cluster; *got.ReleaseLabel != "emr-5.28.0" || *got.Name != "nightly" || got.Status.State != "WAITING" {
			b.Errorf("cluster: %+v", got)
		}
	})
}

func TestEMRAddsSteps(t *testing.T) {
	withEMR(t, awssim.Options{}, func(b *bubble, c *emr.Client) {
		b.PutClusters(awssim.Cluster{ID: "j-1"})
		config := types.StepConfig{Name: aws.String("n"), HadoopJarStep: &types.HadoopJarStepConfig{Jar: aws.String("command-runner.jar")}}
		out, err := c.AddJobFlowSteps(b.ctx, &emr.AddJobFlowStepsInput{JobFlowId: aws.String("j-1"), Steps: []types.StepConfig{config, config}})
		b.must(err)
		if len(out.StepIds) != 2 || out.StepIds[0] == out.StepIds[1] || len(out.StepIds[0]) != len("s-11B5G7VIKHCZQ") {
			b.Fatalf("ids %v", out.StepIds)
		}
		said, err := b.cancelSteps(c, "", out.StepIds...)
		b.must(err)
		if !slices.Equal(said, []string{"SUBMITTED", "SUBMITTED"}) {
			b.Errorf("cancelled: %v", said)
		}
		_, err = c.AddJobFlowSteps(b.ctx, &emr.AddJobFlowStepsInput{JobFlowId: aws.String("j-2"), Steps: []types.StepConfig{config}})
		refused(b, err, "InvalidRequestException")
	})
}

// facts/aws.json: emr.quotas_per_account_region, emr.throttle. CancelSteps has 10 at once and
// then one each 2 s; all operations together 25, and 5 a second.
func TestEMRThrottles(t *testing.T) {
	withEMR(t, awssim.Options{Quotas: map[string]awssim.Quota{}}, func(b *bubble, c *emr.Client) {
		b.PutSteps(awssim.Step{ID: "s-1", Cluster: "j-1"})
		for i := range 11 {
			_, err := b.cancelSteps(c, "", "s-1")
			refused(b, err, map[bool]string{true: "ThrottlingException"}[i == 10])
		}
		time.Sleep(2 * time.Second)
		_, err := b.cancelSteps(c, "", "s-1")
		b.must(err)
		_, err = b.cancelSteps(c, "", "s-1")
		refused(b, err, "ThrottlingException")
		if err == nil || !strings.Contains(err.Error(), "Rate exceeded") {
			b.Errorf("throttled with %v", err)
		}
	})
}

// An item that a fault befalls has failed in words that EMR does not document, and nothing is
// done to its step.
func TestEMRItemFaults(t *testing.T) {
	faults := awssim.Faults{"elasticmapreduce:CancelSteps": {Items: 1, Match: func(id string) bool { return id == "s-2" }}}
	withEMR(t, awssim.Options{Faults: faults, EMR: simemr.Options{StopAfter: time.Hour}}, func(b *bubble, c *emr.Client) {
		b.PutSteps(awssim.Step{ID: "s-1", Cluster: "j-1"}, awssim.Step{ID: "s-2", Cluster: "j-1"})
		said, err := b.cancelSteps(c, "", "s-1", "s-2")
		b.must(err)
		if said[0] != "SUBMITTED" || !strings.Contains(said[1], "internal error") {
			b.Errorf("said %q", said)
		}
		if s, _ := b.Step("j-1", "s-2"); s.State != simemr.Pending {
			b.Errorf("the step that failed is %s", s.State)
		}
		if n := b.Counts()["elasticmapreduce:CancelSteps"].FailedItems; n != 1 {
			b.Errorf("%d failed items counted, want 1", n)
		}
	})
}
