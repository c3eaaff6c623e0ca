package command

import (
	"strconv"
	"strings"
)

// NextID proposes the id under which a command can be run again after it has ended: one.2 after one, and one.3
// after one.2. It is "" for an id that Rescind made, and for one that is too long to be added to.
func NextID(id string) string {
	base, n := id, 2
	if dot := strings.LastIndexByte(id, '.'); dot > 0 {
		if last, err := strconv.Atoi(id[dot+1:]); err == nil && last >= 2 && last < 999 && id[dot+1:] == strconv.Itoa(last) {
			base, n = id[:dot], last+1
		}
	}
	if next := base + "." + strconv.Itoa(n); id != "" && MayBeID(next) {
		return next
	}
	return ""
}
