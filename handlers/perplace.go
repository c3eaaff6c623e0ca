package handlers

import "sync"

// PerPlace makes a client once for each place and hands the same one out ever after. It is
// safe for concurrent use.
func PerPlace[C any](build func(Place) C) func(Place) C {
	var clients sync.Map
	return func(at Place) C {
		if c, ok := clients.Load(at); ok {
			return c.(C)
		}
		c, _ := clients.LoadOrStore(at, build(at))
		return c.(C)
	}
}
