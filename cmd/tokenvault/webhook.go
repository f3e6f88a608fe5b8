package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/server"
)

type webhookCmd struct {
	Add        webhookAddCmd        `cmd:"" help:"Register an endpoint and print the secret that signs its messages."`
	List       webhookListCmd       `cmd:"" help:"List endpoints."`
	Set        webhookSetCmd        `cmd:"" help:"Change an endpoint, or enable it again."`
	Rotate     webhookRotateCmd     `cmd:"" help:"Give an endpoint a new secret; that of before signs too for 24 hours."`
	Remove     webhookRemoveCmd     `cmd:"" help:"Delete an endpoint with its deliveries."`
	Test       webhookTestCmd       `cmd:"" help:"Send an endpoint a message of type webhook.test."`
	Deliveries webhookDeliveriesCmd `cmd:"" help:"List what an endpoint was told, the newest first."`
	Redeliver  webhookRedeliverCmd  `cmd:"" help:"Send a message again at once, with its id."`
}

func webhookTypes(names []string) (types []tokenvault.WebhookType) {
	for _, name := range names {
		types = append(types, tokenvault.WebhookType(name))
	}
	return types
}

// noWebhook says what to do about an id that nobody has.
func noWebhook(id string, err error) error {
	if errors.Is(err, tokenvault.ErrNotFound) {
		return fmt.Errorf("no webhook has the id %q: see 'tokenvault webhook list'", id)
	}
	return err
}

type webhookAddCmd struct {
	URL          string   `arg:"" help:"Where to POST: https at a public host, or a host:port of --allow-hosts."`
	Types        []string `help:"What to tell, such as connection.needs_reauth; several with commas. Default: everything."`
	Organization string   `help:"Tell changes of this organization only. Default: everybody's." placeholder:"ID"`
}

// Help says how messages look.
func (webhookAddCmd) Help() string {
	return `Messages follow Standard Webhooks: a JSON body, and the headers webhook-id,
webhook-timestamp and webhook-signature. The secret is printed this once. Any
running server sends them, and tries again for three days.`
}

// Run prints the secret alone on standard output.
func (cmd webhookAddCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	return withVault(ctx, cfg, std, func(o *server.Opened) error {
		w, secret, err := o.Vault.CreateWebhook(ctx, o.Admin(), tokenvault.WebhookInput{
			URL: cmd.URL, Types: webhookTypes(cmd.Types), OrganizationID: cmd.Organization,
		})
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(std.err, "Registered as %s. The secret is not shown again:\n", w.ID)
		_, err = fmt.Fprintln(std.out, secret.Reveal())
		return err
	})
}

type webhookListCmd struct{}

// Run prints one line an endpoint.
func (webhookListCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	return withVault(ctx, cfg, std, func(o *server.Opened) error {
		w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "ID\tSTATE\tORGANIZATION\tURL\tTYPES")
		page := tokenvault.Page{Limit: 1000}
		for {
			list, err := o.Vault.Webhooks(ctx, o.Admin(), page)
			if err != nil {
				return err
			}
			for _, hook := range list {
				state, types := "enabled", make([]string, len(hook.Types))
				if !hook.Enabled {
					state = "disabled"
				}
				for i, t := range hook.Types {
					types[i] = string(t)
				}
				_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", hook.ID, state, orDash(hook.OrganizationID), hook.URL, orDash(strings.Join(types, ",")))
			}
			if len(list) < page.Limit {
				return w.Flush()
			}
			page.After = list[len(list)-1].ID
		}
	})
}

type webhookSetCmd struct {
	ID      string   `arg:"" help:"Id of the endpoint, from the list."`
	URL     string   `help:"Where to POST instead." placeholder:"URL"`
	Types   []string `help:"What to tell, such as connection.needs_reauth; several with commas. Default: as it was."`
	All     bool     `help:"Tell everything." xor:"types"`
	Enable  bool     `help:"Send to it again." xor:"state"`
	Disable bool     `help:"Send nothing to it." xor:"state"`
}

// Run changes what is named and leaves the rest.
func (cmd webhookSetCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	return withVault(ctx, cfg, std, func(o *server.Opened) error {
		w, err := o.Vault.Webhook(ctx, o.Admin(), cmd.ID)
		if err != nil {
			return noWebhook(cmd.ID, err)
		}
		in := tokenvault.WebhookInput{URL: w.URL, Types: w.Types, Disabled: (!w.Enabled || cmd.Disable) && !cmd.Enable}
		if cmd.URL != "" {
			in.URL = cmd.URL
		}
		if len(cmd.Types) > 0 || cmd.All {
			in.Types = webhookTypes(cmd.Types)
		}
		if _, err := o.Vault.UpdateWebhook(ctx, o.Admin(), cmd.ID, in); err != nil {
			return err
		}
		_, err = fmt.Fprintln(std.out, "Changed")
		return err
	})
}

