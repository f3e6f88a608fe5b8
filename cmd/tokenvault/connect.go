package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"runtime"
	"strings"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/client"
	"github.com/ai-token-vault/tokenvault/server"
)

type connectCmd struct {
	Provider string   `arg:"" help:"Provider, such as github."`
	Server   string   `help:"Server to ask." default:"http://127.0.0.1:8420" env:"TOKENVAULT_SERVER"`
	KeyFile  string   `name:"api-key-file" help:"File with the agent's key; - reads it from standard input. Without it TOKENVAULT_API_KEY is used." env:"TOKENVAULT_API_KEY_FILE"`
	Scopes   []string `help:"Scopes that are needed."`
	Release  string   `help:"What the owner is asked to permit: inject (requests are authorized on the agent's behalf) or token (the agent gets the token itself)." enum:"inject,token" default:"inject"`
	Open     bool     `help:"Open the link in this machine's browser, beside printing it: the consent page, or the live view of a login without OAuth."`
}

// Run asks, prints the link if somebody has to act, and waits. The credential
// itself is not printed.
func (cmd connectCmd) Run(ctx context.Context, _ server.Config, std streams) error {
	key, err := readSecret("api-key-file", cmd.KeyFile, "TOKENVAULT_API_KEY", std.in)
	if err != nil {
		return err
	}
	if key.IsZero() {
		return errors.New("no API key: create one with 'tokenvault apikey create', and give it in TOKENVAULT_API_KEY or --api-key-file")
	}
	c, err := client.New(cmd.Server, key, nil)
	if err != nil {
		return err
	}
	req := client.ResolveRequest{ProviderID: cmd.Provider, Scopes: cmd.Scopes, Release: tokenvault.Release(cmd.Release)}
	_, err = c.ResolveWait(ctx, req, func(r tokenvault.AuthRequest) {
		_, _ = fmt.Fprintf(std.out, "%s: open %s\nWaiting …\n", r.Message(), r.ConnectURL)
		if cmd.Open {
			if err := openLink(ctx, r.ConnectURL); err != nil {
				_, _ = fmt.Fprintf(std.out, "No browser could be opened here (%v): open the link yourself.\n", err)
			}
		}
	})
	if err != nil {
		return cmd.explain(ctx, err)
	}
	_, err = fmt.Fprintf(std.out, "%s is connected%s\n", cmd.Provider, scopesText(cmd.Scopes))
	return err
}

// openLink shows a link in the browser of who is at this machine.
func openLink(ctx context.Context, link string) error {
	program := "xdg-open"
	if runtime.GOOS == "darwin" {
		program = "open"
	}
	return exec.CommandContext(context.WithoutCancel(ctx), program, link).Start() //nolint:gosec // the server's own link
}

// explain says what to do about the server's refusal.
func (cmd connectCmd) explain(ctx context.Context, err error) error {
	refused, _ := errors.AsType[*client.Error](err)
	settled, _ := errors.AsType[*tokenvault.AuthRequiredError](err)
	_, unreachable := errors.AsType[*url.Error](err)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s: stopped waiting; the link stays valid: run the command again to wait on", cmd.Provider)
	case settled != nil:
		return fmt.Errorf("%s: the request ended as %s: run the command again for a new link", cmd.Provider, settled.Request.Status)
	case errors.Is(err, tokenvault.ErrUnauthenticated):
		return fmt.Errorf("the server at %s refuses the API key: it is wrong, expired or revoked: see 'tokenvault apikey list', or create one with 'tokenvault apikey create'", cmd.Server)
	case errors.Is(err, tokenvault.ErrNotFound):
		return unknownProvider(cmd.Provider)
	case refused != nil && refused.Code == "no_app":
		return fmt.Errorf("no app is registered for %q: register one with 'tokenvault app set %s --client-id …'", cmd.Provider, cmd.Provider)
	case refused != nil:
		return fmt.Errorf("the server at %s refuses: %s", cmd.Server, refused.Detail)
	case unreachable:
		return fmt.Errorf("no server can be reached at %s: start one with 'tokenvault serve', or name another with --server", cmd.Server)
	}
	return err
}

func scopesText(scopes []string) string {
	if len(scopes) == 0 {
		return ""
	}
	return " with " + strings.Join(scopes, ", ")
}
