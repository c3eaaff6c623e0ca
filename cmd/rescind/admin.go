package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"github.com/rescindhq/rescind/worker"
)

// admin serves /healthz, /readyz, /metrics and /debug/pprof.
type admin struct {
	address string // that it listens on
	server  *http.Server
	done    chan error
}

// adminClose bounds how long requests under way may take when the worker ends.
const adminClose = 2 * time.Second

// serveAdmin serves on an address until close is called.
func serveAdmin(ctx context.Context, addr string, w *worker.Worker, log *zap.Logger) (*admin, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listening for health and metrics: %w; set RESCIND_ADMIN_ADDR to a free address, such as 127.0.0.1:0", err)
	}
	a := &admin{
		address: l.Addr().String(),
		server:  &http.Server{Handler: adminHandler(w), ReadHeaderTimeout: 5 * time.Second},
		done:    make(chan error, 1),
	}
	go func() { a.done <- a.server.Serve(l) }()
	log.Info("serving health and metrics", zap.String("address", a.address))
	return a, nil
}

func adminHandler(w *worker.Worker) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(w.Metrics(), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(rw http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(rw, "ok")
	})
	mux.HandleFunc("GET /readyz", func(rw http.ResponseWriter, _ *http.Request) { readyz(rw, w) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// readyz answers 200 while commands are taken, and 503 with the reasons while they are not.
func readyz(rw http.ResponseWriter, w *worker.Worker) {
	answer := struct {
		Ready   bool              `json:"ready"`
		Reasons map[string]string `json:"reasons,omitempty"`
	}{Reasons: make(map[string]string)}
	for what, why := range w.Ready() {
		answer.Reasons[what] = why.Error()
	}
	answer.Ready = len(answer.Reasons) == 0
	rw.Header().Set("Content-Type", "application/json")
	if !answer.Ready {
		rw.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(rw).Encode(answer) // the client may have gone
}

// close lets requests under way finish for a moment, and ends the rest.
func (a *admin) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), adminClose)
	defer cancel()
	err := a.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = a.server.Close() // a profile may run for half a minute; nobody waits for it
	}
	if served := <-a.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
