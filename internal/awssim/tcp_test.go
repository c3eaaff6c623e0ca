package awssim_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/batch"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/rescindhq/rescind/internal/awssim"
)

// overTCP serves a simulator on a port for the time of a test and returns its address.
func overTCP(t testing.TB, o awssim.Options) (*awssim.Sim, string) {
	t.Helper()
	sim := awssim.New(o)
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- sim.Serve(l) }()
	t.Cleanup(func() {
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Errorf("serving ended with %v", err)
		}
	})
	return sim, "http://" + l.Addr().String()
}

// tcpConfig makes clients as any user of an endpoint does.
func tcpConfig(t testing.TB, url string) aws.Config {
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	return aws.Config{
		Region: "us-east-1", BaseEndpoint: &url, HTTPClient: &http.Client{Transport: transport},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIAANY", SecretAccessKey: "any"}, nil
		}),
	}
}

// All services on one port, distinguished by their signatures.
func TestOverTCP(t *testing.T) {
	sim, url := overTCP(t, awssim.Options{Latency: time.Millisecond})
	cfg := tcpConfig(t, url)
	ctx := t.Context()
	sqsClient, snsClient := sqs.NewFromConfig(cfg), sns.NewFromConfig(cfg)
	queue, err := sqsClient.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("q")})
	if err != nil {
		t.Fatal(err)
	}
	if want := url + "/123456789012/q"; *queue.QueueUrl != want {
		t.Errorf("URL is %s, want %s", *queue.QueueUrl, want)
	}
	topic, err := snsClient.CreateTopic(ctx, &sns.CreateTopicInput{Name: aws.String("t")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sim.Subscribe(*topic.TopicArn, *queue.QueueUrl, true); err != nil {
		t.Fatal(err)
	}
	got := make(chan *sqs.ReceiveMessageOutput, 1)
	go func() {
		out, err := sqsClient.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: queue.QueueUrl, WaitTimeSeconds: 20})
		if err != nil {
			t.Error(err)
		}
		got <- out
	}()
	if _, err := snsClient.Publish(ctx, &sns.PublishInput{TopicArn: topic.TopicArn, Message: aws.String("hello")}); err != nil {
		t.Fatal(err)
	}
	if out := <-got; out == nil || len(out.Messages) != 1 || *out.Messages[0].Body != "hello" {
		t.Errorf("received %+v", out)
	}
	sim.PutJobs(awssim.Job{ID: "j"})
	if _, err := batch.NewFromConfig(cfg).CancelJob(ctx, &batch.CancelJobInput{JobId: aws.String("j"), Reason: aws.String("r")}); err != nil {
		t.Fatal(err)
	}
	if j, _ := sim.Job("j"); j.State != "FAILED" {
		t.Errorf("job is %s", j.State)
	}
}

// A simulator that another server serves ends what waits in it, too.
func TestCloseUnderAnotherServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := awssim.New(awssim.Options{})
		if _, err := sim.CreateQueue("q", nil); err != nil {
			t.Fatal(err)
		}
		cut := make(chan any, 1)
		go func() {
			defer func() { cut <- recover() }()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(`{"QueueUrl":"http://h/123456789012/q","WaitTimeSeconds":20}`))
			r.Header.Set("X-Amz-Target", "AmazonSQS.ReceiveMessage")
			sim.Handler().ServeHTTP(httptest.NewRecorder(), r)
		}()
		synctest.Wait()
		began := time.Now()
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
		got := <-cut
		if err, ok := got.(error); !ok || !errors.Is(err, http.ErrAbortHandler) || time.Since(began) != 0 {
			t.Errorf("ended with %v after %v", got, time.Since(began))
		}
	})
}

// What comes without a signature, or makes no sense, is answered in kind.
func TestRawRequests(t *testing.T) {
	sim, url := overTCP(t, awssim.Options{})
	sim.PutJobs(awssim.Job{ID: "j"})
	const jsonType, formType = "application/x-amz-json-1.0", "application/x-www-form-urlencoded"
	for _, c := range []struct {
		name, method, path, contentType, target, body string
		status                                        int
		want                                          string
	}{
		{"SQS by target", "POST", "/", jsonType, "AmazonSQS.ListQueues", "{}", 200, "{}"},
		{"SQS without a body", "POST", "/", jsonType, "AmazonSQS.ListQueues", "", 200, "{}"},
		{"STS by action", "POST", "/", formType, "", "Action=GetCallerIdentity&Version=2011-06-15", 200, "<Account>123456789012</Account>"},
		{"SNS by action", "POST", "/", formType, "", "Action=ListTopics", 200, "<ListTopicsResult>"},
		{"Batch by path", "POST", "/v1/describejobs", "application/json", "", `{"jobs":["j"]}`, 200, `"status":"RUNNABLE"`},
		{"broken JSON", "POST", "/", jsonType, "AmazonSQS.ListQueues", "{", 400, "com.amazonaws.sqs#SerializationException"},
		{"wrong type", "POST", "/v1/describejobs", "application/json", "", `{"jobs":"j"}`, 400, "SerializationException"},
		{"unknown target", "POST", "/", jsonType, "AmazonSQS.Nonsense", "{}", 400, "UnknownOperationException"},
		{"unknown action", "POST", "/", formType, "", "Action=Nonsense", 400, "UnknownOperationException"},
		{"unknown path", "GET", "/v1/nothing", "", "", "", 400, "UnknownOperationException"},
		{"broken form", "POST", "/", formType, "", "Action=%zz", 400, "MalformedQueryString"},
		{"SNS error", "POST", "/", formType, "", "Action=Publish&TopicArn=arn:aws:sns:us-east-1:1:t&Message=m", 404, "<Code>NotFound</Code>"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, url+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Close = true
		req.Header.Set("Content-Type", c.contentType)
		if c.target != "" {
			req.Header.Set("X-Amz-Target", c.target)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != c.status || !bytes.Contains(body, []byte(c.want)) {
			t.Errorf("%s: %d %s (%v), want %d with %s", c.name, res.StatusCode, body, err, c.status, c.want)
		}
	}
}

// BenchmarkTCP is one message through the simulator: sent, received and deleted, ten to a request.
func BenchmarkTCP(b *testing.B) {
	_, url := overTCP(b, awssim.Options{})
	client := sqs.NewFromConfig(tcpConfig(b, url))
	benchmark(b, client)
}

// BenchmarkPipe is the same without sockets.
func BenchmarkPipe(b *testing.B) {
	sim := awssim.New(awssim.Options{})
	defer sim.Close()
	benchmark(b, sqs.NewFromConfig(sim.Config()))
}
