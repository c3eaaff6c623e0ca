package dynamo

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/rescindhq/rescind/worker/ledger"
)

// item is an item as the SDK has it.
type item = map[string]types.AttributeValue

// format is the version of the layout that doc.go describes.
const format = "1"

// stage is how far a key has come.
type stage string

const (
	claimed  stage = "claimed"
	released stage = "released"
	ended    stage = "ended"
)

// record is an item that was read. Its slices alias what was decoded.
type record struct {
	entry    ledger.Entry
	number   uint64 // of the newest token
	stamp    string
	stage    stage
	lease    time.Time
	progress ledger.Progress
	outcome  []byte
	expires  time.Time // zero until it ended
}

// forgotten says that the record is only waiting for DynamoDB to delete it.
func (r *record) forgotten(now time.Time) bool { return r.stage == ended && !now.Before(r.expires) }

// encodeEntry is what a first claim writes of an entry.
func encodeEntry(e ledger.Entry) item {
	i := item{
		"id":          text(e.Key),
		"format":      &types.AttributeValueMemberN{Value: format},
		"fingerprint": &types.AttributeValueMemberB{Value: e.Fingerprint[:]},
	}
	if e.Campaign != "" {
		i["campaign"] = text(campaignShard(e.Campaign, shardOf(e.Key)))
	}
	if len(e.Targets) == 0 {
		return i
	}
	all := make([]types.AttributeValue, len(e.Targets))
	for n, t := range e.Targets {
		all[n] = text(t)
	}
	i["targets"] = &types.AttributeValueMemberL{Value: all}
	if only := distinct(e.Targets); len(only) == 1 {
		i["target"] = text(only[0])
	}
	return i
}

// shards is over how many values of the index a campaign is spread: 16,000 claims a second.
const shards = 16

func shardOf(key string) int {
	h := fnv.New32a()
	_, _ = io.WriteString(h, key) // never fails
	return int(h.Sum32() % shards)
}

func campaignShard(campaign string, shard int) string {
	return campaign + "/" + strconv.FormatInt(int64(shard), shards)
}

// decode reads a command's item. Every error is an ErrUnreadable.
func decode(i item) (*record, error) {
	r := reader{item: i}
	rec := &record{entry: ledger.Entry{Key: r.text("id")}}
	if f := r.number("format"); r.err == nil && f != format {
		r.fail("format", fmt.Errorf("it is of version %s, and this worker reads version %s", f, format))
	}
	if n := copy(rec.entry.Fingerprint[:], r.bytes("fingerprint")); n != len(rec.entry.Fingerprint) {
		r.fail("fingerprint", errSize)
	}
	if c := r.optionalText("campaign"); c != "" {
		at := strings.LastIndexByte(c, '/')
		rec.entry.Campaign = c[:max(at, 0)]
	}
	rec.entry.Targets = r.targets()
	rec.number, rec.stamp, rec.stage = r.uint("claim"), r.text("stamp"), stage(r.text("stage"))
	switch rec.stage {
	case claimed, released:
		rec.lease = time.Unix(0, r.int("lease"))
		if raw, ok := i["progress"]; ok && r.err == nil {
			var err error
			if rec.progress, err = decodeProgress(raw); err != nil {
				r.fail("progress", err)
			}
		}
	case ended:
		rec.outcome = r.bytes("outcome")
		rec.expires = time.Unix(r.int("expires"), 0)
	default:
		r.fail("stage", fmt.Errorf("unknown stage %q", rec.stage))
	}
	if r.err != nil {
		return nil, fmt.Errorf("%w: %w", ledger.ErrUnreadable, r.err)
	}
	return rec, nil
}

var (
	errType = errors.New("it is missing or of another type")
	errSize = errors.New("it has another size than it should")
)

// reader takes an item apart; after its first error it only returns zero values.
type reader struct {
	item item
	err  error
}

func (r *reader) fail(name string, err error) {
	if r.err == nil {
		r.err = fmt.Errorf("attribute %s: %w", name, err)
	}
}

func (r *reader) text(name string) string {
	v, ok := r.item[name].(*types.AttributeValueMemberS)
	if !ok {
		r.fail(name, errType)
		return ""
	}
	return v.Value
}

func (r *reader) optionalText(name string) string {
	if _, ok := r.item[name]; !ok {
		return ""
	}
	return r.text(name)
}

