package command_test

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/rescindhq/rescind/worker/command"
)

// unsaid are the rules that the schema's comment owns up to not saying: a few words of each as
// the comment has it, and the decoder's sentence for who breaks it. Those without a sentence are
// not the decoder's to judge.
var unsaid = []struct {
	words    string
	sentence *regexp.Regexp
}{
	{"The text is UTF-8", regexp.MustCompile(`must be UTF-8`)},
	{"at most 262144 bytes (256 KiB)", regexp.MustCompile(`must have at most 262144 bytes`)},
	{"no name is given twice", regexp.MustCompile(`must not be given twice`)},
	{"No escape stands for half a character", regexp.MustCompile(`^body must be JSON; at byte \d+: invalid .*surrogate`)},
	{"A whole number is written without fraction or exponent", regexp.MustCompile(`must be a whole number without fraction or exponent`)},
	{"not the first instant of year 1", regexp.MustCompile(`^expiresAt must be a time as RFC 3339 writes it, .* not "(0000|0001|9999)-`)},
	{"has at most 1024 bytes", regexp.MustCompile(`must have at most 1024 bytes, not`)},
	{"rules that join its parameters", regexp.MustCompile(`^parameters\.jobId must be an id, not an ARN$`)}, // of a handler made for tests; the services have none
	{"escalate is above 0, at most 6h", regexp.MustCompile(`^(confirm must be at most 12h|escalate (must be (above 0|at most 6h|shorter than confirm)|asks for a stronger))`)},
	{"An ARN among the parameters", regexp.MustCompile(`must be that of parameters\.|must have a region of its partition|must be an ARN that names`)},
	{"An id is not used again", nil},
	{"Account, region, expiry and policy are judged when the command is run", nil},
}

// unsaidRule is the rule that a decoder's sentence names, "" where the schema should say it.
func unsaidRule(sentence string) string {
	for _, rule := range unsaid {
		if rule.sentence != nil && rule.sentence.MatchString(sentence) {
			return rule.words
		}
	}
	return ""
}

// parsed is a JSON text as schemas are asked of it; not ok: it is none. Go's parser is lenient
// as others are: of two members of one name it takes the last, and for what is no character it
// reads U+FFFD.
func parsed(body []byte) (doc any, ok bool) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	return doc, err == nil
}

// TestSchemaOfInvalidCommands: what the decoder refuses, the schema refuses, save for the rules
// that its comment owns up to; and each of these is met.
func TestSchemaOfInvalidCommands(t *testing.T) {
	text := command.Schema(fakes())
	s := compile(t, text)
	met := map[string]bool{}
	for _, row := range append(invalidRows(),
		invalidRow{job(`"reason":"\udc00\ud800"`), "body must be JSON; at byte 67: *"},
		invalidRow{job(`"expiresAt":"0000-01-01T00:00:00+01:00"`), `expiresAt must be a time as RFC 3339 writes it, like "2026-11-21T12:00:00Z", not "0000-01-01T00:00:00+01:00"`},
		invalidRow{job(`"expiresAt":"9999-12-31T23:59:59-01:00"`), `expiresAt must be a time as RFC 3339 writes it, like "2026-11-21T12:00:00Z", not "9999-12-31T23:59:59-01:00"`},
	) {
		sentence := invalid(t, row.body).Error()
		doc, ok := parsed([]byte(row.body))
		if !ok || s.Validate(doc) != nil {
			continue
		}
		rule := unsaidRule(sentence)
		if met[rule] = true; rule == "" {
			t.Errorf("the schema takes %s\nthough %s", clip(row.body), sentence)
		}
	}
	var schema struct {
		Comment string `json:"$comment"`
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	for _, rule := range unsaid {
		if !strings.Contains(schema.Comment, rule.words) {
			t.Errorf("the schema's comment does not say %q:\n%s", rule.words, schema.Comment)
		}
		if rule.sentence != nil && !met[rule.words] {
			t.Errorf("no command breaks only the rule %q: does the schema say it by now?", rule.words)
		}
	}
}
