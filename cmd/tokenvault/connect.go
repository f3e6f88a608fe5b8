package main

import (
	"context"
	"errors"
	"fmt"
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
}

// Run asks, prints the link if somebody has to act, and waits. The credential
// itself is not printed.
func (cmd connectCmd) Run(ctx context.Context, _ server.Config, std streams) error {
	key, err := readSecret(cmd.KeyFile, "TOKENVAULT_API_KEY", std.in)
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
	req := client.ResolveRequest{ProviderID: cmd.Provider, Scopes: cmd.Scopes}
	_, err = c.ResolveWait(ctx, req, func(r tokenvault.AuthRequest) {
		_, _ = fmt.Fprintf(std.out, "%s: open %s\nWaiting …\n", r.Message(), r.ConnectURL)
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.out, "%s is connected%s\n", cmd.Provider, scopesText(cmd.Scopes))
	return err
}

func scopesText(scopes []string) string {
	if len(scopes) == 0 {
		return ""
	}
	return " with " + strings.Join(scopes, ", ")
}