type webhookRotateCmd struct {
	ID string `arg:"" help:"Id of the endpoint, from the list."`
}

// Run prints the new secret alone on standard output.
func (cmd webhookRotateCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	return withVault(ctx, cfg, std, func(o *server.Opened) error {
		w, secret, err := o.Vault.RotateWebhook(ctx, o.Admin(), cmd.ID)
		if err != nil {
			return noWebhook(cmd.ID, err)
		}
		_, _ = fmt.Fprintf(std.err, "The secret of before signs too until %s. The new one is not shown again:\n", w.OverlapUntil.Format(time.RFC3339))
		_, err = fmt.Fprintln(std.out, secret.Reveal())
		return err
	})
}

type webhookRemoveCmd struct {
	ID string `arg:"" help:"Id of the endpoint, from the list."`
}

// Run deletes the endpoint.
func (cmd webhookRemoveCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	return withVault(ctx, cfg, std, func(o *server.Opened) error {
		if err := o.Vault.DeleteWebhook(ctx, o.Admin(), cmd.ID); err != nil {
			return noWebhook(cmd.ID, err)
		}
		_, err := fmt.Fprintln(std.out, "Removed, with its deliveries")
		return err
	})
}

type webhookTestCmd struct {
	ID string `arg:"" help:"Id of the endpoint, from the list."`
}

// Run leaves the sending to a running server.
func (cmd webhookTestCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	return withVault(ctx, cfg, std, func(o *server.Opened) error {
		d, err := o.Vault.TestWebhook(ctx, o.Admin(), cmd.ID)
		if err != nil {
			return noWebhook(cmd.ID, err)
		}
		return sentLater(std, cmd.ID, d)
	})
}

func sentLater(std streams, webhookID string, d tokenvault.WebhookDelivery) error {
	_, err := fmt.Fprintf(std.out, "Due now as %s: a running server sends it within 5 seconds; see 'tokenvault webhook deliveries %s'\n", d.ID, webhookID)
	return err
}

type webhookDeliveriesCmd struct {
	ID    string `arg:"" help:"Id of the endpoint, from the list."`
	State string `help:"Only those in this state: pending, delivered or dead (given up)." enum:"pending,delivered,dead," default:""`
	Limit int    `help:"How many at most." default:"50"`
}

// Run prints one line a delivery.
func (cmd webhookDeliveriesCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	return withVault(ctx, cfg, std, func(o *server.Opened) error {
		list, err := o.Vault.WebhookDeliveries(ctx, o.Admin(), tokenvault.DeliveryQuery{
			Page: tokenvault.Page{Limit: cmd.Limit}, WebhookID: cmd.ID, State: tokenvault.DeliveryState(cmd.State),
		})
		if err != nil {
			return noWebhook(cmd.ID, err)
		}
		w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "CREATED\tTYPE\tSTATE\tATTEMPTS\tERROR\tNEXT TRY\tID")
		for _, d := range list {
			next := ""
			if !d.NextTryAt.IsZero() {
				next = d.NextTryAt.Format(time.RFC3339)
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%s\n", d.CreatedAt.Format(time.RFC3339), d.Type, d.State, d.Attempts, orDash(d.Error), orDash(next), d.ID)
		}
		return w.Flush()
	})
}

type webhookRedeliverCmd struct {
	ID       string `arg:"" help:"Id of the endpoint, from the list."`
	Delivery string `arg:"" help:"Id of the message, from 'tokenvault webhook deliveries'."`
}

// Run leaves the sending to a running server.
func (cmd webhookRedeliverCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	return withVault(ctx, cfg, std, func(o *server.Opened) error {
		d, err := o.Vault.RedeliverWebhook(ctx, o.Admin(), cmd.ID, cmd.Delivery)
		switch {
		case errors.Is(err, tokenvault.ErrNotFound):
			return fmt.Errorf("the webhook %q has no message %q: see 'tokenvault webhook deliveries'", cmd.ID, cmd.Delivery)
		case errors.Is(err, tokenvault.ErrConflict):
			return fmt.Errorf("a server is sending it now, or the webhook is disabled: 'tokenvault webhook set %s --enable'", cmd.ID)
		case err != nil:
			return err
		}
		return sentLater(std, cmd.ID, d)
	})
}
