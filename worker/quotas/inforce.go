package quotas

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/rescindhq/rescind/handlers"
)

// Source is where a quota is from. The set is closed.
type Source string

// The sources, the later ones going over the earlier.
const (
	BuiltIn       Source = "builtIn"        // what AWS publishes, and for FSx a cautious guess
	ServiceQuotas Source = "serviceQuotas"  // the account's own value
	Given         Source = "RESCIND_QUOTAS" // what the worker was given
)

// Table says which quotas are in force.
type Table struct {
	// Given go over all others, everywhere.
	Given Set
	// Account are those of one account, by region.
	Account   string
	PerRegion map[string]Set
}

// At is the quota that is in force in a location under a name, where published is built in.
func (t *Table) At(name string, at handlers.Location, published handlers.Quota) handlers.Quota {
	q, _ := t.find(name, at, published)
	return q
}

func (t *Table) find(name string, at handlers.Location, published handlers.Quota) (handlers.Quota, Source) {
	if q, ok := t.Given[name]; ok {
		return q, Given
	}
	if q, ok := t.PerRegion[at.Region][name]; ok && at.Account == t.Account {
		return q, ServiceQuotas
	}
	return published, BuiltIn
}

// InForce lists, by source, the quotas of all operations in a location, as RESCIND_QUOTAS would give them.
// What nothing limits is left out.
func (t *Table) InForce(at handlers.Location, all []handlers.Handler) map[Source]string {
	published := publishedAt(at, all)
	lists := make(map[Source][]string)
	for _, name := range slices.Sorted(maps.Keys(published)) {
		if q, from := t.find(name, at, published[name]); q.Rate > 0 {
			lists[from] = append(lists[from], name+"="+number(q.Rate)+"/"+number(q.Burst))
		}
	}
	texts := make(map[Source]string, len(lists))
	for from, list := range lists {
		texts[from] = strings.Join(list, ",")
	}
	return texts
}

func number(n float64) string { return strconv.FormatFloat(n, 'g', -1, 64) }

// Excess is a quota that was given above what is there.
type Excess struct {
	Name           string // "emr:CancelSteps"
	Given, Allowed handlers.Quota
	From           Source // of Allowed: the account's own value, or what AWS publishes
}

// Exceeding lists, in the order of their names, the quotas that were given above those that would be in force in a location
// without them. One that nothing limits is not exceeded.
func (t *Table) Exceeding(at handlers.Location, all []handlers.Handler) (list []Excess) {
	published := publishedAt(at, all)
	without := Table{Account: t.Account, PerRegion: t.PerRegion}
	for _, name := range slices.Sorted(maps.Keys(t.Given)) {
		given := t.Given[name]
		allowed, from := without.find(name, at, published[name])
		if allowed.Rate > 0 && (given.Rate > allowed.Rate || given.Burst > allowed.Burst) {
			list = append(list, Excess{name, given, allowed, from})
		}
	}
	return list
}

// publishedAt are the built-in quotas of all operations in a location.
func publishedAt(at handlers.Location, all []handlers.Handler) Set {
	published := make(Set)
	for _, h := range all {
		for _, o := range operations(h) {
			published[o.service+":"+o.name], published[o.service+":*"] = o.own(at.Region), o.all
		}
	}
	return published
}
