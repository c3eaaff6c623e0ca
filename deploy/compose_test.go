// Package deploy holds the tests of what Rescind is deployed by. They need no container engine:
// the compose file is read by the library that Compose itself reads it with, and its processes
// are run as they stand there, less the containers. The CloudFormation templates are rendered here and
// held to the worker, and, where CI has them, given to cfn-lint and moto_server.
package deploy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"go.uber.org/goleak"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/outcome"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if built.folder != "" {
			_ = os.RemoveAll(built.folder)
		}
		os.Exit(code)
	}))
}

// built is the binary, once it is there.
var built struct {
	once   sync.Once
	folder string
	said   []byte
	err    error
}

// binary builds rescind, once for all tests, and returns its path.
func binary(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		if built.folder, built.err = os.MkdirTemp("", "rescind-deploy"); built.err != nil {
			return
		}
		// Not with the image's flags, by which everything would be compiled anew.
		build := exec.Command("go", "build", "-o", filepath.Join(built.folder, "rescind"), "./cmd/rescind")
		build.Dir = root
		built.said, built.err = build.CombinedOutput()
	})
	if built.err != nil {
		t.Fatalf("building: %v\n%s", built.err, built.said)
	}
	return filepath.Join(built.folder, "rescind")
}

const root = ".."

// patience bounds every wait for a process, on a machine that is busy with other tests.
const patience = 30 * time.Second

// project is what Compose makes of the file, with nothing from this environment.
func project(t *testing.T) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(root, "docker-compose.yml")})
	if err != nil {
		t.Fatal(err)
	}
	p, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatalf("the compose file is not valid: %v", err)
	}
	return p
}

func TestCompose(t *testing.T) {
	p := project(t)
	if names := p.ServiceNames(); !slices.Equal(slices.Sorted(slices.Values(names)), []string{"sim", "worker"}) {
		t.Fatalf("services %v", names)
	}
	for name, s := range p.Services {
		// A service without a build has its image pulled, from where there is none.
		if s.Build == nil {
			t.Errorf("%s is not built", name)
			continue
		}
		if _, err := os.Stat(filepath.Join(s.Build.Context, s.Build.Dockerfile)); err != nil {
			t.Errorf("%s is built from nothing: %v", name, err)
		}
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes %s to other machines", name, port.Published)
			}
		}
	}
	worker := p.Services["worker"]
	ledger := strings.TrimPrefix(*worker.Environment["RESCIND_LEDGER"], "bolt:")
	if len(worker.Volumes) != 1 || worker.Volumes[0].Type != types.VolumeTypeVolume || filepath.Dir(ledger) != worker.Volumes[0].Target {
		t.Errorf("the ledger %s is on no volume: %+v", ledger, worker.Volumes)
	}
	if grace := time.Duration(*worker.StopGracePeriod); grace <= 25*time.Second {
		t.Errorf("the worker is killed after %s, before it has drained", grace)
	}
}

// The image runs the binary that it was given, in a folder that its user may write to, and that
// user is not root.
func TestDockerfile(t *testing.T) {
	text, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	stages := strings.Split(string(text), "\nFROM ")
	last := stages[len(stages)-1]
	user := regexp.MustCompile(`(?m)^USER (\d+):(\d+)$`).FindStringSubmatch(last)
	if user == nil || user[1] == "0" || user[2] == "0" {
		t.Errorf("the image's user: %v", user)
	}
	entry := regexp.MustCompile(`(?m)^ENTRYPOINT \["(.+)"\]$`).FindStringSubmatch(last)
	if entry == nil || !strings.Contains(last, "/out/rescind "+entry[1]+"\n") {
		t.Errorf("the image runs %v, which is not what is copied into it", entry)
	}
	target := project(t).Services["worker"].Volumes[0].Target
	if user != nil && !strings.Contains(last, fmt.Sprintf("--chown=%s:%s /out/state %s\n", user[1], user[2], target)) {
		t.Errorf("%s, where the ledger is, does not belong to the image's user", target)
	}
}

// TestProcesses runs what the compose file runs, with its commands and variables, and types what
// it says to type.
func TestProcesses(t *testing.T) {
	binary := binary(t)
	p := project(t)
	sim := start(t, binary, p.Services["sim"], strings.NewReplacer("0.0.0.0:4566", "127.0.0.1:0"))
	address := sim.err.find(t, `(?m)^endpoint +http://(\S+)$`)
	job := sim.err.find(t, `(?m)^(\S+) +RUNNABLE `)

	inside := strings.NewReplacer("sim:4566", address, "0.0.0.0:9464", "127.0.0.1:0", "/var/lib/rescind", t.TempDir())
	worker := start(t, binary, p.Services["worker"], inside)
	worker.err.find(t, `(taking commands)`)

	typed := p.Services["worker"]
	typed.Command = types.ShellCommand{"send", "--id", "typed", "--action", "batch:CancelJob", "-p", "jobId=" + job}
	sent := start(t, binary, typed, inside)
	if err := sent.Wait(); err != nil {
		t.Fatalf("sending: %v\n%s", err, sent.err.String())
	}
	line := sim.out.find(t, `(?m)^(\{.*\})$`)
	e, err := outcome.Parse([]byte(line))
	if err != nil || e.Data.CommandID != "typed" || e.Data.Status != handlers.Cancelled || e.Source != "/rescind/compose" {
		t.Errorf("outcome %s (%v)", line, err)
	}
	// In the order in which Compose stops what depends on what.
	for _, running := range []*process{worker, sim} {
		if err := running.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := running.Wait(); err != nil {
			t.Errorf("%s, asked to stop: %v\n%s", running.Args, err, running.err.String())
		}
	}
	if strings.Contains(worker.err.String(), "read by nothing") {
		t.Errorf("a variable is misspelt:\n%s", worker.err.String())
	}
}

// process is a service's process under way.
type process struct {
	*exec.Cmd
	out, err *said
}

// start runs a service's command in its environment and no other, with what in them only holds in
// a container replaced.
func start(t *testing.T, binary string, s types.ServiceConfig, replaced *strings.Replacer) *process {
	t.Helper()
	p := &process{Cmd: exec.CommandContext(t.Context(), binary), out: newSaid(), err: newSaid()}
	for _, word := range s.Command {
		p.Args = append(p.Args, replaced.Replace(word))
	}
	p.Env = []string{"HOME=" + t.TempDir()}
	for name, value := range s.Environment {
		p.Env = append(p.Env, name+"="+replaced.Replace(*value))
	}
	p.Stdout, p.Stderr = p.out, p.err
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// said is what a process has said so far.
type said struct {
	mu   sync.Mutex
	text string
	more chan struct{} // holds a token when something was said since it was last taken
}

func newSaid() *said { return &said{more: make(chan struct{}, 1)} }

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	s.text += string(p)
	s.mu.Unlock()
	select {
	case s.more <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text
}

// find waits until a pattern was said, and returns its first group.
func (s *said) find(t *testing.T, pattern string) string {
	t.Helper()
	sought := regexp.MustCompile(pattern)
	end := time.After(patience)
	for {
		if found := sought.FindStringSubmatch(s.String()); found != nil {
			return found[1]
		}
		select {
		case <-s.more:
		case <-end:
			t.Fatalf("%s was not said, but:\n%s", pattern, s)
		}
	}
}
