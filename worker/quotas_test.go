package worker_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zaptest/observer"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/internal/awssim/servicequotas"
	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/ledger/bolt"
)

const (
	inForceSaid  = "quotas in force, in calls a second and calls at once, by where they are from"
	notReadSaid  = "not all of the account's own quotas can be read from Service Quotas; those built in are taken for the rest (servicequotas:ListServiceQuotas would allow it)"
	theBuiltIn   = "batch:*=50/50,emr:*=5/25,emr:CancelSteps=0.5/10,emr:ListSteps=0.5/10,fsx:CancelDataRepositoryTask=5/5,fsx:DescribeDataRepositoryTasks=5/5,"
	theBuiltIn2  = "iot:CancelJob=10/10,iot:CancelJobExecution=10/10,iot:DescribeJob=10/10,iot:DescribeJobExecution=10/10,"
	ofTheAccount = "emr:*=8/40,emr:CancelSteps=2/20"
)

// own are an account's quotas of EMR, and what must not be taken for one: that of another region, half of a bucket,
// a value by the minute. Others go before them, so that they come on a second page.
func own() []servicequotas.Quota {
	var all []servicequotas.Quota
	for i := range 100 {
		all = append(all, servicequotas.Quota{Region: "us-east-1", Service: "elasticmapreduce", Code: fmt.Sprintf("L-%08d", i), Value: 1})
	}
	quota := func(region, service, code string, value float64) {
		all = append(all, servicequotas.Quota{Region: region, Service: service, Code: code, Value: value})
	}
	quota("us-east-1", "elasticmapreduce", "L-A90C264E", 2)
	quota("us-east-1", "elasticmapreduce", "L-815103CB", 20)
	quota("us-east-1", "elasticmapreduce", "L-432FAB44", 8)
	quota("us-east-1", "elasticmapreduce", "L-283CCA2A", 40)
	quota("us-east-1", "elasticmapreduce", "L-8AF88BF0", 7) // without its burst
	quota("eu-west-1", "elasticmapreduce", "L-A90C264E", 9)
	quota("eu-west-1", "elasticmapreduce", "L-815103CB", 90)
	quota("us-east-1", "iot", "L-DEC656C5", 0)
	return append(all, servicequotas.Quota{Region: "us-east-1", Service: "iot", Code: "L-5D01DB62", Value: 600, Minute: true})
}

// inForce is what the log says of the quotas of a region, by source.
func inForce(t *testing.T, logs *observer.ObservedLogs, region string) map[string]any {
	t.Helper()
	for _, e := range logs.FilterMessage(inForceSaid).All() {
		if said := e.ContextMap(); said["region"] == region {
			return said
		}
	}
	t.Fatalf("nothing is said of %s: %v", region, logs.All())
	return nil
}

// TestTheAccountsOwnQuotasAreTaken: what Service Quotas says goes over what is built in, in its region, and
// RESCIND_QUOTAS over both; the log says which is which.
func TestTheAccountsOwnQuotasAreTaken(t *testing.T) {
	logged(t, func(r *rig, logs *observer.ObservedLogs) {
		time.Sleep(time.Second)
		synctest.Wait()
		here := inForce(t, logs, "us-east-1")
		if here["serviceQuotas"] != ofTheAccount || here["RESCIND_QUOTAS"] != "batch:*=20/40" || strings.Contains(fmt.Sprint(here["builtIn"]), "emr:C") ||
			!strings.Contains(fmt.Sprint(here["builtIn"]), "emr:ListSteps=0.5/10,") || !strings.Contains(fmt.Sprint(here["builtIn"]), theBuiltIn2) {
			t.Errorf("us-east-1: %v", here)
		}
		there := inForce(t, logs, "eu-west-1")
		if there["serviceQuotas"] != "emr:CancelSteps=9/90" || there["RESCIND_QUOTAS"] != "batch:*=20/40" {
			t.Errorf("eu-west-1: %v", there)
		}
		if n := logs.FilterMessage(notReadSaid).Len(); n != 0 {
			t.Error("it says that they cannot be read")
		}
		// Twenty clusters are twenty calls: the account's burst, where the built-in one is ten.
		for i := range 20 {
			cluster := fmt.Sprintf("j-%d", i)
			r.sim.PutSteps(awssim.Step{Cluster: cluster, ID: "s-1", State: "PENDING"})
			r.send(fmt.Sprintf(`{"action":"emr:CancelSteps","parameters":{"ClusterId":%q,"StepIds":["s-1"]}}`, cluster))
		}
		began := time.Now()
		time.Sleep(time.Second)
		synctest.Wait()
		calls := 0
		for _, rec := range r.sim.History() {
			if rec.Operation == "CancelSteps" && rec.Began.Sub(began) < time.Second {
				calls++
			}
		}
		if calls < 15 {
			t.Errorf("%d calls in the first second, want nearly 20", calls)
		}
	}, func(s *awssim.Options, w *worker.Options) {
		s.ServiceQuotas, w.Regions = own(), []string{"us-east-1", "eu-west-1"}
		s.Quotas = map[string]awssim.Quota{"elasticmapreduce:*": {}, "elasticmapreduce:CancelSteps": {}}
		w.Quotas = worker.Quotas{"batch:*": {Rate: 20, Burst: 40}}
	})
}

