// Command zitadel runs the OpenID provider of github.com/zitadel/oidc as a second,
// independent server to test against. It lives in a module of its own, so that
// nothing of it reaches the product.
//
// CALLBACK is the redirect URI of its client "web" with secret "secret". It prints
// {"issuer": …} on one line and ends when standard input closes.
package main

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
)

func main() {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if err := run(log); err != nil {
		log.Error("stopped", slog.Any("error", err))
		os.Exit(1)
	}
}

func run(log *slog.Logger) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	issuer := "http://" + listener.Addr().String()
	storage.RegisterClients(storage.WebClient("web", "secret", os.Getenv("CALLBACK")))
	store := storage.NewStorage(storage.NewUserStore(issuer + "/"))
	server := &http.Server{Handler: exampleop.SetupServer(issuer, store, log, false), ReadHeaderTimeout: 5 * time.Second}
	if err := json.NewEncoder(os.Stdout).Encode(map[string]string{"issuer": issuer}); err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = server.Close()
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
