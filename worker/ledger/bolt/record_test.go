package bolt

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rescindhq/rescind/worker/ledger"
)

var sampleEntry = ledger.Entry{
	Key: "6f1c0a52", Fingerprint: ledger.Fingerprint{0: 1, 31: 2},
	Campaign: "over-budget", Targets: []string{"one", "", "three"},
}

func sampleActive() []byte {
	return encodeActive(encodeEntry(sampleEntry), []byte(`{"begun":true}`))
}

func sampleEnded() []byte {
	return encodeEnded(time.Unix(1, 2), 3, encodeEntry(sampleEntry), []byte("outcome"))
}

// What is on disk already must go on being read: these are the bytes of version 1.
func TestRecordsOfVersion1(t *testing.T) {
	entry := "\x01" + strings.Repeat("\x00", 30) + "\x02" +
		"\x086f1c0a52" + "\x0bover-budget" + "\x03" + "\x03one" + "\x00" + "\x05three"
	wantActive := "\x01" + string(rune(len(entry))) + entry + `{"begun":true}`
	wantEnded := "\x01" + "\x00\x00\x00\x00\x3b\x9a\xca\x02" + "\x00\x00\x00\x00\x00\x00\x00\x03" +
		string(rune(len(entry))) + entry + "outcome"
	if got := sampleActive(); string(got) != wantActive {
		t.Errorf("active is encoded as\n%q, want\n%q", got, wantActive)
	}
	if got := sampleEnded(); string(got) != wantEnded {
		t.Errorf("ended is encoded as\n%q, want\n%q", got, wantEnded)
	}
	a, err := decodeActive([]byte(wantActive))
	if err != nil || !reflect.DeepEqual(a.entry, sampleEntry) || string(a.body) != `{"begun":true}` {
		t.Errorf("decodeActive = %+v, %v", a, err)
	}
	e, err := decodeEnded([]byte(wantEnded))
	if err != nil || !reflect.DeepEqual(e.entry, sampleEntry) || string(e.body) != "outcome" ||
		e.number != 3 || !e.at.Equal(time.Unix(1, 2)) {
		t.Errorf("decodeEnded = %+v, %v", e, err)
	}
}

func TestBrokenRecords(t *testing.T) {
	entry := encodeEntry(sampleEntry)
	newer := sampleActive()
	newer[0] = 2
	for name, tt := range map[string]struct {
		record []byte
		want   string
	}{
		"nothing":                       {nil, "cut short"},
		"a newer version":               {newer, "of version 2"},
		"an entry cut in a target":      {encodeActive(entry[:len(entry)-1], nil), `"6f1c0a52": the record is cut short`},
		"an entry cut in the key":       {encodeActive(entry[:35], nil), "cut short"},
		"an entry cut in a fingerprint": {encodeActive(entry[:31], nil), "cut short"},
		"an entry longer than its parts": {
			encodeActive(append(bytes.Clone(entry), 0), nil), `"6f1c0a52": the record has bytes left over`,
		},
		"more targets than can be": {
			encodeActive(binary.AppendUvarint(encodeEntry(ledger.Entry{Key: "k"})[:35], 1<<60), nil), `"k": the record is cut short`,
		},
		"an entry longer than the record": {[]byte{1, 200, 1, 0}, "cut short"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := decodeActive(tt.record); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("decodeActive = %v, want %q", err, tt.want)
			}
		})
	}
	for n := range len(sampleEnded()) - len("outcome") {
		if e, err := decodeEnded(sampleEnded()[:n]); err == nil {
			t.Errorf("decodeEnded of the first %d bytes = %+v", n, e)
		}
	}
}

func TestProgressOfANewerWorkerIsRefused(t *testing.T) {
	if p, err := decodeProgress([]byte(`{"begun":true,"fromTheFuture":1}`)); err == nil {
		t.Errorf("decodeProgress = %+v, want an error that names the field", p)
	}
}

// What AWS says is stored whatever its bytes are.
func TestProgressTakesAnyWords(t *testing.T) {
	b, err := encodeProgress(ledger.Progress{Targets: map[string]ledger.TargetProgress{"t": {Message: "caf\xe9"}}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := decodeProgress(b)
	if err != nil || p.Targets["t"].Message != "caf\uFFFD" {
		t.Errorf("decodeProgress = %+v, %v", p, err)
	}
}

func FuzzDecodeActive(f *testing.F) {
	f.Add(sampleActive())
	f.Add(encodeActive(encodeEntry(ledger.Entry{}), nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := decodeActive(b)
		if err != nil {
			return
		}
		again, err := decodeActive(encodeActive(encodeEntry(a.entry), a.body))
		if err != nil || !reflect.DeepEqual(again.entry, a.entry) || !bytes.Equal(again.body, a.body) {
			t.Errorf("%+v became %+v, %v", a, again, err)
		}
	})
}

func FuzzDecodeEnded(f *testing.F) {
	f.Add(sampleEnded())
	f.Add(encodeEnded(time.Time{}, 0, encodeEntry(ledger.Entry{}), nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decodeEnded(b)
		if err != nil {
			return
		}
		again, err := decodeEnded(encodeEnded(e.at, e.number, encodeEntry(e.entry), e.body))
		e.rawEntry, again.rawEntry = nil, nil // a length may be written in more bytes than it takes
		if err != nil || !reflect.DeepEqual(again, e) {
			t.Errorf("%+v became %+v, %v", e, again, err)
		}
	})
}

func FuzzDecodeProgress(f *testing.F) {
	f.Add([]byte(`{"begun":true,"targets":{"t":{"pin":"r","refusalClass":3}},"acceptedAt":"2026-11-21T12:00:00Z"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decodeProgress(b)
		if err != nil {
			return
		}
		encoded, err := encodeProgress(p)
		if err != nil {
			t.Fatalf("%+v cannot be stored again: %v", p, err)
		}
		if again, err := decodeProgress(encoded); err != nil {
			t.Errorf("%+v became %+v, %v", p, again, err)
		}
	})
}
