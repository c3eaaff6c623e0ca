package sqs

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"hash/crc32"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// Attribute is a message attribute.
type Attribute struct {
	StringValue string `json:"StringValue,omitempty"`
	BinaryValue []byte `json:"BinaryValue,omitempty"`
	DataType    string `json:"DataType"`
}

// ID is a message id: the bytes of a UUID.
type ID [16]byte

// String writes the id as UUIDs are written.
func (id ID) String() string {
	b := make([]byte, 0, 36)
	for i, part := range [...][]byte{id[:4], id[4:6], id[6:8], id[8:10], id[10:]} {
		if i > 0 {
			b = append(b, '-')
		}
		b = hex.AppendEncode(b, part)
	}
	return string(b)
}

// state is where a message is. The set is closed.
type state int

const (
	visible state = iota + 1
	delayed
	inFlight
)

// message is one message on one queue; guarded by SQS's lock but for what never changes.
type message struct {
	id         ID
	body       string
	md5        [16]byte
	attributes map[string]Attribute
	trace      string // AWSTraceHeader
	group      string // MessageGroupId
	sender     string // SenderId

	state    state
	sent     time.Time
	first    time.Time // when first received
	received time.Time // when last received
	count    int       // receives
	receipt  uint32    // the number of the newest receipt handle
	source   string    // ARN of the queue that a redrive took it from
	until    time.Time // when it becomes visible: delayed and inFlight

	serial   uint64 // of arrival on this queue; breaks ties of time
	slots    [2]int // places in the queue's heaps
	previous *message
	next     *message
}

// handle is a receipt handle: which message, and which of its receives.
type handle struct {
	id     ID
	number uint32
	queue  uint32
}

func queueTag(arn string) uint32 { return crc32.ChecksumIEEE([]byte(arn)) }

func (h handle) String() string {
	b := make([]byte, 0, 24)
	b = append(b, h.id[:]...)
	b = binary.BigEndian.AppendUint32(b, h.number)
	b = binary.BigEndian.AppendUint32(b, h.queue)
	return base64.StdEncoding.EncodeToString(b)
}

func parseHandle(s string) (h handle, ok bool) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(b) != 24 {
		return h, false
	}
	copy(h.id[:], b)
	h.number = binary.BigEndian.Uint32(b[16:])
	h.queue = binary.BigEndian.Uint32(b[20:])
	return h, true
}

// NewID makes the id of a message: by seed, queue or topic and the MD5 of the body, and the
// how-manieth of that body it is, so that ids do not depend on the order of concurrent sends.
func NewID(seed uint64, arn string, body [md5.Size]byte, occurrence uint32) ID {
	parts := make([]byte, 0, 160) // more than most take
	parts = binary.BigEndian.AppendUint64(parts, seed)
	parts = append(parts, arn...)
	parts = append(parts, body[:]...)
	parts = binary.BigEndian.AppendUint32(parts, occurrence)
	id := ID(md5.Sum(parts))
	id[6] = id[6]&0x0f | 0x40 // the marks of a random UUID
	id[8] = id[8]&0x3f | 0x80
	return id
}

// checksum is the MD5 of attributes as the developer guide defines it ("Calculating the MD5
// message digest for message attributes"): names sorted; length and bytes of name and type;
// one byte for the kind of value; length and bytes of the value. "" for none.
func checksum(attributes map[string]Attribute) string {
	if len(attributes) == 0 {
		return ""
	}
	h := md5.New()
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		a := attributes[name]
		hashPart(h, []byte(name))
		hashPart(h, []byte(a.DataType))
		if strings.HasPrefix(a.DataType, "Binary") {
			h.Write([]byte{2})
			hashPart(h, a.BinaryValue)
		} else {
			h.Write([]byte{1})
			hashPart(h, []byte(a.StringValue))
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

func hashPart(h hash.Hash, b []byte) {
	var n [4]byte
	binary.BigEndian.PutUint32(n[:], uint32(len(b)))
	h.Write(n[:])
	h.Write(b)
}

// size is what a message counts against the limits: body, and names, types and values of its
// attributes ("Amazon SQS message quotas").
func size(body string, attributes map[string]Attribute) int {
	n := len(body)
	for name, a := range attributes {
		n += len(name) + len(a.DataType) + len(a.StringValue) + len(a.BinaryValue)
	}
	return n
}

// checkText refuses characters that no SQS message may have (API_SendMessage).
func checkText(s string) error {
	for i, r := range s {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return badContents()
			}
		}
		if r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xfffe || r == 0xffff {
			return badContents()
		}
	}
	return nil
}

func badContents() *service.Error {
	return refusal("InvalidMessageContents", "InvalidMessageContents", "The message contains characters outside the allowed set.")
}

// checkAttributes holds attributes to "Amazon SQS message metadata": at most ten, names of
// 1 to 256 of A-Z a-z 0-9 _ - . without AWS. or Amazon. before them, a type, a value.
func checkAttributes(attributes map[string]Attribute) error {
	if len(attributes) > 10 {
		return refusal("InvalidParameterValue", "InvalidParameterValue",
			"Number of message attributes [%d] exceeds the allowed maximum [10].", len(attributes))
	}
	for name, a := range attributes {
		if !attributeName(name) {
			return invalid(name, "MessageAttributeName", "it must be 1 to 256 of A-Z a-z 0-9 _ - . and not begin AWS. or Amazon.")
		}
		kind, _, _ := strings.Cut(a.DataType, ".")
		switch kind {
		case "String", "Number":
			if a.StringValue == "" {
				return invalid(name, "MessageAttributeValue", "a StringValue must not be empty.")
			}
			if err := checkText(a.StringValue); err != nil {
				return err
			}
		case "Binary":
			if len(a.BinaryValue) == 0 {
				return invalid(name, "MessageAttributeValue", "a BinaryValue must not be empty.")
			}
		default:
			return invalid(a.DataType, "MessageAttributeType", "it must begin String, Number or Binary.")
		}
	}
	return nil
}

func attributeName(name string) bool {
	lower := strings.ToLower(name)
	if name == "" || len(name) > 256 || strings.HasPrefix(lower, "aws.") || strings.HasPrefix(lower, "amazon.") ||
		strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") || strings.Contains(name, "..") {
		return false
	}
	return strings.IndexFunc(name, func(r rune) bool { return !plain(r) && r != '.' }) < 0
}

// plain characters are those of queue names and batch entry ids.
func plain(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
}
