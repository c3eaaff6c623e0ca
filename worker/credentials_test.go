package worker_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
)

const (
	home   = "123456789012"
	second = "222222222222"
	third  = "333333333333"
	// lasting is how long credentials are good for here, so that an outage of them is felt.
	lasting = 30 * time.Second
	agentAt = "169.254.170.2"
)

// trip is how a peer answers in place of what it should; nil: as it should.
type trip func(*http.Request) (*http.Response, error)

func replies(status int, kind, id, body string) trip {
	return func(r *http.Request) (*http.Response, error) {
		h := http.Header{"Content-Type": {kind}}
		if id != "" {
			h.Set("X-Amzn-Requestid", id)
		}
		return &http.Response{
			StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h, Request: r,
			Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
		}, nil
	}
}

func hangs(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// stalls answers with a beginning, and no more until the caller leaves.
func stalls(beginning string) trip {
	return func(r *http.Request) (*http.Response, error) {
		answer, err := replies(200, "", "", "")(r)
		answer.ContentLength, answer.Body = -1, io.NopCloser(io.MultiReader(strings.NewReader(beginning), rest{r}))
		return answer, err
	}
}

// rest is what does not come of the body of the answer to a request.
type rest struct{ of *http.Request }

func (r rest) Read([]byte) (int, error) {
	<-r.of.Context().Done()
	return 0, r.of.Context().Err()
}

// middle stands between a worker and the AWS simulator. It is also the agent that gives the worker its
// own credentials, and what can be made to answer in its place, in that of STS, or of anybody.
type middle struct {
	aws aws.HTTPClient

	mu      sync.Mutex
	agent   trip
	roles   map[string]trip               // by account
	another func(*http.Request, int) trip // asked about every other request, with its number
	asked   map[string]int                // retrievals by account
	others  int
}

func (m *middle) Do(r *http.Request) (*http.Response, error) {
	if r.URL.Host == agentAt {
		return m.count(home, r, func(r *http.Request) (*http.Response, error) {
			return replies(200, "application/json", "", fmt.Sprintf(`{"AccessKeyId":%q,"SecretAccessKey":"s","Token":"t","Expiration":%q}`,
				home, time.Now().Add(lasting).UTC().Format(time.RFC3339Nano)))(r)
		})
	}
	if role := m.role(r); role != "" {
		return m.count(role, r, m.assume)
	}
	m.mu.Lock()
	m.others++
	n, another := m.others, m.another
	m.mu.Unlock()
	if another != nil {
		if t := another(r, n); t != nil {
			return t(r)
		}
	}
	return m.aws.Do(r)
}

func (m *middle) count(account string, r *http.Request, well trip) (*http.Response, error) {
	m.mu.Lock()
	m.asked[account]++
	ill := m.agent
	if account != home {
		ill = m.roles[account]
	}
	m.mu.Unlock()
	if ill != nil {
		return ill(r)
	}
	return well(r)
}

// role is the account whose role a request asks for; "": none.
func (m *middle) role(r *http.Request) string {
	if r.Body == nil || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return ""
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return ""
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	form, err := url.ParseQuery(string(body))
	if err != nil || form.Get("Action") != "AssumeRole" {
		return ""
	}
	return strings.Split(form.Get("RoleArn"), ":")[4]
}

var expiration = regexp.MustCompile(`<Expiration>[^<]*</Expiration>`)

// assume has the simulator give a role's credentials, and makes them expire soon.
func (m *middle) assume(r *http.Request) (*http.Response, error) {
	answer, err := m.aws.Do(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		return nil, err
	}
	soon := "<Expiration>" + time.Now().Add(lasting).UTC().Format(time.RFC3339Nano) + "</Expiration>"
	body = expiration.ReplaceAll(body, []byte(soon))
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	answer.Header.Del("Content-Length")
	return answer, nil
}

func (m *middle) set(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

func (m *middle) retrievals(account string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.asked[account]
}

// betweenOf runs a test on a rig whose worker has its credentials, and everything else, by way of a
// middle, for three accounts.
func betweenOf(t *testing.T, test func(r *rig, m *middle, log *observer.ObservedLogs)) {
	t.Helper()
	core, log := observer.New(zap.InfoLevel)
	inBubble(t, func(r *rig) {
		r.must(r.stop())
		cfg := r.sim.Config()
		m := &middle{aws: cfg.HTTPClient, roles: map[string]trip{}, asked: map[string]int{}}
		cfg.HTTPClient = m
		cfg.Credentials = endpointcreds.New("http://"+agentAt+"/credentials", func(o *endpointcreds.Options) {
			o.HTTPClient, o.Retryer = m, aws.NopRetryer{}
		})
		r.start(worker.Options{AWS: cfg, Role: "arn:aws:iam::{account}:role/rescind", Log: zap.New(core)})
		test(r, m, log)
	}, func(s *awssim.Options, _ *worker.Options) { s.Latency, s.History = 20*time.Millisecond, false })
}

// order puts the i-th target in, in one of three accounts and in one of several states, and returns the
// command for it; its id begins with the account.
func order(r *rig, i int) string {
	at := []string{home, second, third}[i%3]
	action, params := "batch:CancelJob", fmt.Sprintf(`{"jobId":"job-%d","reason":"over budget"}`, i)
	switch i / 3 % 5 {
	case 0:
		r.sim.PutJobs(awssim.Job{Account: at, ID: fmt.Sprintf("job-%d", i), State: "SUCCEEDED"})
	case 1: // a job that nobody knows
	case 2:
		r.sim.PutJobExecutions(awssim.JobExecution{Account: at, Thing: fmt.Sprintf("thing-%d", i), Job: "job", State: "QUEUED"})
		action, params = "iot:CancelJobExecution", fmt.Sprintf(`{"thingName":"thing-%d","jobId":"job"}`, i)
	default:
		r.sim.PutJobs(awssim.Job{Account: at, ID: fmt.Sprintf("job-%d", i), State: "RUNNABLE"})
	}
	return fmt.Sprintf(`{"id":"%s-%d","action":%q,"parameters":%s,"account":%q}`, at, i, action, params, at)
}

// campaign sends commands for 100 seconds, makes an outage of a minute in their midst, and returns
// how each ended. What begins the outage and what ends it may be nil.
func campaign(r *rig, commands int, begins, ends func()) map[string]string {
	const from, lasts = 15, 60
	perSecond := commands / 100
	for i := 0; i < commands; i += perSecond {
		switch second := i / perSecond; {
		case second == from && begins != nil:
			begins()
		case second == from+lasts && ends != nil:
			ends()
		}
		for k := range perSecond {
			r.send(order(r, i+k))
		}
		time.Sleep(time.Second)
	}
	synctest.Wait()
	ended := map[string]string{}
	for id, d := range r.settled(commands, 20*time.Minute) {
		ended[id] = fmt.Sprintf("%s %s %s", d.Status, d.Verdict, d.Code)
		for _, t := range d.Targets {
			ended[id] += fmt.Sprintf("; %s %s %s", t.ID, t.Status, t.Code)
		}
	}
	return ended
}

// TestNoCredentialsForAMinuteChangeNothing: each way in which an agent gives the worker no
// credentials for a minute, while commands in three accounts are under way (2,000 in full size), leaves every one
// of them with the end that it has without.
func TestNoCredentialsForAMinuteChangeNothing(t *testing.T) {
	t.Parallel()
	commands := size(2000, 300)
	var want map[string]string
	betweenOf(t, func(r *rig, _ *middle, _ *observer.ObservedLogs) { want = campaign(r, commands, nil, nil) })
	for name, how := range map[string]trip{
		"refuses":    replies(403, "application/json", "", `{"code":"AccessDeniedException","message":"no role"}`),
		"empty":      replies(200, "application/json", "", ""),
		"hangs":      hangs,
		"wrong JSON": replies(200, "application/json", "", "null"),
		"a page":     replies(200, "text/html", "", "<html>Please log in.</html>"),
		"stalls":     stalls(`{"AccessKeyId":"A","Secret`),
		"expired":    replies(200, "application/json", "", `{"AccessKeyId":"A","SecretAccessKey":"s","Token":"t","Expiration":"1999-12-31T23:59:59Z"}`),
	} {
		t.Run(name, func(t *testing.T) {
			betweenOf(t, func(r *rig, m *middle, log *observer.ObservedLogs) {
				var before, after int
				got := campaign(r, commands,
					func() { m.set(func() { m.agent = how; before = m.asked[home] }) },
					func() { m.set(func() { m.agent = nil; after = m.asked[home] }) })
				if !maps.Equal(got, want) {
					differ(t, got, want)
				}
				if asked := after - before; asked < 3 || asked > 60 {
					t.Errorf("the agent was asked %d times in a minute", asked)
				}
				lines := log.FilterMessageSnippet("credentials cannot be had").FilterField(zap.String("name", "the worker's own"))
				if lines.Len() != 1 || log.FilterMessageSnippet("credentials can be had again").FilterField(zap.String("name", "the worker's own")).Len() != 1 {
					t.Errorf("of the worker's own credentials the log says %v", log.FilterMessageSnippet("credentials").All())
				}
				if others := log.FilterMessageSnippet("get"); others.Len() > 0 { // one cause is one line
					t.Errorf("of what wants them the log says %v", others.All())
				}
			})
		})
	}
}

func differ(t *testing.T, got, want map[string]string) {
	t.Helper()
	n := 0
	for id, w := range want {
		if g := got[id]; g != w {
			if n++; n <= 5 {
				t.Errorf("%s: %s, want %s", id, g, w)
			}
		}
	}
	t.Errorf("%d of %d commands ended otherwise", n, len(want))
}

// took is the sum of the times from sending to the outcome of an account's commands.
func (r *rig) took(accounts ...string) (sum time.Duration) {
	for _, a := range accounts {
		_, all := r.latencies(a + "-")
		for _, each := range all {
			sum += each
		}
	}
	return sum
}

// TestOneAccountWithoutCredentialsSlowsNoOther: the same for one account's role.
func TestOneAccountWithoutCredentialsSlowsNoOther(t *testing.T) {
	t.Parallel()
	commands := size(2000, 300)
	var want map[string]string
	var alone time.Duration
	betweenOf(t, func(r *rig, _ *middle, _ *observer.ObservedLogs) {
		want = campaign(r, commands, nil, nil)
		alone = r.took(home, third)
	})
	denied := `<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not authorized to perform: sts:AssumeRole</Message></Error><RequestId>r-1</RequestId></ErrorResponse>`
	for name, how := range map[string]trip{
		"refuses": replies(403, "text/xml", "r-1", denied),
		"empty":   replies(200, "text/xml", "r-1", ""),
		"hangs":   hangs,
		"JSON":    replies(200, "application/json", "", `{"AccessKeyId":null}`),
		"a page":  replies(403, "text/html", "", "<html>no</html>"),
		"none":    replies(200, "text/xml", "r-1", "<AssumeRoleResponse><AssumeRoleResult/></AssumeRoleResponse>"),
		"stalls":  stalls("<AssumeRoleResponse><Assu"),
		"expired": replies(200, "text/xml", "r-1", `<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>s</SecretAccessKey>
			<SessionToken>t</SessionToken><Expiration>1999-12-31T23:59:59Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`),
	} {
		t.Run(name, func(t *testing.T) {
			betweenOf(t, func(r *rig, m *middle, log *observer.ObservedLogs) {
				got := campaign(r, commands,
					func() { m.set(func() { m.roles[second] = how }) },
					func() { m.set(func() { delete(m.roles, second) }) })
				if !maps.Equal(got, want) {
					differ(t, got, want)
				}
				others := r.took(home, third)
				t.Logf("the others took %.4f times as long as without", others.Seconds()/alone.Seconds())
				if others.Seconds() > 1.02*alone.Seconds() {
					t.Errorf("the others took %s, and %s without", others, alone)
				}
				const role = "arn:aws:iam::222222222222:role/rescind"
				if log.FilterMessageSnippet("credentials cannot be had").FilterField(zap.String("name", role)).Len() != 1 {
					t.Errorf("of the role the log says %v", log.FilterMessageSnippet("credentials").All())
				}
				if log.FilterMessageSnippet("credentials cannot be had").Len() != 1 {
					t.Errorf("of other credentials the log says %v", log.FilterMessageSnippet("credentials").All())
				}
			})
		})
	}
}

// TestARoleThatIsNeverAnsweredOnce: STS takes the first request for a role, and answers only later ones.
func TestARoleThatIsNeverAnsweredOnce(t *testing.T) {
	betweenOf(t, func(r *rig, m *middle, _ *observer.ObservedLogs) {
		first := true
		m.set(func() {
			m.roles[second] = func(req *http.Request) (*http.Response, error) {
				m.mu.Lock()
				hang := first
				first = false
				m.mu.Unlock()
				if hang {
					return hangs(req)
				}
				return m.assume(req)
			}
		})
		for i := range 30 {
			r.send(order(r, i))
		}
		began := time.Now()
		got := r.settled(30, time.Minute)
		if took := time.Since(began); took > 25*time.Second {
			t.Errorf("all ended after %s", took)
		}
		for id, d := range got {
			if d.Status == handlers.Failed || d.Status == handlers.Denied {
				t.Errorf("%s ended %s: %s", id, d.Status, d.Message)
			}
		}
		if n := m.retrievals(second); n < 2 || n > 4 {
			t.Errorf("the role was asked for %d times", n)
		}
	})
}

// isPlane says whether a request is a control plane's: neither SQS's, SNS's nor STS's.
func isPlane(r *http.Request) bool {
	by := r.Header.Get("Authorization")
	return !strings.Contains(by, "/sqs/") && !strings.Contains(by, "/sns/") && !strings.Contains(by, "/sts/")
}

// TestNobodysWordForEightSeconds: what answers in AWS's place, or AWS about a clock, ends no command.
func TestNobodysWordForEightSeconds(t *testing.T) {
	t.Parallel()
	for name, how := range map[string]trip{
		"403 with a page":       replies(403, "text/html", "", "<html>no</html>"),
		"407":                   replies(407, "text/plain", "", ""),
		"404 with nothing":      replies(404, "text/plain", "", ""),
		"301":                   replies(301, "text/html", "", "<html>moved</html>"),
		"200 with a page":       replies(200, "text/html", "", "<html>Please log in.</html>"),
		"RequestInTheFuture":    replies(403, "application/json", "r-1", `{"__type":"RequestInTheFuture","message":"no"}`),
		"RequestTimeTooSkewed":  replies(403, "application/json", "r-1", `{"__type":"RequestTimeTooSkewed","message":"no"}`),
		"401":                   replies(401, "text/plain", "", "Who are you?"),
		"413 with a page":       replies(413, "text/html", "", "<html>too large</html>"),
		"429 with a page":       replies(429, "text/html", "", "<html>slow down</html>"),
		"half a refusal":        replies(400, "application/json", "r-1", `{"__type":"ThrottlingExc`),
		"expired token":         replies(400, "application/json", "r-1", `{"__type":"ExpiredTokenException","message":"The security token included in the request is expired"}`),
		"unknown token":         replies(403, "application/json", "r-1", `{"__type":"UnrecognizedClientException","message":"The security token included in the request is invalid."}`),
		"denied, by no one":     replies(403, "application/json", "", `{"__type":"AccessDeniedException","message":"not authorized to perform"}`),
		"signature not current": replies(403, "application/json", "r-1", `{"__type":"InvalidSignatureException","message":"Signature not yet current"}`),
	} {
		t.Run(name, func(t *testing.T) {
			betweenOf(t, func(r *rig, m *middle, _ *observer.ObservedLogs) {
				const commands = 150
				m.set(func() {
					m.another = func(req *http.Request, _ int) trip {
						if isPlane(req) {
							return how
						}
						return nil
					}
				})
				for i := range commands {
					r.send(order(r, i))
				}
				time.Sleep(8 * time.Second)
				synctest.Wait()
				if got := r.outcomes(); len(got) > 0 {
					t.Errorf("%d of %d ended: %s", len(got), commands, tally(got))
				}
				m.set(func() { m.another = nil })
				if got := tally(r.settled(commands, time.Minute)); got != "accepted:30 already_ended:30 cancelled:60 not_found:30" {
					t.Error(got)
				}
			})
		})
	}
}

// TestTheCallerIsRefused: AWS's own AccessDenied about this request is still its word.
func TestTheCallerIsRefused(t *testing.T) {
	betweenOf(t, func(r *rig, m *middle, _ *observer.ObservedLogs) {
		m.set(func() {
			m.another = func(req *http.Request, _ int) trip {
				if isPlane(req) {
					return replies(403, "application/json", "r-1", `{"__type":"AccessDeniedException","message":"not authorized to perform"}`)
				}
				return nil
			}
		})
		for i := range 15 {
			r.send(order(r, i))
		}
		if got := tally(r.settled(15, time.Minute)); got != "denied:15" {
			t.Error(got)
		}
	})
}
