package worker_test

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rescindhq/rescind/worker"
)

// FuzzParseQuotas: RESCIND_QUOTAS is read as quotas that a lane can keep, and mean the same
// when they are written out and read again; or it is refused with what is wrong with it.
func FuzzParseQuotas(f *testing.F) {
	for _, text := range []string{
		"", ",", "batch:CancelJobs=20/40", "emr:CancelSteps=0.5, emr:*=10/20,", " iot : * = 1 / 2 ", "batch:*=0", "batch:CancelJob=1,swf:TerminateWorkflowExecution=2",
		"fsx:*=1e6/0x1p3", "fsx:*=NaN", "fsx:*=Inf", "fsx:*=-0", "fsx:*=1e-320", "fsx:*=1/", "fsx:*=/1", "fsx:*=1/2/3", "a:b:c=1", "fsx:*=1,fsx:*=2", "a=1", ":b=1", "fsx:*=1_0", "a,b=1,batch:*=1",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		quotas, err := worker.ParseQuotas(text)
		if err != nil {
			for _, each := range err.(interface{ Unwrap() []error }).Unwrap() {
				if quotas != nil || !strings.HasPrefix(each.Error(), "quota ") || !utf8.ValidString(each.Error()) || strings.ContainsAny(each.Error(), "\n\x00") {
					t.Errorf("%v beside the error %q", quotas, each)
				}
			}
			return
		}
		var parts []string
		for name, q := range quotas {
			service, operation, found := strings.Cut(name, ":")
			if !found || service == "" || operation == "" || service != strings.TrimSpace(service) || operation != strings.TrimSpace(operation) {
				t.Errorf("%q names no service and operation", name)
			}
			if !(q.Rate > 0 && q.Rate <= 1e6 && q.Burst > 0 && q.Burst <= 1e6) {
				t.Errorf("%s has %+v", name, q)
			}
			number := func(n float64) string { return strconv.FormatFloat(n, 'g', -1, 64) }
			parts = append(parts, fmt.Sprintf("%s=%s/%s", name, number(q.Rate), number(q.Burst)))
		}
		again, err := worker.ParseQuotas(strings.Join(parts, " , "))
		if err != nil || !maps.Equal(again, quotas) {
			t.Errorf("%v, written out and read again, is %v, %v", quotas, again, err)
		}
	})
}
