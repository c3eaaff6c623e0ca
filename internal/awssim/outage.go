package awssim

import (
	"context"
	"sync"
)

// outages are the services that are switched off for now.
type outages struct {
	mu   sync.Mutex
	down map[outage]bool
	hung map[string]chan struct{} // closed when the service goes on
}

// outage names a service that is down, everywhere where region is "".
type outage struct{ service, region string }

func newOutages() *outages {
	return &outages{down: map[outage]bool{}, hung: map[string]chan struct{}{}}
}

func (o *outages) setDown(service, region string, down bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.down[outage{service, region}] = down
}

func (o *outages) setHang(service string, hang bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	goesOn, hangs := o.hung[service]
	switch {
	case hang && !hangs:
		o.hung[service] = make(chan struct{})
	case !hang && hangs:
		close(goesOn)
		delete(o.hung, service)
	}
}

func (o *outages) isDown(service, region string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.down[outage{service, ""}] || o.down[outage{service, region}]
}

// wait returns once the service does not hang, or with ctx's error.
func (o *outages) wait(ctx context.Context, service string) error {
	for {
		o.mu.Lock()
		goesOn, hangs := o.hung[service]
		o.mu.Unlock()
		if !hangs {
			return nil
		}
		select {
		case <-goesOn:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
