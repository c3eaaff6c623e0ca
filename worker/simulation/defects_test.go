//go:build defects

package simulation

import (
	"flag"
	"fmt"
	"sync"
	"testing"

	"github.com/rescindhq/rescind/internal/defect"
)

// within is how many seeds the check has to find a defect.
const within = 500

var only = flag.String("defect", "", "the one defect to put in")

// TestEachDefectIsFound shows that the check can fail: with a defect put in, it does, soon.
func TestEachDefectIsFound(t *testing.T) {
	for _, name := range defect.Names() {
		if *only != "" && *only != string(name) {
			continue
		}
		t.Run(string(name), func(t *testing.T) {
			defect.Put(name)
			defer defect.Put("")
			const chunk = 8
			for seed := uint64(1); seed <= within; seed += chunk {
				var mu sync.Mutex
				found := ""
				t.Run("seeds", func(t *testing.T) {
					for s := seed; s < seed+chunk; s++ {
						t.Run(fmt.Sprint(s), func(t *testing.T) {
							t.Parallel()
							v := check(runSeed(t, s))
							mu.Lock()
							defer mu.Unlock()
							if len(v) > 0 && found == "" {
								found = fmt.Sprintf("found with seed %d: %s", s, v[0])
							}
						})
					}
				})
				if found != "" {
					t.Log(found)
					return
				}
			}
			t.Errorf("not found within %d seeds", within)
		})
	}
}