func (r *reader) bytes(name string) []byte {
	v, ok := r.item[name].(*types.AttributeValueMemberB)
	if !ok {
		r.fail(name, errType)
		return nil
	}
	return v.Value
}

func (r *reader) number(name string) string {
	v, ok := r.item[name].(*types.AttributeValueMemberN)
	if !ok {
		r.fail(name, errType)
		return ""
	}
	return v.Value
}

func (r *reader) uint(name string) uint64 {
	n, err := strconv.ParseUint(r.number(name), 10, 64)
	if err != nil {
		r.fail(name, err)
	}
	return n
}

func (r *reader) int(name string) int64 {
	n := r.uint(name)
	if n > math.MaxInt64 {
		r.fail(name, errSize)
	}
	return int64(n)
}

func (r *reader) targets() []string {
	raw, ok := r.item["targets"]
	if !ok {
		return nil
	}
	list, ok := raw.(*types.AttributeValueMemberL)
	if !ok {
		r.fail("targets", errType)
		return nil
	}
	all := make([]string, len(list.Value))
	for i, v := range list.Value {
		s, ok := v.(*types.AttributeValueMemberS)
		if !ok {
			r.fail("targets", errType)
			return nil
		}
		all[i] = s.Value
	}
	return all
}

const (
	// plainProgress is how long progress may be before gzip: a command with one target is far
	// below it, and is spared the work.
	plainProgress = 16 << 10
	// mostProgress leaves room for the entry of a command of 256 targets (64 KiB with EMR's
	// longest step ids) in an item of DynamoDB's 400 KB.
	mostProgress = 300 << 10
	// mostUnpacked bounds what is made of a record that claims to hold much more than was
	// ever written.
	mostUnpacked = 16 << 20
)

// encodeProgress writes progress as JSON, with gzip where it is long. Bytes that are not UTF-8
// (in AWS's words, say) become U+FFFD: what AWS says must not keep progress from being stored. For
// the same reason AWS's words are cut where nothing else makes it fit.
func encodeProgress(p ledger.Progress) ([]byte, error) {
	for most := math.MaxInt; ; most /= 2 {
		if most < math.MaxInt {
			p = cutMessages(p, most)
		}
		b, err := json.Marshal(p, jsontext.AllowInvalidUTF8(true), json.Deterministic(true))
		if err != nil {
			return nil, fmt.Errorf("encoding progress: %w", err)
		}
		if len(b) > plainProgress {
			b = pack(b)
		}
		if len(b) <= mostProgress {
			return b, nil
		}
		if most == 0 {
			return nil, fmt.Errorf("encoding progress: %d bytes do not fit an item, even without AWS's messages", len(b))
		}
		most = min(most, 2<<10)
	}
}

// cutMessages returns p with each of AWS's messages cut to so many bytes.
func cutMessages(p ledger.Progress, most int) ledger.Progress {
	cut := make(map[string]ledger.TargetProgress, len(p.Targets))
	for id, t := range p.Targets {
		t.Message, t.RefusalMessage = clip(t.Message, most), clip(t.RefusalMessage, most)
		cut[id] = t
	}
	p.Targets = cut
	return p
}

func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "")
}

func pack(b []byte) []byte {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = w.Write(b) // into memory: never fails
	_ = w.Close()
	return packed.Bytes()
}

func decodeProgress(raw types.AttributeValue) (ledger.Progress, error) {
	v, ok := raw.(*types.AttributeValueMemberB)
	if !ok {
		return ledger.Progress{}, errType
	}
	b := v.Value
	if len(b) > 0 && b[0] != '{' {
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return ledger.Progress{}, fmt.Errorf("unpacking: %w", err)
		}
		if b, err = io.ReadAll(io.LimitReader(z, mostUnpacked)); err != nil {
			return ledger.Progress{}, fmt.Errorf("unpacking: %w", err)
		}
	}
	var p ledger.Progress
	// Unknown members are refused, so that an older worker says so rather than forget what a
	// newer one stored.
	if err := json.Unmarshal(b, &p, json.RejectUnknownMembers(true)); err != nil {
		return ledger.Progress{}, fmt.Errorf("decoding: %w", err)
	}
	return p, nil
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number[N int64 | uint64](n N) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: fmt.Sprint(n)}
}

func octets(b []byte) types.AttributeValue {
	if b == nil {
		b = []byte{}
	}
	return &types.AttributeValueMemberB{Value: b}
}
