package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/flow/browserflow"
	"github.com/ai-token-vault/tokenvault/flow/browserflow/chromium"
	"github.com/ai-token-vault/tokenvault/httpapi"
	"github.com/ai-token-vault/tokenvault/seal/keyring"
	"github.com/ai-token-vault/tokenvault/store/memory"
)

//go:embed pages
var pages embed.FS

// The pages that are measured: one in motion, and one that answers a click.
const (
	motion = "motion"
	flip   = "flip"
)

// oneUser signs everybody in as the same user.
type oneUser struct{}

func (oneUser) Authenticate(*http.Request) (tokenvault.Actor, error) {
	return tokenvault.Actor{Kind: tokenvault.ActorUser, ID: "u", Owner: tokenvault.Owner{Tenant: tokenvault.DefaultTenant, UserID: "u"}}, nil
}

// serveView serves a vault whose browsers show the pages, and the pages themselves.
func serveView(ctx context.Context, dir string) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	host := listener.Addr().String()
	user := ""
	if os.Getuid() == 0 {
		user = "nobody"
	}
	browsers, err := chromium.New(ctx, chromium.Options{User: user, AllowHosts: []string{host}, MaxSessions: 4})
	if err != nil {
		return err
	}
	cat, err := tokenvault.NewCatalog(pageProvider(host, motion), pageProvider(host, flip))
	if err != nil {
		return err
	}
	sealer, _, err := keyring.Load(filepath.Join(dir, "view-key.json"), tokenvault.Secret{}, tokenvault.Secret{}, false)
	if err != nil {
		return err
	}
	vault, err := tokenvault.New(memory.New(nil), sealer, cat, &tokenvault.Options{
		PublicURL: "http://" + host,
		Flows:     map[tokenvault.AuthMethod]tokenvault.Flow{tokenvault.AuthBrowserLogin: browserflow.New(browsers)},
	})
	if err != nil {
		return err
	}
	static, err := fs.Sub(pages, "pages")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/pages/", http.StripPrefix("/pages", http.FileServerFS(static)))
	mux.Handle("/", httpapi.NewHandler(vault, oneUser{}, nil))
	fmt.Printf("Serving http://%s\n", host)
	srv := &http.Server{ReadHeaderTimeout: time.Second, Handler: mux}
	go func() { <-ctx.Done(); _ = srv.Close() }()
	if err := srv.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return errors.Join(vault.Close(context.WithoutCancel(ctx)), browsers.Close())
}

func pageProvider(host, name string) tokenvault.Provider {
	return tokenvault.Provider{
		ID: name, Name: name, Service: name, AuthMethod: tokenvault.AuthBrowserLogin, Hosts: []string{host},
		Login: &tokenvault.Login{
			URL: pageURL("http://"+host, name), Domains: []string{host},
			Signs: []tokenvault.LoginSign{{Strategy: tokenvault.SignCookie, Pattern: "never"}},
		},
	}
}

func pageURL(base, name string) string { return base + "/pages/" + name + ".html" }
