package dynamo

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/go-json-experiment/json"

	"github.com/rescindhq/rescind/worker/ledger"
)

// wordy is progress of as many targets as a command can have, each with two refusals of a length.
func wordy(length int, word func() string) ledger.Progress {
	p := ledger.Progress{Begun: true, Targets: map[string]ledger.TargetProgress{}}
	say := func() string {
		var b strings.Builder
		for b.Len() < length {
			b.WriteString(word())
		}
		return b.String()[:length]
	}
	for i := range 256 {
		p.Targets[fmt.Sprintf("s-%013d", i)] = ledger.TargetProgress{
			Begun: true, RefusalClass: 3, RefusalCode: "ValidationException", RefusalMessage: say(),
			Status: "failed", Before: "PENDING", After: "RUNNING", Code: "InvalidRequestException",
			Message: say(), RequestID: "7a62c49f-347e-4fc4-9331-6e8e7a96aa73",
		}
	}
	return p
}

// Nothing that AWS says may keep progress from being stored: an item has 400 KB at most.
func TestProgressFits(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	noise := func() string { return strconv.FormatUint(random.Uint64(), 36) }
	prose := func() string {
		return "User: arn:aws:sts::123456789012:assumed-role/x/y is not authorized to perform: batch:CancelJob. "
	}
	for name, row := range map[string]struct {
		p     ledger.Progress
		whole bool // no message is cut
	}{
		"nothing":                {ledger.Progress{}, true},
		"refusals as AWS words":  {wordy(1<<10, prose), true},
		"refusals of noise":      {wordy(1<<10, noise), false},
		"very long refusals":     {wordy(1<<20/64, noise), false},
		"refusals without UTF-8": {wordy(1<<10, func() string { return "\xff\xfe" + noise() }), false},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := encodeProgress(row.p)
			if err != nil || len(b) > mostProgress {
				t.Fatalf("%d bytes, %v", len(b), err)
			}
			got, err := decodeProgress(b)
			if err != nil {
				t.Fatal(err)
			}
			if whole := reflect.DeepEqual(got, row.p); whole != row.whole {
				t.Errorf("came back whole: %v, want %v", whole, row.whole)
			}
			for id, want := range row.p.Targets {
				known := got.Targets[id]
				if !utf8.ValidString(known.Message) || len(known.Message) == 0 {
					t.Errorf("target %s has message %q", id, known.Message)
				}
				known.Message, known.RefusalMessage = want.Message, want.RefusalMessage
				if known != want {
					t.Fatalf("target %s is %+v\nwant %+v", id, known, want)
				}
			}
		})
	}
}

// whole is a good item of each stage.
func whole() map[stage]item {
	e := encodeEntry(ledger.Entry{Key: "k", Campaign: "a/b", Targets: []string{"t", "u"}})
	all := map[stage]item{}
	for _, s := range []stage{claimed, released, ended} {
		i := item{
			"claim": number(uint64(7)), "stamp": text("00ff.aa"), "stage": text(s),
			"lease": number(int64(9)), "progress": octets([]byte(`{"begun":true}`)),
			"outcome": octets([]byte("done")), "expires": number(int64(10)),
		}
		for name, v := range e {
			i[name] = v
		}
		all[s] = i
	}
	return all
}

func TestDecode(t *testing.T) {
	for s, i := range whole() {
		r, err := decode(i)
		if err != nil {
			t.Fatal(err)
		}
		want := ledger.Entry{Key: "k", Campaign: "a/b", Targets: []string{"t", "u"}}
		if !reflect.DeepEqual(r.entry, want) || r.number != 7 || r.stage != s {
			t.Errorf("%s: %+v", s, r)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, row := range map[string]struct {
		stage stage
		set   string
		to    types.AttributeValue // nil: it is missing
	}{
		"a newer format":              {claimed, "format", &types.AttributeValueMemberN{Value: "2"}},
		"no format":                   {ended, "format", nil},
		"a fingerprint cut short":     {claimed, "fingerprint", octets(make([]byte, 31))},
		"a fingerprint that is text":  {claimed, "fingerprint", text("x")},
		"a stage of a newer worker":   {claimed, "stage", text("parked")},
		"no stamp":                    {claimed, "stamp", nil},
		"no claim":                    {released, "claim", nil},
		"a claim below zero":          {claimed, "claim", &types.AttributeValueMemberN{Value: "-1"}},
		"a claim that is a fraction":  {claimed, "claim", &types.AttributeValueMemberN{Value: "1.5"}},
		"a lease beyond time":         {claimed, "lease", &types.AttributeValueMemberN{Value: "18446744073709551615"}},
		"no outcome":                  {ended, "outcome", nil},
		"no expiry":                   {ended, "expires", nil},
		"progress of a newer worker":  {claimed, "progress", octets([]byte(`{"begun":true,"newer":1}`))},
		"progress that is no JSON":    {claimed, "progress", octets([]byte(`{"begun":`))},
		"progress that is neither":    {claimed, "progress", octets([]byte("garbage"))},
		"packed progress cut short":   {claimed, "progress", octets(pack([]byte(`{"begun":true}`))[:12])},
		"empty progress":              {claimed, "progress", octets(nil)},
		"targets that are text":       {claimed, "targets", text("t")},
		"a target that is a number":   {claimed, "targets", &types.AttributeValueMemberL{Value: []types.AttributeValue{number(int64(1))}}},
		"a campaign that is a number": {claimed, "campaign", number(int64(1))},
		"an id that is not there":     {claimed, "id", nil},
	} {
		t.Run(name, func(t *testing.T) {
			i := whole()[row.stage]
			delete(i, row.set)
			if row.to != nil {
				i[row.set] = row.to
			}
			if r, err := decode(i); !errors.Is(err, ledger.ErrUnreadable) || !strings.Contains(err.Error(), "attribute "+row.set) {
				t.Errorf("%+v, %v; want ErrUnreadable that names %s", r, err, row.set)
			}
		})
	}
}

// FuzzDecode changes one attribute of a good item; nothing may panic, and what is read must
// be what would be written.
func FuzzDecode(f *testing.F) {
	for s := range whole() {
		for _, name := range []string{"format", "fingerprint", "campaign", "targets", "claim", "stamp", "stage", "lease", "progress", "outcome", "expires"} {
			for kind := range 4 {
				f.Add(string(s), name, kind, []byte(`{"begun":true,"targets":{"t":{"taken":true}}}`))
			}
		}
	}
	f.Add(string(claimed), "progress", 0, pack([]byte(`{"begun":true}`)))
	f.Fuzz(func(t *testing.T, s, name string, kind int, value []byte) {
		i, ok := whole()[stage(s)]
		if !ok {
			return
		}
		switch kind {
		case 0:
			i[name] = octets(value)
		case 1:
			i[name] = text(string(value))
		case 2:
			i[name] = &types.AttributeValueMemberN{Value: string(value)}
		case 3:
			i[name] = &types.AttributeValueMemberL{Value: []types.AttributeValue{text(string(value))}}
		default:
			delete(i, name)
		}
		r, err := decode(i)
		if err != nil {
			if r != nil || !errors.Is(err, ledger.ErrUnreadable) {
				t.Fatalf("%+v, %v", r, err)
			}
			return
		}
		again, err := encodeProgress(r.progress)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		p, err := decodeProgress(again)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := json.Marshal(p, json.Deterministic(true))
		want, _ := json.Marshal(r.progress, json.Deterministic(true))
		if len(again) < plainProgress && string(got) != string(want) {
			t.Fatalf("progress %s came back as %s", want, got)
		}
		r.forgotten(time.Now())
	})
}
