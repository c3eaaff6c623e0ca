package handlers_test

import (
	"testing"

	"github.com/rescindhq/rescind/handlers"
)

func TestRefusalIsDeniedForWantOfPermissionAlone(t *testing.T) {
	for class := handlers.Throttled; class <= handlers.Final; class++ {
		want := handlers.Status("")
		if class == handlers.NotAuthorized {
			want = handlers.Denied
		}
		e := &handlers.Error{Class: class, Code: "SomeException"}
		if a := handlers.Refusal(e, "id"); a.Status != want || a.Err != e || a.RequestID != "id" {
			t.Errorf("%s: %+v, want status %q", class, a, want)
		}
	}
}

func TestJudgeAlive(t *testing.T) {
	denied := &handlers.Error{Class: handlers.NotAuthorized, Code: "AccessDenied"}
	mismatch := &handlers.Error{Class: handlers.VersionMismatch, Code: "VersionConflictException"}
	final := &handlers.Error{Class: handlers.Final, Code: "SomeException"}
	for _, row := range []struct {
		tried handlers.Tried
		want  handlers.Status
	}{
		{handlers.Tried{}, ""},
		{handlers.Tried{Unsure: true}, ""},
		{handlers.Tried{Taken: true}, handlers.Accepted},
		{handlers.Tried{Taken: true, Refusal: final}, handlers.Accepted},
		{handlers.Tried{Refusal: denied}, handlers.Denied},
		{handlers.Tried{Refusal: mismatch}, handlers.Conflict},
		{handlers.Tried{Refusal: final, Unsure: true}, handlers.Failed},
	} {
		var a handlers.Answer
		handlers.JudgeAlive(&a, row.tried)
		if refused := row.want.Verdict() == handlers.NotStopped; a.Status != row.want || refused != (a.Err != nil) {
			t.Errorf("%+v: %+v, want status %q", row.tried, a, row.want)
		}
	}
}
