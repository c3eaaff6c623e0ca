package peers_test

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

// difference is what a peer does otherwise than AWS documents it, in the tests whose names
// match a pattern as package path has them.
type difference struct{ peer, tests, does string }

// differences are left out for that peer only, and said aloud. The package comment lists them.
var differences = []difference{
	{"fauxqs", "a queue is made once", "says QueueNameExists where AWS's query error is QueueAlreadyExists"},
	{"fauxqs", "an unknown attribute is refused", "leaves it out of the answer"},
	{"fauxqs", "an attribute out of bounds is refused", "puts AWS.SimpleQueueService. before the code"},
	{"fauxqs", "an empty body", "puts AWS.SimpleQueueService. before the code"},
	{"fauxqs", "a body with a control character", "puts AWS.SimpleQueueService. before the code"},
	{"fauxqs", "too large for the queue", "puts AWS.SimpleQueueService. before the code"},
	{"fauxqs", "the largest message", "puts AWS.SimpleQueueService. before the code"},
	{"fauxqs", "extended beyond twelve hours", "puts AWS.SimpleQueueService. before the code"},
	{"fauxqs", "a body beyond the basic plane", "refuses characters above U+FFFD"},
	{"fauxqs", "a group on a standard queue", "forgets the group"},
	{"fauxqs", "a group on a standard topic", "forgets the group"},
	{"fauxqs", "deleting by a handle that is none", "says yes"},
	{"fauxqs", "deleting a batch of which one handle is none", "says yes"},
	{"fauxqs", "released by a handle that is none", "says MessageNotInflight"},
	{"fauxqs", "deleted while it is visible again", "says yes and keeps it"},
	{"fauxqs", "a dead letter names its source", "does not name it"},
	{"fauxqs", "the sources of a dead-letter queue", "has no such operation"},
	{"fauxqs", "* of an id of 81 letters", "takes it"},
	{"fauxqs", "a batch of which one message is delayed too long", "takes it"},
	{"fauxqs", `filter policy {"tags":?"blue"?}`, "does not look into a String.Array"},
	{"fauxqs", "raw delivery of eleven attributes", "delivers it"},
	{"fauxqs", "a message for each protocol", "delivers the whole of it"},
	{"fauxqs", "a batch published of which one message is bad", "publishes an empty message"},
	{"fauxqs", "a batch published too long in all", "publishes it"},
	{"fauxqs", "a batch published of which one structure is unknown", "takes any structure for none"},
	{"moto", "an attribute out of bounds is refused", "sets it"},
	{"moto", "an empty body", "takes it"},
	{"moto", "a body with a control character", "takes it"},
	{"moto", "a batch of which one message is bad", "takes a control character"},
	{"moto", "a batch of which one message is delayed too long", "writes SenderFault as a string, which no SDK reads"},
	{"moto", "ChangeMessageVisibilityBatch of *", "looks at no bound"},
	{"moto", "DeleteMessageBatch of eleven", "looks for repeated handles, and at no other bound"},
	{"moto", "DeleteMessageBatch of an id *", "looks for repeated handles, and at no other bound"},
	{"moto", "released twice", "says yes"},
	{"moto", "a handle that is not the newest deletes nothing", "deletes, which AWS leaves open"},
	{"moto", "a dead letter names its source", "does not name it"},
	{"moto", "filter policy *equals-ignore-case*", "has no such matcher"},
	{"moto", "raw delivery of eleven attributes", "delivers it"},
	{"moto", "the signature's version by default", "writes 2"},
	{"moto", "an empty message", "publishes it"},
	{"moto", "a batch published of which one message is bad", "publishes an empty message"},
	{"moto", "a batch published too long in all", "publishes it"},
	{"moto", "PublishBatch of no entry", "says yes"},
	{"moto", "PublishBatch of an id with a space", "takes it"},
	{"moto", "condition n < :v {:v=S a}", "breaks with a 500"},
	{"moto", "condition attribute_not_exists(:v)*", "breaks with a 500"},
	{"moto", "condition s = :v {:unused=*", "takes what is not used"},
	{"moto", "condition s = :undefined*", "breaks with a 500"},
	{"moto", "condition s =  {}", "breaks with a 500"},
	{"moto", "condition s = :v extra*", "breaks with a 500"},
	{"moto", "condition nofunction*", "breaks with a 500"},
	{"moto", "condition if_not_exists(s, n)*", "breaks with a 500"},
	{"moto", "condition (s = :v {*", "breaks with a 500"},
	{"moto", "condition s = :v AND {*", "breaks with a 500"},
	{"moto", "condition l < :v*", "compares, and finds none"},
	{"moto", "condition attribute_exists(s, n)*", "breaks with a 500"},
	{"moto", "condition   {}", "breaks with a 500"},
	{"moto", "query  #group = :g limit 0 {:g=N 1}", "takes any type"},
	{"moto", "query  #group = :g OR*", "breaks with a 500"},
	{"moto", "query  #group <>*", "breaks with a 500"},
	{"moto", "query  #group = :g limit 5*", "says that a page is the last where its limit was met by the last item"},
	{"moto", "query nobody*", "says ResourceNotFoundException"},
	{"moto", "time to live is set once", "sets it again"},
	{"moto", "numbers lose their zeros", "keeps them"},
	{"moto", "numbers that are none or too long", "takes them"},
	{"moto", "an item of 400 KB", "counts otherwise"},
	{"moto", "keys that are none", "looks at no index's keys"},
	{"moto", "keys of 2,048 bytes", "looks at no index's keys"},
	{"moto", "a batch is written and read", "takes an item twice"},
	{"moto", "a token makes a transaction once", "forgets tokens"},
	{"moto", "cancelling an IoT execution that nobody knows", "breaks with a 500"},
}

// differs returns what a peer is listed to do otherwise in a test.
func differs(peer, test string) (does string, listed bool) {
	for _, d := range differences {
		if fits, _ := path.Match(d.tests, test); d.peer == peer && fits {
			return d.does, true
		}
	}
	return "", false
}

// TestDifferencesAreDocumented holds the package comment to the table.
func TestDifferencesAreDocumented(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "//\t") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	for _, d := range differences {
		want = append(want, fmt.Sprintf("//\t%s: %s: %s", d.peer, d.tests, d.does))
	}
	if !slices.Equal(got, want) {
		t.Errorf("the rows of doc.go are\n%s\nand must be\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
