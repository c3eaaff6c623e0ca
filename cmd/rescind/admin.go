package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"github.com/rescindhq/rescind/internal/terminal"
	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/ledger"
)

// admin serves /healthz, /readyz, /ended, /records, /metrics and /debug/pprof.
type admin struct {
	address string // where it listens
	server  *http.Server
	done    chan error
}

// adminClose is how long requests in progress may take when the worker has stopped.
const adminClose = 2 * time.Second

// listenAdmin listens on the address of RESCIND_ADMIN_ADDR. Its error is of one line.
func listenAdmin(ctx context.Context, addr string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	var wrong *net.AddrError
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("RESCIND_ADMIN_ADDR is %s, where another process listens already, whose /readyz and /metrics are not this worker's: "+
			"stop that one, or set a free address, such as 127.0.0.1:0", addr)
	case errors.As(err, &wrong):
		return nil, misused("RESCIND_ADMIN_ADDR must be host:port, such as 127.0.0.1:9464, not %q (%s)", addr, wrong.Err)
	}
	return nil, fmt.Errorf("RESCIND_ADMIN_ADDR is %q, and cannot be listened on (%w): set an address of this machine, such as 127.0.0.1:9464", addr, errors.Unwrap(err))
}

// serveAdmin serves on an address until close is called.
func serveAdmin(ctx context.Context, addr string, w *worker.Worker, log *zap.Logger) (*admin, error) {
	l, err := listenAdmin(ctx, addr)
	if err != nil {
		return nil, err
	}
	return serveAdminOn(l, w, log), nil
}

func serveAdminOn(l net.Listener, w *worker.Worker, log *zap.Logger) *admin {
	a := &admin{
		address: l.Addr().String(),
		server:  &http.Server{Handler: adminHandler(w), ReadHeaderTimeout: 5 * time.Second},
		done:    make(chan error, 1),
	}
	go func() { a.done <- a.server.Serve(l) }()
	log.Info("serving health and metrics", zap.String("address", a.address))
	return a
}

func adminHandler(w *worker.Worker) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(w.Metrics(), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(rw http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(rw, "ok")
	})
	mux.HandleFunc("GET /readyz", func(rw http.ResponseWriter, _ *http.Request) { readyz(rw, w) })
	mux.HandleFunc("GET "+endedPath, func(rw http.ResponseWriter, r *http.Request) { serveEnded(rw, r, w) })
	mux.HandleFunc("GET "+recordsPath, func(rw http.ResponseWriter, r *http.Request) { serveRecords(rw, r, w) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// readyz answers 200 while the worker receives commands and 503 while it does not, with the lines of
// [worker.Worker.Report].
func readyz(rw http.ResponseWriter, w *worker.Worker) {
	ready, lines := w.Report()
	rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if !ready {
		rw.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = io.WriteString(rw, terminal.Text(strings.Join(lines, "\n")+"\n", 0)) // the client may have gone
}

const (
	// endedPath is where a worker is asked which commands have ended.
	endedPath = "/ended"
	// maxEndedKeys bounds the keys of one question, and so the answer: an outcome has 200 KiB at most.
	maxEndedKeys = 100
)

// endedAnswer is the answer of endedPath.
type endedAnswer struct {
	Queues []string       `json:"queues"`
	Ended  []endedCommand `json:"ended"`
}

// endedCommand is a command that has ended.
type endedCommand struct {
	Key         string         `json:"key"`
	Fingerprint string         `json:"fingerprint"` // in hexadecimal digits
	Outcome     jsontext.Value `json:"outcome"`
}

// serveEnded answers which commands have ended among those whose keys the query names, as in ?key=A&key=B,
// from the ledger: a bolt file can be read by its worker alone. It changes nothing.
func serveEnded(rw http.ResponseWriter, r *http.Request, w *worker.Worker) {
	keys := r.URL.Query()["key"]
	if len(keys) > maxEndedKeys {
		http.Error(rw, fmt.Sprintf("at most %d keys, not %d", maxEndedKeys, len(keys)), http.StatusBadRequest)
		return
	}
	records, err := w.Ended(r.Context(), keys...)
	if err != nil && !ledger.IsOfRecord(err) {
		http.Error(rw, err.Error(), http.StatusServiceUnavailable)
		return
	}
	answer := endedAnswer{Queues: w.Queues(), Ended: []endedCommand{}}
	for _, r := range records {
		answer.Ended = append(answer.Ended, endedCommand{r.Key, hex.EncodeToString(r.Fingerprint[:]), r.Outcome})
	}
	rw.Header().Set("Content-Type", "application/json")
	_ = json.MarshalWrite(rw, answer) // the client may have gone
}

// close waits up to adminClose for requests in progress, and ends the others.
func (a *admin) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), adminClose)
	defer cancel()
	err := a.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = a.server.Close() // a profile takes half a minute, which is not waited for
	}
	if served := <-a.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
