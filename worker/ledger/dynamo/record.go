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
	size := 0
	for n, t := range e.Targets {
		all[n] = text(t)
		size += len(t)
	}
	i["targets"] = &types.AttributeValueMemberL{Value: all}
	if size > plainTargets {
		if b, err := json.Marshal(e.Targets); err == nil { // they are UTF-8, or DynamoDB takes neither
			i["targets"] = octets(pack(b))
		}
	}
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
	if i["campaign"] != nil {
		c := r.text("campaign")
		rec.entry.Campaign = c[:max(strings.LastIndexByte(c, '/'), 0)]
	}
	rec.entry.Targets = r.targets()
	rec.number, rec.stamp, rec.stage = uint64(r.int("claim")), r.text("stamp"), stage(r.text("stage"))
	switch rec.stage {
	case claimed, released:
		rec.lease = time.Unix(0, r.int("lease"))
		rec.progress = r.progress()
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

// required returns an attribute of a type, which must be there.
func required[T types.AttributeValue](r *reader, name string) (v T, ok bool) {
	if v, ok = r.item[name].(T); !ok {
		r.fail(name, errType)
	}
	return v, ok
}

func (r *reader) text(name string) string {
	if v, ok := required[*types.AttributeValueMemberS](r, name); ok {
		return v.Value
	}
	return ""
}

func (r *reader) bytes(name string) []byte {
	if v, ok := required[*types.AttributeValueMemberB](r, name); ok {
		return v.Value
	}
	return nil
}

func (r *reader) number(name string) string {
	if v, ok := required[*types.AttributeValueMemberN](r, name); ok {
		return v.Value
	}
	return ""
}

// int returns a number from 0 to the greatest int64.
func (r *reader) int(name string) int64 {
	n, err := strconv.ParseUint(r.number(name), 10, 63)
	if err != nil {
		r.fail(name, err)
	}
	return int64(n)
}

func (r *reader) targets() (all []string) {
	switch v := r.item["targets"].(type) {
	case nil:
	case *types.AttributeValueMemberB:
		b, err := unpack(v.Value)
		if err == nil {
			err = json.Unmarshal(b, &all)
		}
		if err != nil {
			r.fail("targets", err)
		}
	case *types.AttributeValueMemberL:
		all = make([]string, len(v.Value))
		for i, element := range v.Value {
			s, ok := element.(*types.AttributeValueMemberS)
			if !ok {
				r.fail("targets", errType)
				return nil
			}
			all[i] = s.Value
		}
	default:
		r.fail("targets", errType)
	}
	return all
}

func (r *reader) progress() (p ledger.Progress) {
	if r.item["progress"] == nil {
		return p
	}
	b := r.bytes("progress")
	if r.err != nil {
		return p
	}
	p, err := decodeProgress(b)
	if err != nil {
		r.fail("progress", err)
	}
	return p
}

const (
	// plainProgress is how long progress may be before gzip: a command with one target is far
	// below it, and is spared the work.
	plainProgress = 16 << 10
	// plainTargets is how long a command's targets may be together before gzip. A command of 256 KiB
	// of EMR's longest step ids, of any characters, is then less than 180 KiB.
	plainTargets = 64 << 10
	// mostProgress leaves space for that in an item of DynamoDB's 400 KiB, as an outcome of 200 KiB does.
	mostProgress = 200 << 10
	// mostUnpacked bounds what is made of a record that claims to hold much more than was
	// ever written.
	mostUnpacked = 16 << 20
)

// encodeProgress makes progress fit an item: with gzip where it is long, and with AWS's words cut
// where nothing else helps, for what AWS says must not keep progress from being stored.
func encodeProgress(p ledger.Progress) ([]byte, error) {
	for most := math.MaxInt; ; most = min(most/2, 1<<10) {
		if most < math.MaxInt {
			p = cutMessages(p, most)
		}
		b, err := ledger.EncodeProgress(p)
		if err != nil {
			return nil, err
		}
		if len(b) > plainProgress {
			b = pack(b)
		}
		if len(b) <= mostProgress {
			return b, nil
		}
		if most == 0 {
			return nil, fmt.Errorf("%w: %d bytes of progress do not fit an item, even without AWS's messages", ledger.ErrRejected, len(b))
		}
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
	p.Attempts.FirstError, p.Attempts.LastError = clip(p.Attempts.FirstError, most), clip(p.Attempts.LastError, most)
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

func unpack(b []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err == nil {
		b, err = io.ReadAll(io.LimitReader(z, mostUnpacked))
	}
	if err != nil {
		return nil, fmt.Errorf("unpacking: %w", err)
	}
	return b, nil
}

func decodeProgress(b []byte) (ledger.Progress, error) {
	if len(b) > 0 && b[0] != '{' {
		var err error
		if b, err = unpack(b); err != nil {
			return ledger.Progress{}, err
		}
	}
	return ledger.DecodeProgress(b)
}

func text[S ~string](s S) types.AttributeValue { return &types.AttributeValueMemberS{Value: string(s)} }

func number[N int64 | uint64](n N) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: fmt.Sprint(n)}
}

func octets(b []byte) types.AttributeValue {
	if b == nil {
		b = []byte{}
	}
	return &types.AttributeValueMemberB{Value: b}
}
