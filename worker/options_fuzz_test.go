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
		"", ",", "batch:CancelJobs=20/40", "emr:CancelSteps=0.5, emr:*=10/20,", " iot : * = 1 / 2 ", "batch:*=0",
		"a:b=1e6/0x1p3", "a:b=NaN", "a:b=Inf", "a:b=-0", "a:b=1e-320", "a:b=1/", "a:b=/1", "a:b=1/2/3", "a:b:c=1", "a:b=1,a:b=2", "a=1", ":b=1", "a:b=1_0",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		quotas, err := worker.ParseQuotas(text)
		if err != nil {
			if quotas != nil || !strings.HasPrefix(err.Error(), "quota ") || !utf8.ValidString(err.Error()) || strings.ContainsAny(err.Error(), "\n\x00") {
				t.Errorf("%v beside the error %q", quotas, err)
			}
			return
		}
		var parts []string
		for name, q := range quotas {
			service, operation, found := strings.Cut(name, ":")
			if !found || service == "" || operation == "" || service != strings.TrimSpace(service) || operation != strings.TrimSpace(operation) {
				t.Errorf("%q names no service and operation", name)
			}
			if !(q.Rate >= 0 && q.Rate <= 1e6 && q.Burst >= 0 && q.Burst <= 1e6) {
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
