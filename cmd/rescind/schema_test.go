package main

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/rescindhq/rescind/worker/outcome"
)

func TestSchema(t *testing.T) {
	for of, part := range map[string]string{"command": `"batch:CancelJob"`, "outcome": outcome.Type} {
		var out bytes.Buffer
		if err := (&schemaCmd{Of: of}).Run(streams{out: &out}); err != nil {
			t.Fatal(err)
		}
		if !json.Valid(out.Bytes()) || !bytes.Contains(out.Bytes(), []byte(part)) {
			t.Errorf("schema %s prints %.200s", of, out.Bytes())
		}
	}
}
