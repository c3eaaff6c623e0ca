package worker_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker/trouble"
)

const (
	lanePeer  = "batch:CancelJobs 123456789012 us-east-1"
	topicPeer = "arn:aws:sns:us-east-1:123456789012:outcomes"
	queuePeer = "/123456789012/commands (receiving)"
)

// TestEachOutageIsSaid makes each of the worker's peers unavailable, for a second, for nine, and
// for nearly three minutes, and reads all that is logged at info and above. In the
// usual size one peer of each kind has the longest outage.
func TestEachOutageIsSaid(t *testing.T) {
	t.Parallel()
	long := map[string]int{} // long outages by kind
	for _, test := range []struct {
		name    string
		down    func(f *foul, down bool)
		kind    string
		peer    string
		why, do string // do: a part
		unready string // how the second line of /readyz begins
	}{
		{name: "Batch", down: func(f *foul, down bool) { f.sim.SetDown("batch", down) },
			kind: "lane", peer: lanePeer, why: "batch:CancelJobs: ", do: "AWS itself"},
		{name: "Batch behind a proxy's 502", down: func(f *foul, down bool) {
			f.between.pass()
			if down {
				f.between.with(http.StatusBadGateway, "<html>Bad gateway</html>", http.Header{"Content-Type": {"text/html"}}, "/v1/canceljobs")
			}
		}, kind: "lane", peer: lanePeer, why: "batch:CancelJobs at ", do: "HTTPS_PROXY"},
		{name: "own credentials, for Batch", down: func(f *foul, down bool) {
			f.between.pass()
			if down {
				f.between.refuse(http.StatusForbidden, "ExpiredTokenException", "The security token included in the request is expired", "/v1/canceljobs")
			}
		}, kind: "lane", peer: lanePeer, why: "batch:CancelJobs: ExpiredTokenException: The security token included in the request is expired", do: "renew the credentials"},
		{name: "topic", down: func(f *foul, down bool) { f.sim.SetDown("sns", down) },
			kind: "topic", peer: topicPeer, why: "SNS PublishBatch: ", do: "AWS itself", unready: "stops all: topic " + topicPeer},
		{name: "topic refuses", down: func(f *foul, down bool) {
			f.between.pass()
			if down {
				f.between.with(http.StatusForbidden, `<ErrorResponse><Error><Type>Sender</Type><Code>AuthorizationError</Code><Message>not allowed</Message></Error><RequestId>r</RequestId></ErrorResponse>`,
					http.Header{"Content-Type": {"text/xml"}, "X-Amzn-Requestid": {"r"}}, "PublishBatch")
			}
		}, kind: "topic", peer: topicPeer, why: "SNS PublishBatch: AuthorizationError: not allowed", do: "allow sns:Publish", unready: "stops all: topic "},
		{name: "full disk", down: func(f *foul, down bool) { f.diskFull.Store(down) },
			kind: "ledger", peer: "RESCIND_LEDGER", why: "the disk is full", unready: "stops all: ledger RESCIND_LEDGER"},
		{name: "SQS", down: func(f *foul, down bool) { f.sim.SetDown("sqs", down) },
			kind: "queue", peer: queuePeer, why: "SQS ReceiveMessage: ", do: "AWS itself", unready: "stops all: queue "},
	} {
		outages := []time.Duration{time.Second, 9 * time.Second, 170 * time.Second}
		if long[test.kind]++; long[test.kind] > size(7, 1) {
			outages = outages[:2]
		}
		for _, lasting := range outages {
			t.Run(test.name+" for "+lasting.String(), func(t *testing.T) {
				inFoulWeather(t, func(f *foul) {
					f.feed(5 * time.Second)
					test.down(f, true)
					f.feed(lasting)
					ready, page := f.report()
					gauge := f.gauge("rescind_failing", test.kind, page2name(page, test.kind))
					test.down(f, false)
					f.feed(40 * time.Second)
					lines := f.lines()
					f.settled(f.sent, time.Hour)

					for i := range lines {
						lines[i] = strings.SplitN(lines[i], " | "+test.why, 2)[0]
					}
					begins := test.kind + " does not get through | " + test.peer
					still := test.kind + " still does not get through | " + test.peer
					again := test.kind + " gets through again | " + test.peer
					want := []string{begins, again}
					if lasting == 170*time.Second {
						want = []string{begins, still, still, again}
					}
					if lasting == time.Second {
						want = nil
					}
					if got := strings.Join(lines, "\n"); got != strings.Join(want, "\n") {
						t.Errorf("said\n%s\nwant\n%s", got, strings.Join(want, "\n"))
					}
					if lasting == time.Second {
						return
					}
					t.Log(strings.Join(page, "\n"))
					if ready != (test.unready == "") || len(page) < 2 || !strings.HasPrefix(page[1], test.unready) || !strings.Contains(page[1], test.why) || !strings.Contains(page[1], test.do) {
						t.Errorf("/readyz says %t:\n%s", ready, strings.Join(page, "\n"))
					}
					if last := page[len(page)-1]; test.kind == "lane" && !strings.HasPrefix(last, "1 of 2 lanes fail: commands that need these wait; ") {
						t.Errorf("/readyz ends %q", last)
					}
					if gauge != 1 {
						t.Errorf("the gauge is %v", gauge)
					}
					if ready, page := f.report(); !ready || len(page) != 1 {
						t.Errorf("after it /readyz says\n%s", strings.Join(page, "\n"))
					}
					if n := f.gauge("rescind_failing_peers", test.kind); n != 0 {
						t.Errorf("after it %v fail", n)
					}
				})
			})
		}
	}
}

