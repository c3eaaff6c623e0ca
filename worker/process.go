package worker

import (
	"net/http"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

const (
	// connections is how many idle connections to a host are kept: as many as there are calls
	// under way to one service at the most usual.
	connections = 512
	// writeBuffer and readBuffer hold a usual request and a usual answer whole: ten outcomes
	// take about 24 KiB as SNS's form, ten messages about 12 KiB. With net/http's 4 KiB each
	// request would be copied once more and take two writes.
	writeBuffer, readBuffer = 32 << 10, 16 << 10
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
