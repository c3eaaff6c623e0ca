package awssim_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/rescindhq/rescind/internal/awssim"
)

// A lost answer leaves its messages in flight until their visibility timeout is over.
func TestAReceiveWhoseAnswerIsLostHoldsItsMessages(t *testing.T) {
	faults := awssim.Faults{"sqs:ReceiveMessage": {Lost: 1, Times: 1}}
	inBubble(t, awssim.Options{Faults: faults}, func(b *bubble) {
		url := b.queue("q", map[string]string{"VisibilityTimeout": "30"})
		b.must(b.Send(*url, "a", "b"))
		refused(b, b.tryReceive(url, 10, 20), "no answer")
		if got, want := b.Depth(*url), (awssim.Depth{InFlight: 2}); got != want {
			b.Fatalf("after the lost answer there is %+v, want %+v", got, want)
		}
		time.Sleep(30*time.Second - time.Millisecond)
		if got := b.receive(url, 10, 0); len(got) != 0 {
			b.Fatalf("received %d messages before their timeout was over", len(got))
		}
		time.Sleep(time.Millisecond)
		got := b.receive(url, 10, 0)
		if len(got) != 2 || got[0].Attributes["ApproximateReceiveCount"] != "2" {
			b.Fatalf("received %d messages, want two for the second time", len(got))
		}
	})
}

// "Amazon SQS at-least-once delivery": a message may come again although it is in flight.
func TestAMessageMayComeTwice(t *testing.T) {
	inBubble(t, awssim.Options{Faults: awssim.Faults{"sqs:ReceiveMessage": {Twice: 1}}}, func(b *bubble) {
		url := b.queue("q", map[string]string{"VisibilityTimeout": "30"})
		b.must(b.Send(*url, "a"))
		first := b.receive(url, 10, 0)
		if len(first) != 1 {
			b.Fatalf("the first receive has %d messages, want one, once", len(first))
		}
		time.Sleep(20 * time.Second)
		began := time.Now()
		second := b.receive(url, 10, 20)
		if waited := time.Since(began); waited != 0 {
			b.Fatalf("the duplicate came after %v, want at once: the message is in flight", waited)
		}
		if len(second) != 1 || *second[0].MessageId != *first[0].MessageId || *second[0].ReceiptHandle == *first[0].ReceiptHandle {
			b.Fatalf("the second receive has %d messages, want the same under another handle", len(second))
		}
		if got := b.receive(url, 10, 0); len(got) != 0 {
			b.Fatal("a duplicate was doubled")
		}
		time.Sleep(20 * time.Second) // the first delivery's timeout would be over
		if got := b.receive(url, 10, 0); len(got) != 0 {
			b.Fatal("the duplicate's visibility timeout did not begin anew")
		}
		b.must(b.tryDelete(url, second[0].ReceiptHandle))
		time.Sleep(time.Hour)
		if got := b.receive(url, 10, 0); len(got) != 0 {
			b.Fatal("a deleted message came again")
		}
	})
}

func TestWhatWasSettledDoesNotComeTwice(t *testing.T) {
	inBubble(t, awssim.Options{Faults: awssim.Faults{"sqs:*": {Twice: 1}}}, func(b *bubble) {
		url := b.queue("q", nil)
		b.must(b.Send(*url, "a"))
		b.must(b.tryDelete(url, b.receive(url, 1, 0)[0].ReceiptHandle))
		if got := b.receive(url, 10, 20); len(got) != 0 {
			b.Fatal("a deleted message came again")
		}
	})
}

// Which messages come twice depends on the seed and their ids, and not on who receives when.
func TestWhatComesTwiceIsDrawnFromTheMessage(t *testing.T) {
	twice := func(seed uint64, n int32) (ids []string) {
		inBubble(t, awssim.Options{Seed: seed, Faults: awssim.Faults{"sqs:*": {Twice: 0.3}}}, func(b *bubble) {
			url := b.queue("q", nil)
			for i := range 100 {
				b.must(b.Send(*url, strconv.Itoa(i)))
			}
			for {
				got := b.receive(url, n, 0)
				if len(got) == 0 {
					break
				}
				for _, m := range got {
					if m.Attributes["ApproximateReceiveCount"] == "2" {
						ids = append(ids, *m.Body)
					}
				}
			}
		})
		slices.Sort(ids)
		return ids
	}
	ten := twice(1, 10)
	if !slices.Equal(ten, twice(1, 3)) {
		t.Error("another way of receiving doubles other messages")
	}
	if slices.Equal(ten, twice(2, 10)) {
		t.Error("another seed doubles the same messages")
	}
	if len(ten) < 15 || len(ten) > 45 {
		t.Errorf("%d of 100 came twice at a chance of 0.3", len(ten))
	}
}

func (b *bubble) tryDelete(url, receipt *string) error {
	_, err := b.sqs.DeleteMessage(b.ctx, &sqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: receipt})
	return err
}
