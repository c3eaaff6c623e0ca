package doctor

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rescindhq/rescind/worker/buildinfo"
)

const (
	// answerWait is how long a worker may take to answer.
	answerWait = 3 * time.Second
	// answerMost bounds what is read of an answer, in bytes.
	answerMost = 4 << 20
	// reasonsMost is how many of its reasons are shown.
	reasonsMost = 5
)

// builtFrom finds what a worker was built from in its metrics. Label values that have quotes or backslashes are not ours.
var builtFrom = regexp.MustCompile(`(?m)^rescind_build_info\{([^}]*)\} 1$`)

// label finds one label.
func label(labels, name string) string {
	m := regexp.MustCompile(`(?:^|,)` + name + `="([^"]*)"`).FindStringSubmatch(labels)
	if m == nil {
		return ""
	}
	return m[1]
}

// checkProcess asks the worker at the admin address what it is and whether it takes commands.
func (d *doctor) checkProcess(ctx context.Context) []Line {
	if _, port, err := net.SplitHostPort(d.o.Admin); err != nil || port == "0" {
		return nil // the settings' fault, or an address that nobody knows
	}
	ctx, cancel := context.WithTimeout(ctx, 2*answerWait)
	defer cancel()
	transport := &http.Transport{} // and no proxy
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: answerWait}
	none := Line{"worker", d.o.Admin, Unknown, "no worker answers there", "start one (rescind worker), or name another's address: --admin-addr"}
	status, ready, err := get(ctx, client, "http://"+d.o.Admin+"/readyz")
	if err != nil {
		return []Line{none}
	}
	_, metrics, err := get(ctx, client, "http://"+d.o.Admin+"/metrics")
	m := builtFrom.FindStringSubmatch(metrics)
	if err != nil || m == nil {
		none.Says = "something answers there that is no worker of rescind"
		return []Line{none}
	}
	return []Line{d.version(label(m[1], "version"), label(m[1], "revision")), d.readiness(status, ready)}
}

func get(ctx context.Context, client *http.Client, url string) (status int, body string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, "", fmt.Errorf("asking the worker: %w", err)
	}
	answer, err := client.Do(r)
	if err != nil {
		return 0, "", fmt.Errorf("asking the worker: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	read, err := io.ReadAll(io.LimitReader(answer.Body, answerMost))
	if err != nil {
		return 0, "", fmt.Errorf("reading the worker's answer: %w", err)
	}
	return answer.StatusCode, string(read), nil
}

// version compares what the worker was built from with this binary.
func (d *doctor) version(version, revision string) Line {
	own := buildinfo.Read()
	said := "version " + cmp.Or(version, "unknown")
	if revision != "" {
		said += ", commit " + revision
	}
	if version != own.Version || revision != own.Commit {
		other := own.Version
		if own.Commit != "" {
			other += ", commit " + own.Commit
		}
		return Line{"worker version", d.o.Admin, Warning, said + ", and this binary is " + other, "run one version of both: rescind version"}
	}
	return Line{"worker version", d.o.Admin, Good, said + ", as this binary", ""}
}

// readiness is what /readyz says.
func (d *doctor) readiness(status int, ready string) Line {
	lines := strings.Split(strings.TrimSpace(ready), "\n")
	subject := d.o.Admin
	reasons := slices.DeleteFunc(lines[1:], func(line string) bool {
		return !strings.HasPrefix(line, "stops all: ") && !strings.HasPrefix(line, "fails: ") && !strings.HasPrefix(line, "warns: ")
	})
	if more := len(reasons) - reasonsMost; more > 0 {
		reasons = append(reasons[:reasonsMost:reasonsMost], fmt.Sprintf("and %d more", more))
	}
	why := strings.Join(reasons, " | ")
	do := "do what it says; all of it:\n  curl http://" + d.o.Admin + "/readyz"
	for _, url := range d.o.Preflight.QueueURLs {
		if !strings.Contains(ready, url) {
			return Line{"worker", subject, Warning, "it takes no commands from " + url, "is it a worker of this deployment? Compare RESCIND_QUEUE_URL of both"}
		}
	}
	switch {
	case status != http.StatusOK:
		return Line{"worker", subject, Mend, "it is not ready: " + why, do}
	case why != "":
		return Line{"worker", subject, Warning, "it is ready, and says: " + why, do}
	}
	return Line{"worker", subject, Good, "it is ready", ""}
}
