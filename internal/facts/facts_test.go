package facts

import (
	"bytes"
	"os"
	"slices"
	"testing"
)

// The copy in this package is what everybody builds with; the original beside the checkout,
// where there is one, must be the same.
func TestCopyEqualsOriginal(t *testing.T) {
	const original = "../../../shared/facts/aws.json"
	want, err := os.ReadFile(original)
	if os.IsNotExist(err) {
		t.Skipf("SKIPPED: %s is not beside this checkout; put it there to compare the committed copy", original)
	}
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, document) {
		t.Errorf("internal/facts/aws.json differs from %s: copy it again", original)
	}
}

func TestCore(t *testing.T) {
	batch := Core()["batch"]
	if got := batch.CancellableBy("CancelJob"); !slices.Equal(got, []string{"SUBMITTED", "PENDING", "RUNNABLE"}) {
		t.Errorf("CancelJob stops %v", got)
	}
	if got := batch.Terminal; !slices.Equal(got, []string{"SUCCEEDED", "FAILED"}) {
		t.Errorf("terminal states: %v", got)
	}
	if batch.Batch["cancel_max"] != 50 || batch.Batch["describe_ids_max"] != 100 {
		t.Errorf("sizes: %v", batch.Batch)
	}
	if batch.Quotas["ALL_API"].Rate != 50 {
		t.Errorf("quotas: %v", batch.Quotas)
	}
	cancel := batch.Operations["CancelJobs"]
	if cancel.Wire.Path != "/v1/canceljobs" || cancel.Wire.SigningName != "batch" {
		t.Errorf("wire: %+v", cancel.Wire)
	}
	reason := cancel.Fields[slices.IndexFunc(cancel.Fields, func(f Field) bool { return f.Name == "reason" })]
	if !reason.Required || reason.Max == nil || *reason.Max != 1024 {
		t.Errorf("reason: %+v", reason)
	}
	emr := Core()["emr"].Quotas
	if emr["CancelSteps"] != (Quota{Rate: 0.5, Burst: 10}) || emr["ALL"] != (Quota{Rate: 5, Burst: 25}) {
		t.Errorf("emr quotas: %v", emr)
	}
	if got := Core()["iot"].Quotas["CancelJobExecution"].Rate; got != 10 {
		t.Errorf("iot CancelJobExecution: %v a second", got)
	}
	if got := len(Core()["fsx"].Quotas); got != 0 {
		t.Errorf("fsx publishes no rate, yet %d were read", got)
	}
}

func TestRaw(t *testing.T) {
	var codes []string
	if err := Raw(&codes, "sdk_retry", "throttle_codes"); err != nil || !slices.Contains(codes, "ThrottlingException") {
		t.Errorf("throttle codes: %v, %v", codes, err)
	}
	for _, path := range [][]string{nil, {"nothing"}, {"core", "nothing"}, {"generated", "inside"}} {
		if err := Raw(&codes, path...); err == nil {
			t.Errorf("Raw(%q) gave no error", path)
		}
	}
}