// page2name finds the name of the failing peer of a kind in a report.
func page2name(page []string, kind string) string {
	for _, line := range page {
		if _, rest, ok := strings.Cut(line, ": "+kind+" "); ok {
			name, _, _ := strings.Cut(rest, " does not get through")
			return name
		}
	}
	return ""
}

// TestAServiceThatNeverAnswersIsSaid has calls hang, which fail only after half a minute.
func TestAServiceThatNeverAnswersIsSaid(t *testing.T) {
	for service, peer := range map[string]string{"batch": lanePeer, "sns": topicPeer, "sqs": queuePeer} {
		t.Run(service, func(t *testing.T) {
			inFoulWeather(t, func(f *foul) {
				f.feed(5 * time.Second)
				f.sim.SetHang(service, true)
				began := time.Now()
				f.feed(28 * time.Second)
				failing := f.w.Failing()
				failing = slices.DeleteFunc(failing, func(each trouble.Failing) bool { return !strings.HasSuffix(each.Name, peer) })
				if len(failing) != 1 {
					t.Errorf("after 28 s: %v", f.w.Failing())
				} else if late := failing[0].Since.Sub(began); late > 2*time.Second {
					t.Errorf("since is %s late", late)
				}
				if service == "batch" {
					f.feed(5 * time.Second)
					if why := f.w.Failing()[0].String(); !strings.Contains(why, ": batch:CancelJobs at awssim.internal: no answer within 30s (the request may have been carried out); do: look at the network to Batch: ") {
						t.Errorf("after 33 s: %s", why)
					}
				}
				f.sim.SetHang(service, false)
				f.feed(40 * time.Second)
				f.settled(f.sent, time.Hour)
				lines := f.lines()
				lines = slices.DeleteFunc(lines, func(line string) bool { return strings.Contains(line, "(deleting)") }) // fails by itself, sooner
				if n := len(lines); n != 2 || !strings.Contains(lines[0], "does not get through | ") || !strings.Contains(lines[0], peer) || !strings.Contains(lines[n-1], "gets through again | ") {
					t.Errorf("said\n%s", strings.Join(lines, "\n"))
				} else if service == "batch" && !strings.HasSuffix(lines[0], " | no answer for 11s; 2 requests are out") {
					t.Errorf("said\n%s", strings.Join(lines, "\n"))
				}
			})
		})
	}
}

