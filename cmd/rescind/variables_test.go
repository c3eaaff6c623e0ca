package main

import (
	"errors"
	"strings"
	"testing"
)

func TestUnknownVariables(t *testing.T) {
	for variable, says := range map[string]string{
		"RESCIND_LEDGER=bolt:x.db": "", "RESCIND_POLICY=": "", "RESCIND_ADMIN_TOKEN=x": "", "AWS_REGION=x": "", "RESCINDED=x": "",
		// What Kubernetes sets for Services named rescind and rescind-worker.
		"RESCIND_SERVICE_HOST=10.0.0.11": "", "RESCIND_SERVICE_PORT=9464": "", "RESCIND_SERVICE_PORT_METRICS=9464": "", "RESCIND_PORT=tcp://10.0.0.11:9464": "",
		"RESCIND_PORT_9464_TCP=tcp://10.0.0.11:9464": "", "RESCIND_PORT_9464_TCP_ADDR=10.0.0.11": "", "RESCIND_WORKER_SERVICE_HOST=10.0.0.11": "", "RESCIND_WORKER_PORT_9464_TCP_PROTO=tcp": "",

		"RESCIND_LEDGR=bolt:x.db": "RESCIND_LEDGR is no variable of the worker: did you mean RESCIND_LEDGER?",
		"RESCIND_POLICYS=":        "did you mean RESCIND_POLICY?",
		"RESCIND_GIVEUP=1h":       "did you mean RESCIND_GIVE_UP?",
		"RESCIND_ledger=x":        "did you mean RESCIND_LEDGER?",
		"RESCIND_COLOUR=red":      "unset it",
		"RESCIND_=":               "unset it",
	} {
		err := errors.Join(unknownVariables([]string{"PATH=/bin", variable})...)
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", variable, err, says)
		}
	}
}
