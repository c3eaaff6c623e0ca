package dynamodb

import "hash/maphash"

// digest is a hash of a request, by which its repetition is told from another under the same
// ClientRequestToken. It says the same of the same request in whatever order its maps come (the
// SDK for Go writes theirs in any), and of numbers that are the same (1 and 1.0), of which AWS
// does not document what it does. It has 64 bits and a seed of this process, and no defence
// against whoever looks for two requests that share one: a box needs none.
type digest uint64

var digestSeed = maphash.MakeSeed()

// with goes on by a number. Order counts.
func (d digest) with(n uint64) digest {
	x := (uint64(d) ^ n) * 0x9e3779b97f4a7c15
	return digest(x ^ x>>29)
}

func (d digest) text(s string) digest { return d.with(maphash.String(digestSeed, s)) }

func (d digest) optional(s *string) digest {
	if s == nil {
		return d.with(0)
	}
	return d.text(*s)
}

// sum makes one digest of the members of a map: those are added, so that their order is none.
func sum[V any](d digest, of map[string]V, member func(digest, V) digest) digest {
	total := uint64(len(of))
	for name, v := range of {
		total += uint64(member(digest(0).text(name), v))
	}
	return d.with(total)
}

func (d digest) item(i Item) digest { return sum(d, i, digest.value) }

func (d digest) value(v Value) digest {
	d = d.text(string(v.kind))
	switch v.kind {
	case String, Number, Binary:
		return d.text(v.text)
	case Bool:
		if v.yes() {
			return d.with(1)
		}
		return d.with(2)
	case Null:
	case StringSet, NumberSet, BinarySet:
		d = d.with(uint64(len(v.set())))
		for _, member := range v.set() {
			d = d.text(member)
		}
	case List:
		d = d.with(uint64(len(v.list())))
		for _, e := range v.list() {
			d = d.value(e)
		}
	case Map:
		return d.item(v.fields())
	}
	return d
}

// fingerprint is the digest of all but token and ReturnConsumedCapacity.
func (in *transactInput) fingerprint() digest {
	var d digest
	for _, a := range in.Actions {
		for kind, parts := range [...]*actionParts{a.Put, a.Update, a.Delete, a.Check} {
			if parts == nil {
				continue
			}
			d = d.with(uint64(kind + 1)).text(parts.TableName).item(parts.Item).item(parts.Key)
			d = d.optional(parts.Update).optional(parts.Condition).text(parts.OnFailure)
			d = sum(d, parts.Names, digest.text).item(parts.Values)
		}
		d = d.with(0)
	}
	return d
}
