package handlers_test

import (
	"sync"
	"testing"

	"github.com/rescindhq/rescind/handlers"
)

func TestPerPlaceKeepsOneClientAPlace(t *testing.T) {
	type client struct{ at handlers.Place }
	clients := handlers.PerPlace(func(at handlers.Place) *client { return &client{at} })
	here, there := handlers.Place{Account: "1", Region: "us-east-1"}, handlers.Place{Account: "2", Region: "us-east-1"}

	got := make([]*client, 16)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() { got[i] = clients(here) })
	}
	wg.Wait()
	for _, c := range got {
		if c != got[0] || c.at != here {
			t.Errorf("a second client for %v", here)
		}
	}
	if c := clients(there); c == got[0] || c.at != there {
		t.Errorf("%v got the client of %v", there, c.at)
	}
	if clients(here) != got[0] {
		t.Errorf("the client of %v was not kept", here)
	}
}
