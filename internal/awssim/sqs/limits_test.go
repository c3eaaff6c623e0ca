package sqs

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

func filled(t testing.TB, messages int) (*SQS, *service.Call, addressed) {
	t.Helper()
	s := New(1)
	c := &service.Call{Account: "1", Region: "r"}
	if err := s.Create("r", "1", "q", map[string]string{"VisibilityTimeout": "60"}); err != nil {
		t.Fatal(err)
	}
	for i := range messages {
		if _, err := s.Put(context.Background(), arn("r", "1", "q"), strconv.Itoa(i), nil, "", ""); err != nil {
			t.Fatal(err)
		}
	}
	return s, c, addressed{QueueURL: "http://x/1/q"}
}

// "Amazon SQS message quotas" and API_ReceiveMessage: at 120,000 in flight a short poll is
// refused, and a long poll waits until a message may be in flight again.
func TestInFlightLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c, q := filled(t, maxInFlight+5)
		ten := 10
		var last *receiveOutput
		for range maxInFlight / ten {
			out, err := s.receiveMessage(t.Context(), c, &receiveInput{addressed: q, MaxNumberOfMessages: &ten})
			if err != nil || len(out.Messages) != ten {
				t.Fatal(len(out.Messages), err)
			}
			last = out
		}
		_, err := s.receiveMessage(t.Context(), c, &receiveInput{addressed: q})
		var refused *service.Error
		if !errors.As(err, &refused) || refused.Code != "OverLimit" {
			t.Errorf("a short poll over the limit: %v", err)
		}
		wait := 20
		began := time.Now()
		go func() {
			time.Sleep(5 * time.Second)
			if _, err := s.deleteMessage(t.Context(), c, &deleteInput{addressed: q, ReceiptHandle: last.Messages[0].ReceiptHandle}); err != nil {
				t.Error(err)
			}
		}()
		out, err := s.receiveMessage(t.Context(), c, &receiveInput{addressed: q, WaitTimeSeconds: &wait})
		if err != nil || len(out.Messages) != 1 || time.Since(began) != 5*time.Second {
			t.Errorf("a long poll over the limit got %d messages after %v (%v)", len(out.Messages), time.Since(began), err)
		}
		time.Sleep(time.Minute)
		if d := s.Depth(arn("r", "1", "q")); d != (Depth{Visible: maxInFlight + 4}) {
			t.Errorf("when all leases ran out: %+v", d)
		}
	})
}

// A poll whose caller is known to be gone when its message comes takes nothing.
func TestGoneCallerTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c, q := filled(t, 0)
		ctx, leave := context.WithCancel(t.Context())
		wait := 20
		go func() {
			out, err := s.receiveMessage(ctx, c, &receiveInput{addressed: q, WaitTimeSeconds: &wait})
			if err != nil || len(out.Messages) != 0 {
				t.Errorf("got %d messages (%v)", len(out.Messages), err)
			}
		}()
		synctest.Wait()
		s.mu.Lock() // so that the poll learns of both at once
		leave()
		queue := s.queues[arn("r", "1", "q")]
		if err := s.sendLocked(queue, &message{body: "m"}, 0, time.Now()); err != nil {
			t.Error(err)
		}
		s.wakeLocked(queue, time.Now())
		s.mu.Unlock()
		synctest.Wait()
		if m := s.Messages(arn("r", "1", "q")); len(m) != 1 || m[0].InFlight || m[0].Receives != 0 {
			t.Errorf("the queue holds %+v", m)
		}
	})
}

// Two queues that are each other's dead-letter queue move a message back and forth without
// end, one move a receive, whoever waits on either.
func TestRedriveInACircle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c, q := filled(t, 1)
		policy := func(name string) map[string]string {
			return map[string]string{"RedrivePolicy": `{"deadLetterTargetArn":"` + arn("r", "1", name) + `","maxReceiveCount":1}`}
		}
		if err := s.Create("r", "1", "p", policy("q")); err != nil {
			t.Fatal(err)
		}
		if _, err := s.setQueueAttributes(t.Context(), c, &setAttributesInput{addressed: q, Attributes: policy("p")}); err != nil {
			t.Fatal(err)
		}
		wait := 20
		for _, url := range []string{"http://x/1/q", "http://x/1/p"} {
			go func() { // both wait all the time
				for t.Context().Err() == nil {
					_, _ = s.receiveMessage(t.Context(), c, &receiveInput{addressed: addressed{url}, WaitTimeSeconds: &wait})
				}
			}()
		}
		time.Sleep(10 * time.Minute)
		d, e := s.Depth(arn("r", "1", "q")), s.Depth(arn("r", "1", "p"))
		if got := d.Visible + d.InFlight + e.Visible + e.InFlight; got != 1 {
			t.Errorf("%d messages, want the one", got)
		}
	})
}

// BenchmarkReceiveFromBacklog shows that a receive costs the same whatever waits behind.
func BenchmarkReceiveFromBacklog(b *testing.B) {
	for _, backlog := range []int{1000, 100_000} {
		b.Run(strconv.Itoa(backlog), func(b *testing.B) {
			s, c, q := filled(b, backlog)
			ten, none := 10, 0
			for b.Loop() {
				out, err := s.receiveMessage(b.Context(), c, &receiveInput{addressed: q, MaxNumberOfMessages: &ten})
				if err != nil || len(out.Messages) != ten {
					b.Fatal(len(out.Messages), err)
				}
				for _, m := range out.Messages {
					if _, err := s.changeVisibility(b.Context(), c, &visibilityInput{addressed: q, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: &none}); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
