package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"
)

// TestAnAgentThatIsNeverAnsweredIsAskedAgain: the SDK's own cache would make every
// caller wait for a request for credentials that hangs.
func TestAnAgentThatIsNeverAnsweredIsAskedAgain(t *testing.T) {
	var asked atomic.Int32
	done := make(chan struct{})
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			select {
			case <-r.Context().Done():
			case <-done:
			}
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"AccessKeyId":"A","SecretAccessKey":"s","Token":"t","Expiration":"2999-01-01T00:00:00Z"}`))
	}))
	defer agent.Close()
	defer close(done)
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_WEB_IDENTITY_TOKEN_FILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	t.Setenv("AWS_REGION", "us-east-1")
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", agent.URL)

	cfg, err := awsConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := cfg.Credentials.Retrieve(t.Context()); err != nil || got.AccessKeyID != "A" || asked.Load() != 2 {
		t.Errorf("%s, %v, asked %d times", got.AccessKeyID, err, asked.Load())
	}
}
