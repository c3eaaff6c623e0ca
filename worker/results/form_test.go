package results

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sns"
)

// wiretap keeps the last request, and lets none through.
type wiretap struct {
	request *http.Request
	body    string
}

var errTapped = errors.New("tapped")

func (w *wiretap) Do(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	w.request, w.body = r, string(body)
	return nil, errTapped
}

// sent is what a client sends of a batch: path and body, whose pairs are sorted, since in a form
// their order says nothing.
func sent(t *testing.T, list []*entry, options ...func(*sns.Options)) (path, contentType string, pairs []string) {
	t.Helper()
	tap := &wiretap{}
	api := sns.New(sns.Options{
		Region: "us-east-1", HTTPClient: tap, Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("AKIA", "secret", ""),
	})
	in := &sns.PublishBatchInput{TopicArn: aws.String("arn:aws:sns:us-east-1:123456789012:a topic")}
	for i, e := range list {
		in.PublishBatchRequestEntries = append(in.PublishBatchRequestEntries, e.wire(i))
	}
	if _, err := api.PublishBatch(t.Context(), in, options...); !errors.Is(err, errTapped) {
		t.Fatal(err)
	}
	pairs = strings.Split(tap.body, "&")
	slices.Sort(pairs)
	return tap.request.URL.String(), tap.request.Header.Get("Content-Type"), pairs
}

func checkForm(t *testing.T, list []*entry) {
	t.Helper()
	path, contentType, pairs := sent(t, list, withForm)
	wantPath, wantType, want := sent(t, list)
	if path != wantPath || contentType != wantType {
		t.Errorf("goes to %s as %s, the SDK's own to %s as %s", path, contentType, wantPath, wantType)
	}
	// The SDK numbers attributes by their names, this by a map's order: with one it is the same.
	if !slices.Equal(numbered(pairs), numbered(want)) {
		t.Errorf("got\n%q\nthe SDK writes\n%q", pairs, want)
	}
}

// numbered puts an attribute's name in the place of its number.
func numbered(pairs []string) []string {
	names := map[string]string{}
	for _, pair := range pairs {
		if place, name, ok := strings.Cut(pair, ".Name="); ok {
			names[place] = place[:strings.LastIndexByte(place, '.')+1] + name
		}
	}
	renamed := make([]string, len(pairs))
	for i, pair := range pairs {
		renamed[i] = pair
		for place, name := range names {
			if rest, ok := strings.CutPrefix(pair, place+"."); ok {
				renamed[i] = name + " " + rest
			}
		}
	}
	slices.Sort(renamed)
	return renamed
}

// A body is what the SDK would write, and goes where the SDK would send it.
func TestFormIsTheSDKsOwn(t *testing.T) {
	batch := make([]*entry, 0, batchMax)
	for range batchMax {
		batch = append(batch, &entry{
			body: `{"status":"cancelled","message":"100% & more = ~é` + "\n\x00\U0001F600" + `"}`,
			attributes: []attribute{
				{"action", "batch:CancelJob"}, {"service", "batch"}, {"status", "cancelled"}, {"verdict", "stopped"},
				{"campaign", "über budget+1"}, {"account", "123456789012"}, {"region", "us-east-1"},
			},
		})
	}
	checkForm(t, batch)
	checkForm(t, []*entry{{body: "no attributes"}})
}

// The SDK's serializer still goes by its name: else requests would silently cost more.
func TestFormIsUsed(t *testing.T) {
	one := []*entry{{body: "x", attributes: []attribute{{"a", "b"}}}}
	in := &sns.PublishBatchInput{TopicArn: aws.String("t")}
	in.PublishBatchRequestEntries = append(in.PublishBatchRequestEntries, one[0].wire(0))
	tap := &wiretap{}
	api := sns.New(sns.Options{
		Region: "us-east-1", HTTPClient: tap, Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("AKIA", "secret", ""),
	})
	_, _ = api.PublishBatch(t.Context(), in, withForm)
	if want := string(form(in)); tap.body != want {
		t.Errorf("sent %q, want this package's own form %q", tap.body, want)
	}
}

func FuzzForm(f *testing.F) {
	f.Add("{}", "name", "value")
	f.Add("a b&c=d%20+", "x.y-z_~", "\xff\u00e9")
	f.Fuzz(func(t *testing.T, body, name, value string) {
		if got, want := string(appendEscaped(nil, body)), url.QueryEscape(body); got != want {
			t.Fatalf("%q becomes %q, want %q", body, got, want)
		}
		checkForm(t, []*entry{{body: body, attributes: []attribute{{name, value}}}})
	})
}
