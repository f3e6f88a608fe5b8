package chromium

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"time"
)

// Options configures the browsers of this machine. The zero value runs Debian's
// Chromium as the server's own user.
type Options struct {
	// Path is the Chromium program itself, not a script that starts it. Default: the
	// first of the usual places.
	Path string
	// User is the unprivileged user that browsers run as when the server is started as
	// root, which must name one.
	User string
	// NoSandbox switches Chromium's own sandbox off: a page that breaks out of the
	// renderer is then the browser's user at once. Only for machines that are given up
	// after one login.
	NoSandbox bool
	// Headed shows each browser as a window on this machine's display, for
	// development. Its sessions are not Viewable.
	Headed bool
	// AllowHosts lists exact host:port pairs that pages may reach although they are
	// not public.
	AllowHosts []string
	// MaxSessions is how many browsers run at once. Default: four for each processor,
	// but no more than memory has room for, with half a gibibyte each.
	MaxSessions int
	// Queue, IdleLimit and TimeLimit are as in pool.Options.
	Queue                int
	IdleLimit, TimeLimit time.Duration
	// MaxMemory is how many bytes one browser may hold, profile included, before it is
	// killed. Default 1 GiB; below 0: no limit.
	MaxMemory int64
	// ProfileDir is where profiles are, until their browsers end. Default: /dev/shm if
	// it is in memory and has room, else the directory for temporary files.
	ProfileDir string
	Logger     *slog.Logger // default: none

	resolve func(ctx context.Context, host string) ([]netip.Addr, error) // for tests
}

const (
	defaultMemory  = 1 << 30
	usualMemory    = 512 << 20 // of a browser at a login page
	sessionsPerCPU = 4
	shm            = "/dev/shm"
)

// A config is what the options come to on this machine.
type config struct {
	opts      Options
	path      string
	account   *account
	parent    string // of profiles
	userAgent string
}

// configure finds out whether browsers can be started here.
func configure(ctx context.Context, opts Options) (*config, error) {
	c := &config{opts: opts}
	if c.opts.MaxMemory == 0 {
		c.opts.MaxMemory = defaultMemory
	}
	if c.opts.MaxSessions == 0 {
		c.opts.MaxSessions = max(1, min(sessionsPerCPU*runtime.NumCPU(), int(freeMemory()/usualMemory)))
	}
	if c.opts.Logger == nil {
		c.opts.Logger = slog.New(slog.DiscardHandler)
	}
	var err error
	if c.path, err = find(opts.Path); err != nil {
		return nil, err
	}
	if c.account, err = findAccount(opts.User); err != nil {
		return nil, err
	}
	if c.userAgent, err = userAgent(ctx, c.path); err != nil {
		return nil, err
	}
	free, inMemory := room(shm)
	switch {
	case opts.ProfileDir != "":
		c.parent = opts.ProfileDir
	case !inMemory || free < leastRoom:
		c.parent = os.TempDir()
	default:
		c.parent = shm
	}
	if len(c.parent) > longestParent {
		return nil, fmt.Errorf("the path of the directory of profiles is longer than %d bytes: set browser-profile-dir", longestParent)
	}
	return c, nil
}

// find returns the program.
func find(path string) (string, error) {
	if path != "" {
		if _, err := exec.LookPath(path); err != nil {
			return "", errors.New("the program that browser-path names cannot be run")
		}
		return filepath.Abs(path)
	}
	for _, usual := range []string{
		"/usr/lib/chromium/chromium",                   // Debian: its /usr/bin/chromium is a script that adds flags
		"/usr/lib64/chromium-browser/chromium-browser", // Fedora
		"/usr/lib/chromium-browser/chromium-browser",
		"/opt/google/chrome/chrome",
		"/Applications/Chromium.app/Contents/MacOS/Chromium",
		"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
	} {
		if info, err := os.Stat(usual); err == nil && info.Mode().IsRegular() {
			return usual, nil
		}
	}
	return "", fmt.Errorf("no Chromium was found (%s): %w", chromiumFix, fs.ErrNotExist)
}

var versionPattern = regexp.MustCompile(`\b(\d+)\.\d+\.\d+\.\d+\b`)

// userAgent returns what a browser of this version with a window says of itself: a
// headless one says HeadlessChrome, and many services turn that away.
func userAgent(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, versionWithin)
	defer cancel()
	said, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return "", errors.New("the browser does not tell its version: is it installed whole? (" + chromiumFix + ")")
	}
	version := versionPattern.FindSubmatch(said)
	if version == nil {
		return "", errors.New("what browser-path names is no Chromium")
	}
	return fmt.Sprintf("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%s.0.0.0 Safari/537.36", version[1]), nil
}

const versionWithin = 30 * time.Second
