package awssim

import "time"

// Stale implements service.Draws.
func (d *draws) Stale(item string) time.Duration {
	if !d.hits(item) || !d.happens(d.rule.Stale, "stale", item) {
		return 0
	}
	return d.rule.StaleBy
}
