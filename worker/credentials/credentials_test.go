package credentials_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/rescindhq/rescind/worker/chance"
	"github.com/rescindhq/rescind/worker/credentials"
	"github.com/rescindhq/rescind/worker/trouble"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const role = "arn:aws:iam::222222222222:role/rescind"

// agent is a provider whose answer can be changed.
type agent struct {
	mu     sync.Mutex
	asked  []time.Time
	answer func(context.Context) (aws.Credentials, error)
}

func (a *agent) Retrieve(ctx context.Context) (aws.Credentials, error) {
	a.mu.Lock()
	a.asked = append(a.asked, time.Now())
	answer := a.answer
	a.mu.Unlock()
	return answer(ctx)
}

func (a *agent) says(answer func(context.Context) (aws.Credentials, error)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer = answer
}

func (a *agent) times() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.asked)
}

func gives() func(context.Context) (aws.Credentials, error) {
	return func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "key-" + time.Now().Format("15:04:05"), SecretAccessKey: "s", CanExpire: true, Expires: time.Now().Add(time.Hour)}, nil
	}
}

func refuses(context.Context) (aws.Credentials, error) {
	return aws.Credentials{}, &smithy.GenericAPIError{Code: "AccessDenied", Message: "not authorized to perform sts:AssumeRole"}
}

func hangs(ctx context.Context) (aws.Credentials, error) {
	<-ctx.Done()
	return aws.Credentials{}, ctx.Err()
}

// trial runs a test on a source in virtual time.
func trial(t *testing.T, test func(t *testing.T, a *agent, s *credentials.Source, log *observer.ObservedLogs)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		core, log := observer.New(zap.InfoLevel)
		a := &agent{answer: gives()}
		test(t, a, credentials.New(a, role, trouble.New(zap.New(core)), chance.New(1)), log)
		time.Sleep(time.Minute) // for retrievals under way
	})
}

// ask asks once and says how long it took.
func ask(t *testing.T, s *credentials.Source) (aws.Credentials, time.Duration, error) {
	t.Helper()
	began := time.Now()
	got, err := s.Retrieve(t.Context())
	return got, time.Since(began), err
}

func TestWhatIsGoodIsUsedAndRenewedInGoodTime(t *testing.T) {
	trial(t, func(t *testing.T, a *agent, s *credentials.Source, _ *observer.ObservedLogs) {
		first, _, err := ask(t, s)
		if err != nil {
			t.Fatal(err)
		}
		for range 54 {
			time.Sleep(time.Minute)
			if got, _, err := ask(t, s); err != nil || got.AccessKeyID != first.AccessKeyID {
				t.Fatalf("%v, %v", got, err)
			}
		}
		if n := a.times(); n != 1 {
			t.Errorf("asked %d times in 54 minutes, want once", n)
		}
		time.Sleep(2 * time.Minute)
		if _, took, err := ask(t, s); err != nil || took > 0 {
			t.Errorf("while others are asked for: %v after %s", err, took)
		}
		synctest.Wait()
		if got, _, _ := ask(t, s); a.times() != 2 || got.AccessKeyID == first.AccessKeyID {
			t.Errorf("asked %d times, and the key is %s", a.times(), got.AccessKeyID)
		}
	})
}

func TestWhatIsGoodIsUsedWhileItCannotBeRenewed(t *testing.T) {
	for name, how := range map[string]func(context.Context) (aws.Credentials, error){"refuses": refuses, "hangs": hangs} {
		t.Run(name, func(t *testing.T) {
			trial(t, func(t *testing.T, a *agent, s *credentials.Source, log *observer.ObservedLogs) {
				if _, _, err := ask(t, s); err != nil {
					t.Fatal(err)
				}
				a.says(how)
				time.Sleep(55 * time.Minute)
				for range 4*60 + 59 {
					if _, took, err := ask(t, s); err != nil || took > 0 {
						t.Fatalf("%s before they expire: %v after %s", time.Until(time.Now()), err, took)
					}
					time.Sleep(time.Second)
				}
				all := log.TakeAll()
				for _, each := range all {
					if each.Message != "credentials cannot be renewed, and will expire" || each.Level != zapcore.WarnLevel {
						t.Errorf("nothing failed yet, and the log says %v", each)
					}
				}
				if left := 5*time.Minute - time.Second; len(all) < 4 || all[0].Time.Before(time.Now().Add(-left)) || all[0].Time.After(time.Now().Add(-4*time.Minute)) {
					t.Errorf("%d lines, want one a minute from the first failures on", len(all))
				}
				time.Sleep(2 * time.Second)
				if _, _, err := ask(t, s); err == nil {
					t.Error("credentials that have expired are given out")
				}
			})
		})
	}
}

