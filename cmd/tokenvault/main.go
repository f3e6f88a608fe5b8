// Command tokenvault is the credential vault for AI agents as one binary: the
// server, and the commands of its operator.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/server"
)

const description = `The credential vault for AI agents.

An agent asks for access to a user's account. Without a valid credential the
call pauses, the user connects on the service's own page, and the call resumes.

Start with 'tokenvault serve'. Every flag below is also a key of the
configuration file (--config) and an environment variable TOKENVAULT_….`

type cli struct {
	ConfigFile    kong.ConfigFlag `name:"config" short:"c" help:"YAML file of settings; keys are the flags' names." placeholder:"FILE" env:"TOKENVAULT_CONFIG" group:"Storage"`
	server.Config `embed:""`

	Serve    serveCmd    `cmd:"" help:"Run the server."`
	Check    checkCmd    `cmd:"" help:"Show the settings in force and whether the server could start with them."`
	App      appCmd      `cmd:"" help:"Register the OAuth apps with which users connect."`
	APIKey   apiKeyCmd   `cmd:"" name:"apikey" help:"Create, list, rotate and revoke the keys of agents and back ends."`
	Key      keyCmd      `cmd:"" help:"List, check and rotate the keys with which everything is sealed."`
	Audit    auditCmd    `cmd:"" help:"List, verify, export and prune the audit log."`
	Jobs     jobsCmd     `cmd:"" help:"List background work and retry what failed."`
	Backup   backupCmd   `cmd:"" help:"Write a copy of the database while the server runs."`
	Restore  restoreCmd  `cmd:"" help:"Put a backup in the place of the database."`
	Migrate  migrateCmd  `cmd:"" help:"Bring the schema of a PostgreSQL database up to date."`
	Owner    ownerCmd    `cmd:"" help:"Delete users and organizations."`
	Provider providerCmd `cmd:"" help:"List, show, check, define and try providers."`
	Webhook  webhookCmd  `cmd:"" help:"Register endpoints that are told of changes, and see what they were told."`
	Connect  connectCmd  `cmd:"" help:"Ask for access as an agent would, and wait until it is there."`
	Version  versionCmd  `cmd:"" help:"Print the version."`
}

// streams are where a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
}

// exited carries the status of kong's own exit, after --help.
type exited int

func run(ctx context.Context, args []string, std streams) (status int) {
	defer func() {
		if code, ok := recover().(exited); ok {
			status = int(code)
		}
	}()
	var c cli
	parser, err := kong.New(&c,
		kong.Name("tokenvault"), kong.Description(description), kong.UsageOnError(),
		kong.Writers(std.out, std.err), kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: 100}),
		kong.Configuration(loadConfig), kong.NamedMapper("path", kong.MapperFunc(decodePath)),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(std),
	)
	if err != nil {
		return fail(std.err, err)
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return fail(std.err, explainUsage(err))
	}
	c.Config.Version = version
	c.RootKey = tokenvault.NewSecret(os.Getenv("TOKENVAULT_ROOT_KEY"))
	c.OldRootKey = tokenvault.NewSecret(os.Getenv("TOKENVAULT_ROOT_KEY_OLD"))
	c.DatabaseURL = tokenvault.NewSecret(os.Getenv("TOKENVAULT_DATABASE_URL"))
	c.DatabaseDirectURL = tokenvault.NewSecret(os.Getenv("TOKENVAULT_DATABASE_DIRECT_URL"))
	if err := parsed.Run(c.Config); err != nil {
		return fail(std.err, err)
	}
	return 0
}
