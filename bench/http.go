package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

const (
	connections = 64
	window      = 4 * time.Second
	httpGoal    = 0.25
)

// serveHello is the floor: the least that a net/http server does. It prints its
// address like the server prints its own.
func serveHello(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("Serving http://%s\n", listener.Addr())
	srv := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"hello":"world"}`)
	})}
	go func() { <-ctx.Done(); _ = srv.Close() }()
	if err := srv.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// httpRatio compares resolves per second over HTTP, with key and audit, with the
// floor, at 64 connections.
func httpRatio(ctx context.Context, binary, data string, key tokenvault.Secret) (result, error) {
	self, err := os.Executable()
	if err != nil {
		return result{}, err
	}
	hello := exec.CommandContext(ctx, self, "-hello") //nolint:gosec // this program itself
	floor, err := rateOf(ctx, hello, func(ctx context.Context, base string) (*http.Request, error) {
		return http.NewRequestWithContext(ctx, http.MethodGet, base+"/", http.NoBody)
	})
	if err != nil {
		return result{}, fmt.Errorf("floor: %w", err)
	}
	cmd := exec.CommandContext(ctx, binary, "serve", "--data-dir", data, "--listen", "127.0.0.1:0") //nolint:gosec // our own binary
	ours, err := rateOf(ctx, cmd, func(ctx context.Context, base string) (*http.Request, error) {
		body := strings.NewReader(`{"scopes":["repo"],"release":"token"}`)
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v1/credentials/github/resolve", body)
		if err == nil {
			r.Header.Set("Authorization", "Bearer "+key.Reveal())
			r.Header.Set("Content-Type", "application/json")
		}
		return r, err
	})
	if err != nil {
		return result{}, fmt.Errorf("server: %w", err)
	}
	return result{
		name: "http_resolve_rate", ratio: ours / floor, goal: httpGoal, atLeast: true,
		detail: fmt.Sprintf("%.0f/s against %.0f/s of net/http", ours, floor),
	}, nil
}

// rateOf starts a server, waits for the line that names its address, and counts
// answers.
func rateOf(ctx context.Context, cmd *exec.Cmd, request func(context.Context, string) (*http.Request, error)) (rate float64, err error) {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
	}()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if base, ok := strings.CutPrefix(lines.Text(), "Serving "); ok {
			return load(ctx, base, request)
		}
	}
	return 0, errors.New("the server did not start")
}

func load(ctx context.Context, base string, request func(context.Context, string) (*http.Request, error)) (float64, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections}}
	defer client.CloseIdleConnections()
	var answers atomic.Int64
	var failed atomic.Value
	ctx, cancel := context.WithTimeout(ctx, window)
	defer cancel()
	var wg sync.WaitGroup
	for range connections {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := once(ctx, client, base, request); err == nil {
					answers.Add(1)
				} else if ctx.Err() == nil {
					failed.Store(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err, ok := failed.Load().(error); ok {
		return 0, err
	}
	return float64(answers.Load()) / window.Seconds(), nil
}

func once(ctx context.Context, client *http.Client, base string, request func(context.Context, string) (*http.Request, error)) error {
	r, err := request(ctx, base)
	if err != nil {
		return err
	}
	res, err := client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", res.StatusCode)
	}
	return nil
}