// TestWithoutServiceQuotas: a worker that may not read its quotas, or to which nobody answers, starts within three
// seconds with those that are built in, and says so.
func TestWithoutServiceQuotas(t *testing.T) {
	for name, row := range map[string]struct {
		fault awssim.Fault
		says  string
	}{
		"no permission": {awssim.Fault{Denied: 1}, "AccessDeniedException"},
		"no answer":     {awssim.Fault{NoAnswer: 1}, "no answer within 3s"},
		"cut off":       {awssim.Fault{Unsent: 1}, "EOF"},
		"a 5xx":         {awssim.Fault{Broken: 1}, "ServiceUnavailable"},
		"a proxy":       {awssim.Fault{Middlebox: 1, Answers: []awssim.Answer{{Status: http.StatusForbidden, Body: "<html>"}}}, "not from AWS"},
	} {
		t.Run(name, func(t *testing.T) {
			logged(t, func(_ *rig, logs *observer.ObservedLogs) {
				time.Sleep(time.Second)
				synctest.Wait()
				if in := inForce(t, logs, "us-east-1"); in["serviceQuotas"] != nil || !strings.HasPrefix(fmt.Sprint(in["builtIn"]), theBuiltIn+theBuiltIn2) {
					t.Errorf("in force: %v", in)
				}
				said := logs.FilterMessage(notReadSaid).All()
				if len(said) != 1 || !strings.Contains(fmt.Sprint(said[0].ContextMap()["why"]), row.says) {
					t.Errorf("it does not say %q once: %v", row.says, said)
				}
			}, func(s *awssim.Options, _ *worker.Options) {
				s.ServiceQuotas, s.Faults = own(), awssim.Faults{"servicequotas:*": row.fault}
			})
		})
	}
}

// TestServiceQuotasAreNotWaitedFor: New takes three seconds longer at most.
func TestServiceQuotasAreNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := awssim.New(awssim.Options{Faults: awssim.Faults{"servicequotas:*": {NoAnswer: 1}}})
		queue, _, err := sim.CreateQueueWithDeadLetters("commands", 1000, nil)
		if err != nil {
			t.Fatal(err)
		}
		topic, err := sim.CreateTopic("outcomes")
		if err != nil {
			t.Fatal(err)
		}
		book, err := bolt.Open(filepath.Join(t.TempDir(), "ledger.db"), bolt.Options{NoSync: true})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err = worker.New(t.Context(), worker.Options{QueueURLs: []string{queue}, TopicARN: topic, Ledger: book, AWS: sim.Config(), Regions: []string{"us-east-1", "eu-west-1", "ap-south-1"}})
		if took := time.Since(began); err != nil || took > 3*time.Second {
			t.Errorf("after %s: %v", took, err)
		}
		if err := book.Close(); err != nil {
			t.Error(err)
		}
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
}
