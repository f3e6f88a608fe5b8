package chromium

import (
	"context"
	"errors"
	"log/slog"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/flow/browserflow/pool"
	"github.com/ai-token-vault/tokenvault/internal/cdp"
)

const (
	defaultWidth  = 1280
	defaultHeight = 800
)

// A Browser is a [tokenvault.Browser] of this machine.
type Browser struct {
	*pool.Pool

	config *config
	watch  *watch
}

// New finds out whether browsers can be started here, and fails with what to do if
// not. It removes what servers that died have left behind. Close the result.
func New(ctx context.Context, opts Options) (*Browser, error) {
	c, err := configure(ctx, opts)
	if err != nil {
		return nil, err
	}
	swept, err := sweep(ctx, c.parent)
	if err != nil {
		c.opts.Logger.Warn("profiles of browsers that are gone could not be removed", slog.String("error", err.Error()))
	}
	if swept > 0 {
		c.opts.Logger.Info("removed profiles of browsers that are gone", slog.Int("count", swept))
	}
	b := &Browser{config: c, watch: startWatch(c.opts.MaxMemory, watchEvery)}
	b.Pool = pool.New(pool.Options{
		Start: b.start, Elsewhere: opts.Headed, Logger: c.opts.Logger,
		MaxSessions: c.opts.MaxSessions, Queue: opts.Queue, IdleLimit: opts.IdleLimit, TimeLimit: opts.TimeLimit,
	})
	return b, nil
}

// start boots a browser for a session. One that ends before it has answered is booted
// once more: now and then a Chromium crashes at its very start.
func (b *Browser) start(ctx context.Context, req tokenvault.BrowserRequest) (pool.Browser, error) {
	r, err := b.boot(ctx, req)
	if errors.Is(err, errEndedAtOnce) {
		b.config.opts.Logger.WarnContext(ctx, "a browser is started again", slog.String("error", err.Error()))
		r, err = b.boot(ctx, req)
	}
	if err != nil {
		return nil, err
	}
	b.watch.add(r.machine)
	return r, nil
}

// boot boots a browser, and waits for its first answer.
func (b *Browser) boot(ctx context.Context, req tokenvault.BrowserRequest) (*running, error) {
	width, height := defaultWidth, defaultHeight
	if req.Width > 0 && req.Height > 0 {
		width, height = req.Width, req.Height
	}
	m, err := b.config.boot(ctx, width, height)
	if err != nil {
		return nil, err
	}
	r := &running{machine: m, conn: cdp.New(m.transport), watch: b.watch, account: b.config.account}
	if err := r.conn.Call(ctx, "", "Browser.getVersion", nil, nil); err != nil {
		return nil, errors.Join(m.blame(ctx, err), r.End(context.WithoutCancel(ctx)))
	}
	m.process.words.forget()
	return r, nil
}

// Close fulfils [tokenvault.Browser].
func (b *Browser) Close() error {
	err := b.Pool.Close()
	b.watch.stop()
	return err
}

// A running browser is a machine that a session talks to.
type running struct {
	*machine

	conn    *cdp.Conn
	watch   *watch
	account *account
}

// Conn fulfils [pool.Browser].
func (r *running) Conn() *cdp.Conn { return r.conn }

// End fulfils [pool.Browser].
func (r *running) End(ctx context.Context) error {
	r.watch.remove(r.machine)
	err := r.end(ctx)
	return errors.Join(err, r.conn.Close())
}

// KeepFile fulfils [pool.Browser].
func (r *running) KeepFile(name string, content []byte) (string, error) {
	return r.profile.keep(name, content, r.account)
}
