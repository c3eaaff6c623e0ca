package bolt

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"iter"
)

// Outcomes are numbered from 1; a segment is segmentSize of them in a row. 65,535 lets an
// offset within a segment, counted from 1, fit 16 bits with 0 left over for "empty".
const (
	segmentSize = 1<<16 - 1
	// slots at twice the entries keep probes short; 4 bytes each make a table of 512 KiB.
	slots     = 1 << 17
	tableSize = 4 * slots
)

func segmentOf(sequence uint64) uint64 { return (sequence - 1) / segmentSize }

// hashOf is the first 8 bytes of SHA-256: stable across processes, and senders, who choose
// the keys, cannot make them collide.
func hashOf(key string) uint64 {
	sum := sha256.Sum256([]byte(key))
	return binary.BigEndian.Uint64(sum[:8])
}

// newTable makes a segment's table: open addressing with linear probing from the hash's low
// bits. A slot is the hash's top 16 bits and the outcome's offset in the segment.
func newTable(segment uint64, sequences map[string]uint64) []byte {
	table := make([]byte, tableSize)
	for key, sequence := range sequences {
		hash := hashOf(key)
		slot := hash % slots
		for binary.BigEndian.Uint32(table[4*slot:]) != 0 {
			slot = (slot + 1) % slots
		}
		offset := sequence - segment*segmentSize
		binary.BigEndian.PutUint32(table[4*slot:], uint32(hash>>48)<<16|uint32(offset))
	}
	return table
}

// candidates yields the sequence numbers that a key with this hash may stand under: nearly
// always none or the one; whoever asks compares the key that is stored there.
func candidates(segment uint64, table []byte, hash uint64) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for i := range uint64(slots) {
			v := binary.BigEndian.Uint32(table[4*((hash+i)%slots):])
			if v == 0 {
				return
			}
			if uint64(v>>16) == hash>>48 && !yield(segment*segmentSize+uint64(v&0xffff)) {
				return
			}
		}
	}
}

func checkTable(segment uint64, table []byte) error {
	if len(table) != tableSize {
		return fmt.Errorf("the table of segment %d has %d bytes instead of %d", segment, len(table), tableSize)
	}
	return nil
}