func TestOneThatIsNeverAnsweredIsAskedAgain(t *testing.T) {
	trial(t, func(t *testing.T, a *agent, s *credentials.Source, _ *observer.ObservedLogs) {
		a.says(hangs)
		errs := make(chan error, 200)
		for range cap(errs) {
			go func() { _, err := s.Retrieve(t.Context()); errs <- err }()
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		a.says(gives())
		for range cap(errs) {
			if err := <-errs; err == nil || !strings.Contains(err.Error(), "no answer within 10s") || !strings.Contains(err.Error(), role) {
				t.Fatal(err)
			}
		}
		if n := a.times(); n != 1 {
			t.Errorf("asked %d times at once", n)
		}
		time.Sleep(time.Second)
		if _, took, err := ask(t, s); err != nil || took > 0 {
			t.Errorf("%v after %s", err, took)
		}
	})
}

// While nothing can be had, callers learn so at once, and the agent is asked now and then.
func TestAnOutageIsReportedAtOnceAndAskedAboutNowAndThen(t *testing.T) {
	trial(t, func(t *testing.T, a *agent, s *credentials.Source, log *observer.ObservedLogs) {
		a.says(refuses)
		for range 60 * 100 { // 100 a second, for a minute
			_, took, err := ask(t, s)
			var ours *credentials.Error
			if !errors.As(err, &ours) || !ours.NothingSent() || took > 0 {
				t.Fatalf("%v after %s", err, took)
			}
			var api smithy.APIError
			if errors.As(err, &api) {
				t.Fatal("the code of who refused credentials can be taken for AWS's word about a request")
			}
			time.Sleep(10 * time.Millisecond)
		}
		if n := a.times(); n < 15 || n > 60 {
			t.Errorf("asked %d times in a minute", n)
		}
		first := log.FilterMessageSnippet("credentials cannot be had").All()
		if len(first) != 1 || first[0].ContextMap()["name"] != role || !strings.Contains(fmt.Sprint(first[0].ContextMap()["why"]), "AccessDenied: not authorized") {
			t.Errorf("the log says %v", log.All())
		}
		a.says(gives())
		back := time.Now()
		for {
			if _, _, err := ask(t, s); err == nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if took := time.Since(back); took > 5*time.Second {
			t.Errorf("the end of the outage was seen after %s", took)
		}
		if log.FilterMessageSnippet("credentials can be had again").Len() != 1 {
			t.Errorf("the log says %v", log.All())
		}
	})
}

func TestACallerThatLeavesLearnsThatNothingWasSent(t *testing.T) {
	trial(t, func(t *testing.T, a *agent, s *credentials.Source, _ *observer.ObservedLogs) {
		a.says(hangs)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := s.Retrieve(ctx)
		var ours *credentials.Error
		if !errors.As(err, &ours) {
			t.Error(err)
		}
		a.says(gives()) // others wait for the retrieval all the same
		time.Sleep(12 * time.Second)
		if _, _, err := ask(t, s); err != nil {
			t.Error(err)
		}
	})
}

func TestOneSourcesTroubleIsNoOthers(t *testing.T) {
	trial(t, func(t *testing.T, a *agent, s *credentials.Source, _ *observer.ObservedLogs) {
		a.says(hangs)
		go s.Retrieve(t.Context())
		other := credentials.New(&agent{answer: gives()}, "another", trouble.New(nil), chance.New(1))
		if _, took, err := ask(t, other); err != nil || took > 0 {
			t.Errorf("%v after %s", err, took)
		}
	})
}

// A cache in the provider is made to forget, or it would give the same again until it has expired.
func TestACacheBehindIsAskedForOthers(t *testing.T) {
	trial(t, func(t *testing.T, a *agent, _ *credentials.Source, _ *observer.ObservedLogs) {
		s := credentials.New(aws.NewCredentialsCache(a), credentials.Own, trouble.New(nil), chance.New(1))
		first, _, _ := ask(t, s)
		time.Sleep(56 * time.Minute)
		ask(t, s)
		synctest.Wait()
		if got, _, _ := ask(t, s); got.AccessKeyID == first.AccessKeyID || a.times() != 2 {
			t.Errorf("%s after %s, asked %d times", got.AccessKeyID, first.AccessKeyID, a.times())
		}
	})
}

func TestASourceOfASourceIsItself(t *testing.T) {
	s := credentials.New(&agent{}, credentials.Own, trouble.New(nil), chance.New(1))
	if again := credentials.New(s, "other", trouble.New(nil), chance.New(1)); again != s {
		t.Error("a second source stands before the first")
	}
}

// wire is an HTTP client that is always answered the same.
type wire struct {
	status int
	kind   string
	body   string
	err    error
}

func (w wire) Do(r *http.Request) (*http.Response, error) {
	if w.err != nil {
		return nil, w.err
	}
	return &http.Response{StatusCode: w.status, Header: http.Header{"Content-Type": {w.kind}, "X-Amzn-Requestid": {"r-1"}}, Body: io.NopCloser(strings.NewReader(w.body)), Request: r}, nil
}

// TestWhatToDoFollowsWhatFailed reads what is logged of a role and of the worker's own credentials.
func TestWhatToDoFollowsWhatFailed(t *testing.T) {
	container := func() aws.CredentialsProvider {
		return endpointcreds.New("http://169.254.170.2/creds", func(o *endpointcreds.Options) {
			o.HTTPClient, o.Retryer = wire{status: 403, kind: "text/plain", body: "no role"}, aws.NopRetryer{}
		})
	}
	for _, row := range []struct {
		name    string // of the credentials
		from    aws.CredentialsProvider
		level   zapcore.Level
		why, do string // do: a part
	}{
		{role, aws.CredentialsProviderFunc(refuses), zap.WarnLevel, "STS AssumeRole " + role + ": AccessDenied: not authorized to perform sts:AssumeRole", "its trust policy, and sts:AssumeRole in the worker's own policy"},
		{role, aws.CredentialsProviderFunc(hangs), zap.WarnLevel, "STS AssumeRole " + role + ": no answer within 10s", "the network to STS: VPC endpoint, firewall"},
		{credentials.Own, container(), zap.ErrorLevel, "HTTP 403: no role", "look at what gives credentials to this task, pod or instance"},
	} {
		synctest.Test(t, func(t *testing.T) {
			core, log := observer.New(zap.InfoLevel)
			s := credentials.New(row.from, row.name, trouble.New(zap.New(core)), chance.New(1))
			for range 30 {
				_, _ = s.Retrieve(t.Context())
				time.Sleep(time.Second)
			}
			time.Sleep(time.Minute)
			e := log.All()[0]
			m := e.ContextMap()
			if do, _ := m["do"].(string); e.Level != row.level || m["why"] != row.why || !strings.Contains(do, row.do) {
				t.Errorf("%s %s: why %q, do %q", e.Level, e.Message, m["why"], do)
			}
		})
	}
}

// token is a web identity's.
type token string

func (t token) GetIdentityToken() ([]byte, error) { return []byte(t), nil }

// TestWhyInPlainWords: what the SDK's own clients say of an agent and of STS, and of what is no
// credential at all.
func TestWhyInPlainWords(t *testing.T) {
	const page = "<html>no</html>"
	denied := `<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>User is not authorized to perform: sts:AssumeRole</Message></Error><RequestId>r-1</RequestId></ErrorResponse>`
	container := func(w wire) aws.CredentialsProvider {
		return endpointcreds.New("http://169.254.170.2/creds", func(o *endpointcreds.Options) { o.HTTPClient, o.Retryer = w, aws.NopRetryer{} })
	}
	assumeAs := func(w wire, own aws.CredentialsProvider) aws.CredentialsProvider {
		return stscreds.NewAssumeRoleProvider(sts.New(sts.Options{Region: "us-east-1", Credentials: own, HTTPClient: w, Retryer: aws.NopRetryer{}}), role)
	}
	assume := func(w wire) aws.CredentialsProvider {
		return assumeAs(w, aws.CredentialsProviderFunc(gives()))
	}
	webIdentity := func(w wire, t stscreds.IdentityTokenRetriever) aws.CredentialsProvider {
		return stscreds.NewWebIdentityRoleProvider(sts.New(sts.Options{Region: "us-east-1", HTTPClient: w, Retryer: aws.NopRetryer{}}), role, t)
	}
	const given = `<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>%s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`
	const good = `"AccessKeyId":"A","SecretAccessKey":"s"`
	for _, row := range []struct {
		name string
		from aws.CredentialsProvider
		says string
	}{
		{"refused with a code", container(wire{status: 403, kind: "application/json", body: `{"code":"AccessDeniedException","message":"no role"}`}), "AccessDeniedException: no role"},
		{"refused with a page", container(wire{status: 403, kind: "text/html", body: page}), "HTTP 403, not from AWS (no error code, no request id)"},
		{"an empty body", container(wire{status: 200}), "the answer cannot be read: "},
		{"a page", container(wire{status: 200, body: page}), "the answer cannot be read: "},
		{"null", container(wire{status: 200, body: "null"}), "what was answered cannot be read: "},
		{"a refusal that says null", container(wire{status: 400, kind: "application/json", body: "null"}), "what was answered cannot be read: "},
		{"other JSON", container(wire{status: 200, body: `{"Code":"Success"}`}), "the answer has no keys"},
		{"half of it", container(wire{status: 200, body: `{"AccessKeyId":"A"}`}), "the answer has no keys"},
		{"numbers for keys", container(wire{status: 200, body: `{"AccessKeyId":1,"SecretAccessKey":2}`}), "the answer cannot be read: "},
		{"expired", container(wire{status: 200, body: `{` + good + `,"Token":"t","Expiration":"2001-01-01T00:00:00Z"}`}), "those in the answer expired at 2001-01-01T00:00:00Z"},
		{"nobody listens", container(wire{err: io.ErrUnexpectedEOF}), "unexpected EOF"},
		{"STS refuses", assume(wire{status: 403, kind: "text/xml", body: denied}), "AccessDenied: User is not authorized to perform: sts:AssumeRole"},
		{"a page in the name of STS", assume(wire{status: 407, kind: "text/html", body: page}), "STS AssumeRole " + role + " at sts.us-east-1.amazonaws.com: HTTP 407 and no error code"},
		{"STS says that its answer has no credentials", assume(wire{status: 200, kind: "text/xml", body: `<AssumeRoleResponse><AssumeRoleResult/></AssumeRoleResponse>`}), "response did not contain credentials"},
		{"STS gives keys without a secret", assume(wire{status: 200, kind: "text/xml", body: fmt.Sprintf(given, "", "2999-01-01T00:00:00Z")}), "the answer has no keys"},
		{"STS gives keys that have expired", assume(wire{status: 200, kind: "text/xml", body: fmt.Sprintf(given, "s", "2001-01-01T00:00:00Z")}), "those in the answer expired at 2001-01-01T00:00:00Z"},
		{"STS gives keys that expire at no time", assume(wire{status: 200, kind: "text/xml", body: fmt.Sprintf(given, "s", "soon")}), "the answer cannot be read: "},
		{"STS breaks off", assume(wire{status: 403, kind: "text/xml", body: denied[:60]}), "HTTP 403 and no error code"},
		{"the token of a web identity is not there", webIdentity(wire{}, stscreds.IdentityTokenFile("/nowhere/token")), "/nowhere/token"},
		{"the token of a web identity has expired", webIdentity(wire{status: 400, kind: "text/xml", body: strings.Replace(denied, "AccessDenied", "ExpiredTokenException", 1)}, token("jwt")), "ExpiredTokenException: "},
		{"STS says nothing", assume(wire{status: 200, kind: "text/xml"}), "no credentials"},
		{"the worker has none itself", assumeAs(wire{}, credentials.New(container(wire{status: 404}), credentials.Own, trouble.New(nil), chance.New(1))), "no credentials; see: credentials the worker's own"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := credentials.New(row.from, role, trouble.New(nil), chance.New(1)).Retrieve(t.Context())
			if err == nil || !strings.Contains(err.Error(), row.says) || strings.Contains(err.Error(), "operation error") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, want %q", err, row.says)
			}
		})
	}
}
