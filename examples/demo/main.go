// Command demo is the main job, whole: the vault's own binary, an independent
// OAuth server with its own login and consent pages, and a chat page whose agent
// needs an account there. The agent is scripted; its tool calls, the pause, the
// tokens, the refresh and the API calls are real.
//
// With -auto a headless browser clicks through it as a user would. Each step is a
// line of JSON, taken from the vault's own audit entries. It exits with status 0
// only if every step happened and no secret was found where none belongs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	auto := flag.Bool("auto", false, "click through by a headless browser, then exit")
	binary := flag.String("binary", "bin/tokenvault", "the vault's binary")
	modeName := flag.String("mode", "local", "how the vault is told who the user is: local, session, verifier, assertion or signin")
	postgres := flag.Bool("postgres", false, "keep everything in a PostgreSQL database, of a server started for it")
	page := flag.String("page", ".cache/demo-page", "folder of the chat's page, which 'make demo' builds")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *modeName, *binary, *page, *auto, *postgres); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, modeName, binary, page string, auto, postgres bool) (err error) {
	mode, err := parseMode(modeName)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "tokenvault-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	binary, err = filepath.Abs(binary)
	if err != nil {
		return err
	}
	d := &demo{mode: mode, dir: dir, binary: binary, pageDir: page, fail: fail}
	if err := d.checkPage(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	if postgres {
		if err := d.startDatabase(ctx); err != nil {
			return err
		}
	}
	if err := d.start(ctx); err != nil {
		return reason(ctx, err)
	}
	watch := &watcher{url: d.apiURL, key: d.auditKey, seen: make(chan struct{})}
	go watch.run(ctx)
	if auto {
		return reason(ctx, d.drive(ctx, watch))
	}
	d.explain()
	<-ctx.Done()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// reason returns why the demo ended, if something that it needs ended first.
func reason(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

func (d *demo) explain() {
	var first string
	switch d.mode {
	case modeLocal:
		first = "This is the vault's one-time sign-in link: it tells the vault that this browser is you."
	case modeSignIn:
		first = "This is the chat's own sign-in. The vault will send you to its sign-in server too: be ada there."
	default:
		first = "This is the chat's own sign-in: in this mode the vault learns from it that the browser is Ada's."
	}
	fmt.Printf(`
The demo runs, in mode %s. Open in a browser on this machine:

  1. %s
     %s

  2. %s
     The chat. Ask "who am I?": the call pauses, you connect, the same call resumes.
     The OAuth server takes any name and password.
     Then ask for your balance: the bank has no OAuth, so you sign in at it in a browser of the
     vault's that you see live, within the chat. The one-time code is on your phone, which the
     chat shows. You are, to be pasted there:
       %s
       %s

Press Ctrl-C to end it. Steps appear below as they happen.
`, d.mode, d.signInURL, first, d.chat.url, d.bank.User, d.bank.Password.Reveal())
}
