package worker

import (
	"net/http"
	"os"
	"runtime/debug"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

const (
	// connections is how many idle connections to a host remain open: as many as there are calls
	// under way to one service at the most usual.
	connections = 512
	// writeBuffer and readBuffer hold a usual request and a usual answer whole: ten outcomes
	// take about 32 KiB as SNS's form, ten messages about 12 KiB. With net/http's 4 KiB each
	// request would be copied once more and take two writes.
	writeBuffer, readBuffer = 40 << 10, 16 << 10
)

// HTTPClient is a client for Options.AWS that fits a worker: connections and buffers enough.
// Everything else is the SDK's default.
func HTTPClient() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConns = 0
		t.MaxIdleConnsPerHost = connections
		t.WriteBufferSize, t.ReadBufferSize = writeBuffer, readBuffer
	})
}

const (
	// gcPercent lets the heap grow to five times what lives before it is collected, where Go's
	// own 100 is twice: most of a worker's garbage is made in bursts of requests beside little
	// that lives, and collecting it took a quarter of the processor time.
	gcPercent = 400
	// memoryBase and memoryEach bound what that may come to: beyond them, and what the messages
	// in flight need, the collector runs as often as it must (at most half of the time: Go's own
	// bound). 5,000 in flight make 196 MiB.
	memoryBase, memoryEach = 128 << 20, 14 << 10
)

// TuneMemory sets the process's garbage collector for a worker that holds up to maxInFlight
// messages. Where GOGC or GOMEMLIMIT says otherwise it changes nothing. Call it once, in a process
// that is a worker's own.
func TuneMemory(maxInFlight int) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(memoryBase + int64(maxInFlight)*memoryEach)
}
