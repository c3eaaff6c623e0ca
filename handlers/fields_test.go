package handlers_test

import (
	"reflect"
	"testing"

	"github.com/rescindhq/rescind/handlers"
)

func TestParameters(t *testing.T) {
	p := handlers.Parameters{
		"jobId": "a", "force": true, "expectedVersion": int64(7),
		"StepIds": []string{"s-1"}, "statusDetails": map[string]string{"k": "v"},
	}
	if n, ok := p.Number("expectedVersion"); n != 7 || !ok {
		t.Errorf("Number = %d, %v", n, ok)
	}
	if _, ok := p.Number("absent"); ok {
		t.Error("an absent number is there")
	}
	if p.Text("jobId") != "a" || !p.Flag("force") ||
		!reflect.DeepEqual(p.Texts("StepIds"), []string{"s-1"}) ||
		!reflect.DeepEqual(p.Map("statusDetails"), map[string]string{"k": "v"}) {
		t.Errorf("%v is read otherwise than it was given", p)
	}
	// Absent, and of another kind: the zero value, as documented.
	for _, name := range []string{"absent", "expectedVersion"} {
		if p.Text(name) != "" || p.Flag(name) || p.Texts(name) != nil || p.Map(name) != nil {
			t.Errorf("%s is not the zero value", name)
		}
	}
}

func TestFieldErrorReadsAsASentence(t *testing.T) {
	err := &handlers.FieldError{Field: "parameters.jobId", Rule: "must not be empty"}
	if err.Error() != "parameters.jobId must not be empty" {
		t.Errorf("%q", err)
	}
}

func TestKindNames(t *testing.T) {
	seen := map[string]bool{"unknown": true}
	for k := handlers.String; k <= handlers.StringMap; k++ {
		if seen[k.String()] {
			t.Errorf("kind %d is called %q, like another", k, k)
		}
		seen[k.String()] = true
	}
}

func TestService(t *testing.T) {
	for action, want := range map[handlers.Action]string{"batch:CancelJob": "batch", "odd": "odd", "": ""} {
		if got := action.Service(); got != want {
			t.Errorf("Service of %q = %q, want %q", action, got, want)
		}
	}
}
