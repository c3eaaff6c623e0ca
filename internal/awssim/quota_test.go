package awssim

import (
	"testing"
	"time"
)

// A bucket of so much a second lets through its burst and then its rate, to the request.
func TestBucketsAreExact(t *testing.T) {
	const every = time.Millisecond
	for _, c := range []struct {
		name      string
		quotas    map[string]Quota
		operation string
		lasts     time.Duration
		want      int
	}{
		// The last of the requests comes a millisecond before the time is over.
		{"the default for Batch", nil, "CancelJobs", 10 * time.Second, 50 + 499},
		{"its own under the service's", map[string]Quota{"batch:CancelJobs": {Rate: 10, Burst: 20}}, "CancelJobs", 10 * time.Second, 20 + 99},
		{"the service's over its own", map[string]Quota{"batch:*": {Rate: 5, Burst: 1}, "batch:CancelJobs": {Rate: 10, Burst: 20}}, "CancelJobs", 10 * time.Second, 1 + 49},
		{"half a call a second", map[string]Quota{"batch:CancelJobs": {Rate: 0.5, Burst: 10}}, "CancelJobs", 100 * time.Second, 10 + 49},
		{"no limit", map[string]Quota{"batch:*": {}}, "CancelJobs", time.Second, 1000},
		{"no burst given", map[string]Quota{"batch:*": {}, "batch:CancelJobs": {Rate: 7}}, "CancelJobs", time.Second, 7 + 6},
	} {
		l := newLimiter(c.quotas)
		now, passed := time.Now(), 0
		for at := time.Duration(0); at < c.lasts; at += every {
			if l.take(now.Add(at), "batch", c.operation, "1", "r") {
				passed++
			}
		}
		if passed != c.want {
			t.Errorf("%s: %d passed, want %d", c.name, passed, c.want)
		}
	}
}

// What one bucket refuses takes nothing from the other.
func TestRefusalTakesNothing(t *testing.T) {
	l := newLimiter(map[string]Quota{"batch:*": {Rate: 1, Burst: 3}, "batch:CancelJobs": {Rate: 1, Burst: 1}})
	now := time.Now()
	for i, want := range []bool{true, false, false, false} {
		if got := l.take(now, "batch", "CancelJobs", "1", "r"); got != want {
			t.Errorf("CancelJobs %d: %v", i, got)
		}
	}
	for i, want := range []bool{true, true, false} {
		if got := l.take(now, "batch", "DescribeJobs", "1", "r"); got != want {
			t.Errorf("DescribeJobs %d: %v", i, got)
		}
	}
	if !l.take(now, "batch", "DescribeJobs", "2", "r") || !l.take(now, "batch", "DescribeJobs", "1", "s") {
		t.Error("another account or region shares the bucket")
	}
	l.set("batch:*", Quota{Rate: 1, Burst: 1})
	if !l.take(now, "batch", "DescribeJobs", "1", "r") {
		t.Error("a quota that was set anew does not start full")
	}
}
