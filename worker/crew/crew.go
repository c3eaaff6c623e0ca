// Package crew keeps goroutines. One that has made an SDK call has grown the stack that such
// calls take, 16 KiB and more; one that is made anew for each call grows it again each time, which
// took a twentieth of a worker's processor time.
package crew

import "sync"

// idleMost is how many goroutines are kept that have nothing to do: about as many as have requests
// under way to SQS and SNS in a busy worker. The collector takes back most of an idle one's stack.
const idleMost = 64

// Crew runs functions. The zero value is ready; Close it to let go of what is kept. Its
// methods are safe for concurrent use.
type Crew struct {
	mu     sync.Mutex
	idle   []chan func() // the one that became idle last is taken first: its stack is warm
	closed bool
}

// Go runs f on a goroutine that is kept, or on a new one. It does not wait.
func (c *Crew) Go(f func()) {
	c.mu.Lock()
	last := len(c.idle) - 1
	if last < 0 {
		c.mu.Unlock()
		go c.run(f)
		return
	}
	next := c.idle[last]
	c.idle = c.idle[:last]
	c.mu.Unlock()
	next <- f
}

func (c *Crew) run(f func()) {
	next := make(chan func(), 1)
	for f != nil {
		f()
		c.mu.Lock()
		if c.closed || len(c.idle) == idleMost {
			c.mu.Unlock()
			return
		}
		c.idle = append(c.idle, next)
		c.mu.Unlock()
		f = <-next
	}
}

// Close ends what is idle now, and what is under way as soon as it is done. What comes later runs
// on goroutines of its own.
func (c *Crew) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, each := range c.idle {
		close(each)
	}
	c.idle = nil
}
