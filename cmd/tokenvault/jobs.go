package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/server"
)

type jobsCmd struct {
	List  jobsListCmd  `cmd:"" help:"List background work that is not done."`
	Retry jobsRetryCmd `cmd:"" help:"Have background work done again at once."`
}

type jobsListCmd struct {
	State string `help:"Only work in this state: ready (it waits), leased (a server is at it) or dead (given up)." enum:"ready,leased,dead," default:""`
}

// Help says what a job is.
func (jobsListCmd) Help() string {
	return `Work that follows from a command, such as ending a grant at its provider after it
was revoked here, is done by any running server and tried again with growing
pauses. After 12 turns, or at once if it cannot succeed, it is dead: it is kept
with the code of its last failure. 'tokenvault jobs retry' gives it 12 more turns.

Webhooks are delivered by jobs too, with pauses of their own: see 'tokenvault
webhook deliveries'.`
}

// Run prints one line a job.
func (cmd jobsListCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	return withVault(ctx, cfg, std, func(o *server.Opened) error {
		w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "ID\tKIND\tSTATE\tPROVIDER\tCONNECTION\tTURNS\tDUE\tERROR")
		q := tokenvault.JobQuery{Page: tokenvault.Page{Limit: 1000}, State: tokenvault.JobState(cmd.State)}
		for {
			jobs, err := o.Vault.Jobs(ctx, o.Admin(), q)
			if err != nil {
				return err
			}
			for _, j := range jobs {
				_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", j.ID, j.Kind, j.State, orDash(j.ProviderID), orDash(j.ConnectionID),
					j.Attempts, j.DueAt.Format(time.RFC3339), orDash(j.Error))
			}
			if len(jobs) < q.Limit {
				return w.Flush()
			}
			q.After = jobs[len(jobs)-1].ID
		}
	})
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

type jobsRetryCmd struct {
	ID string `arg:"" help:"Id of the job, from the list."`
}

// Run makes the job due.
func (cmd jobsRetryCmd) Run(ctx context.Context, cfg server.Config, std streams) error {
	return withVault(ctx, cfg, std, func(o *server.Opened) error {
		err := o.Vault.RetryJob(ctx, o.Admin(), cmd.ID)
		switch {
		case errors.Is(err, tokenvault.ErrNotFound):
			return fmt.Errorf("no job has the id %q, or it is done: see 'tokenvault jobs list'", cmd.ID)
		case errors.Is(err, tokenvault.ErrConflict):
			return fmt.Errorf("a server is at the job %s now: see in a minute what came of it with 'tokenvault jobs list'", cmd.ID)
		case err != nil:
			return err
		}
		_, err = fmt.Fprintln(std.out, "Due now: a running server does it within 5 seconds")
		return err
	})
}
