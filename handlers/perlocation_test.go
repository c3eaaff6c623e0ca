package handlers_test

import (
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rescindhq/rescind/handlers"
)

func TestPerLocationKeepsOneClientALocation(t *testing.T) {
	type client struct{ at handlers.Location }
	clients := handlers.PerLocation(func(at handlers.Location) *client { return &client{at} })
	here, there := handlers.Location{Account: "1", Region: "us-east-1"}, handlers.Location{Account: "2", Region: "us-east-1"}

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
		t.Errorf("the client of %v was not stored", here)
	}
}

func TestPerLocationForgetsWhatIsIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		made := map[handlers.Location]int{}
		clients := handlers.PerLocation(func(at handlers.Location) *int { made[at]++; return new(int) })
		used, idle := handlers.Location{Account: "1"}, handlers.Location{Account: "2"}
		clients(idle)
		first := clients(used)
		for range 12 {
			time.Sleep(10 * time.Minute)
			if clients(used) != first {
				t.Fatal("the client of a location in use was dropped")
			}
		}
		if clients(idle); made[idle] != 2 {
			t.Errorf("the client of an idle location was made %d times, want it dropped", made[idle])
		}
		for i := range 5000 {
			clients(handlers.Location{Account: strconv.Itoa(100 + i)})
			if i%500 == 0 && clients(used) != first {
				t.Fatal("the client of a location in use was dropped for others")
			}
		}
		if clients(idle); made[idle] != 3 {
			t.Error("5,000 others are stored beside it")
		}
	})
}
