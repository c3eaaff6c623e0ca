package awssim_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/rescindhq/rescind/internal/awssim"
)

// A body is read as it comes, however long the client says that it is.
func TestLengthsOfBodies(t *testing.T) {
	sim := awssim.New(awssim.Options{})
	t.Cleanup(func() { _ = sim.Close() })
	const most = 8 << 20
	list := func(padding int) io.Reader { return strings.NewReader("{" + strings.Repeat(" ", padding) + "}") }
	for _, c := range []struct {
		name   string
		body   io.Reader
		length int64
		want   int
	}{
		{"as long as said", list(0), 2, http.StatusOK},
		{"length not said", list(10_000), -1, http.StatusOK},
		{"longer than said", list(10_000), 1, http.StatusOK},
		{"much shorter than said", list(0), 1 << 50, http.StatusOK},
		{"as long as may be", list(most - 2), most, http.StatusOK},
		{"too long", list(most), most + 2, http.StatusRequestEntityTooLarge},
		{"too long and not said", list(most), -1, http.StatusRequestEntityTooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", c.body)
			r.ContentLength = c.length
			r.Header.Set("X-Amz-Target", "AmazonSQS.ListQueues")
			w := httptest.NewRecorder()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			sim.Handler().ServeHTTP(w, r)
			runtime.ReadMemStats(&after)
			if w.Code != c.want {
				t.Errorf("answered %d %s, want %d", w.Code, w.Body, c.want)
			}
			if took := after.TotalAlloc - before.TotalAlloc; took > 16*most { // of an unsaid length, the buffer has doubled on its way
				t.Errorf("it took %d bytes of memory", took)
			}
		})
	}
}

// Operations of REST are distinguished by method and path; what stands for a parameter is unescaped.
func TestRoutes(t *testing.T) {
	sim := awssim.New(awssim.Options{})
	t.Cleanup(func() { _ = sim.Close() })
	for _, c := range []struct {
		method, path string
		known        bool
	}{
		{http.MethodPost, "/v1/listjobs", true},
		{http.MethodPost, "/v1/listjobs/", true},
		{http.MethodGet, "/v1/listjobs", false},
		{http.MethodPost, "/v1/listjobs/more", false},
		{http.MethodGet, "/things/a%2Fb/jobs/j", true},
		{http.MethodGet, "/things//jobs/j", false},
		{http.MethodGet, "/things/a/jobs", true},
		{http.MethodGet, "/", false},
	} {
		r := httptest.NewRequestWithContext(t.Context(), c.method, c.path, http.NoBody)
		w := httptest.NewRecorder()
		sim.Handler().ServeHTTP(w, r)
		if known := !strings.Contains(w.Body.String(), "UnknownOperationException"); known != c.known {
			t.Errorf("%s %s: answered %d %s", c.method, c.path, w.Code, w.Body)
		}
	}
}
