package chromium

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/ai-token-vault/tokenvault/internal/cdp"
	"github.com/ai-token-vault/tokenvault/internal/netguard"
)

// A machine is all that one browser consists of outside of its pages.
type machine struct {
	profile   *profile
	proxy     *proxy
	process   *process
	transport cdp.Transport
	once      sync.Once
	ended     error
}

// boot starts a browser. Call end whatever becomes of it.
func (c *config) boot(ctx context.Context, width, height int) (*machine, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m := &machine{}
	var err error
	if m.profile, err = newProfile(c.parent, c.account); err != nil {
		return nil, fmt.Errorf("no profile can be made: %w", err)
	}
	m.proxy, err = startProxy(netguard.Options{Allow: c.opts.AllowHosts, Resolve: c.opts.resolve})
	if err == nil {
		m.process, m.transport, err = c.launch(m.profile.dir, m.proxy.address(), width, height)
	}
	if err != nil {
		return nil, errors.Join(err, m.end(ctx))
	}
	return m, nil
}

// end kills the browser and wipes its profile. It is idempotent, and waits.
func (m *machine) end(ctx context.Context) error {
	m.once.Do(func() {
		if m.proxy != nil {
			m.proxy.close()
		}
		if m.process != nil {
			m.process.kill(ctx)
			_ = m.transport.Close()
		}
		m.ended = m.profile.wipe(ctx)
	})
	return m.ended
}

var errEndedAtOnce = errors.New("the browser ended at once")

// blame adds why the browser ended, if it has, to an error of talking to it.
func (m *machine) blame(ctx context.Context, err error) error {
	if !errors.Is(err, cdp.ErrClosed) {
		return err
	}
	select {
	case <-m.process.exited: // its pipe is closed, so that it soon does
	case <-ctx.Done():
		return err
	}
	return fmt.Errorf("%w: %s", errEndedAtOnce, m.process.why())
}