// TestADeadLetterQueueThatRefusesIsSaid has SQS refuse the sends for want of a key: the outcome is
// published, and the message is where it was until the dead-letter queue takes it.
func TestADeadLetterQueueThatRefusesIsSaid(t *testing.T) {
	inFoulWeather(t, func(f *foul) {
		f.between.refuse(http.StatusBadRequest, "KmsAccessDenied", "The ciphertext refers to a customer master key that does not exist", "SendMessageBatch")
		f.send(`{"action":"batch:Nothing"}`)
		time.Sleep(15 * time.Second)
		synctest.Wait()
		ready, page := f.report()
		if !ready || len(page) != 2 || !strings.Contains(page[1], "commands-dlq") && !strings.Contains(page[1], "dead-letter queue ") || !strings.Contains(page[1], "KMS key") {
			t.Errorf("/readyz says %t\n%s", ready, strings.Join(page, "\n"))
		}
		if n := f.gauge("rescind_dead_letter_failures_total"); n < 4 {
			t.Errorf("%v failures are counted", n)
		}
		if n := f.gauge("rescind_failing_peers", "dead-letter queue"); n != 1 {
			t.Errorf("%v dead-letter queues fail", n)
		}
		if n := f.sim.Depth(f.deadLetters).Visible; n != 0 {
			t.Errorf("%d messages are dead-lettered", n)
		}
		f.between.pass()
		if got := tally(f.settled(1, time.Minute)); got != "invalid:1" {
			t.Error(got)
		}
		if n := f.sim.Depth(f.deadLetters).Visible; n != 1 {
			t.Errorf("%d messages are dead-lettered after it", n)
		}
		lines := f.lines()
		if len(lines) != 3 || !strings.HasPrefix(lines[0], "message to be dead-lettered is held until") ||
			!strings.HasPrefix(lines[1], "dead-letter queue does not get through | ") || !strings.Contains(lines[1], "SQS SendMessageBatch: KmsAccessDenied: ") ||
			!strings.HasPrefix(lines[2], "dead-letter queue gets through again | ") {
			t.Errorf("said\n%s", strings.Join(lines, "\n"))
		}
	})
}

// TestDeletesThatAreRefusedAreSaid has one kind of request to a queue refused, and the others not.
func TestDeletesThatAreRefusedAreSaid(t *testing.T) {
	inFoulWeather(t, func(f *foul) {
		f.between.refuse(http.StatusForbidden, "AccessDeniedException", "no", "DeleteMessageBatch")
		f.feed(10 * time.Second)
		ready, page := f.report()
		if !ready || len(page) != 2 || !strings.Contains(page[1], "(deleting) fails since") || !strings.Contains(page[1], "allow sqs:DeleteMessage to") || !strings.Contains(page[1], "do not redrive them") {
			t.Errorf("/readyz says %t\n%s", ready, strings.Join(page, "\n"))
		}
		f.between.pass()
		f.settled(f.sent, time.Hour)
		if lines := f.lines(); len(lines) != 2 {
			t.Errorf("said\n%s", strings.Join(lines, "\n"))
		}
	})
}

// TestOneTargetThatFailsForEverIsSaidOnceAMinute has Batch fail for every request about one job.
func TestOneTargetThatFailsForEverIsSaidOnceAMinute(t *testing.T) {
	inFoulWeather(t, func(f *foul) {
		f.sim.SetFaults(awssim.Faults{"batch:CancelJobs": {Items: 1, ItemCode: "ServerException", Match: func(id string) bool { return id == "bad" }}})
		f.sim.PutJobs(awssim.Job{ID: "bad", State: "RUNNABLE"})
		f.send(cancelJob("c-bad", "bad"))
		f.feed(150 * time.Second)
		lines := f.lines()
		if len(lines) != 2 {
			t.Errorf("said %d lines in 150 s", len(lines))
		}
		for _, line := range lines {
			if !strings.HasPrefix(line, "lane gets through, but not for some targets | "+lanePeer+" | ServerException") {
				t.Error(line)
			}
		}
		f.sim.SetFaults(nil)
		if got := f.settled(f.sent+1, time.Hour); got["c-bad"].Status != handlers.Cancelled {
			t.Errorf("it ended %s", got["c-bad"].Status)
		}
	})
}

// TestThrottlingIsSaidAfterHalfAMinute has Batch throttle everything.
func TestThrottlingIsSaidAfterHalfAMinute(t *testing.T) {
	for _, test := range []struct {
		lasting time.Duration
		lines   int
	}{{20 * time.Second, 0}, {50 * time.Second, 2}} {
		inFoulWeather(t, func(f *foul) {
			f.between.refuse(http.StatusTooManyRequests, "TooManyRequestsException", "Too many", "/v1/canceljobs")
			f.feed(test.lasting)
			f.between.pass()
			f.settled(f.sent, time.Hour)
			if lines := f.lines(); len(lines) != test.lines {
				t.Errorf("%s: said\n%s", test.lasting, strings.Join(lines, "\n"))
			}
		})
	}
}
